/* lines: a plugin outside of rpd's tree, to copy and to start from. Its state
 * is a file in memory, which it loads while clients are connected already. A
 * client sends a number, and gets that line of the file. */
#include <rpd/backend.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lines {
    char **text;
    size_t count;
};

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("file", "/etc/os-release", "whose lines to serve"),
    RPD_OPTIONS_END,
};

static void unload(void *state)
{
    struct lines *lines = state;

    while (lines->count > 0)
        free(lines->text[--lines->count]);
    free(lines->text);
    free(lines);
}

/* [worker] May take as long as it likes. */
static bool read_lines(struct rpd_load *load, FILE *file, struct lines *lines)
{
    char *line = NULL;
    size_t size = 0;

    while (!rpd_load_cancelled(load) && getline(&line, &size, file) > 0) {
        char **text = realloc(lines->text, (lines->count + 1) * sizeof *text);
        if (!text)
            break;
        lines->text = text;
        line[strcspn(line, "\n")] = '\0';
        lines->text[lines->count++] = line;
        line = NULL;
        size = 0;
        rpd_load_progress(load, lines->count, 0, "lines");
    }
    free(line);
    return feof(file);
}

static void *load(struct rpd_load *load)
{
    const char *path = rpd_option_string(rpd_load_service(load), "file");
    FILE *file = fopen(path, "re");
    struct lines *lines = file ? calloc(1, sizeof *lines) : NULL;

    if (lines && read_lines(load, file, lines)) {
        fclose(file);
        return lines;
    }
    rpd_load_fail(load, "%s: %s; set the option \"file\"", path, strerror(errno));
    if (lines)
        unload(lines);
    if (file)
        fclose(file);
    return NULL;
}

/* [loop] Never blocks. */
static void on_data(struct rpd_conn *conn, void *state)
{
    const struct lines *lines = state;
    struct rpd_span request;

    while (rpd_conn_read_line(conn, &request)) {
        char number[16];
        snprintf(number, sizeof number, "%.*s", (int)request.size, request.data);
        const unsigned long wanted = strtoul(number, NULL, 10);
        const bool there = wanted >= 1 && wanted <= lines->count;
        rpd_conn_printf(conn, "%s\n", there ? lines->text[wanted - 1] : "no such line");
    }
}

RPD_BACKEND(lines, .summary = "Serves the lines of a file", .options = options, .load = load,
            .unload = unload, .on_data = on_data);
