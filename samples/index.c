/* index: a backend whose state takes a while to load. It sorts the lines of a
 * file and answers each line that a client sends with the first line that
 * begins like it. Clients that come while it loads wait, and are answered. */
#include <rpd/backend.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct index { char **lines; size_t count, room; };

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void unload(void *state)
{
    struct index *index = state;
    while (index->count > 0)
        free(index->lines[--index->count]);
    free(index->lines);
    free(index);
}

static void *load(struct rpd_load *load)
{
    const char *path = rpd_option_string(rpd_load_service(load), "file");
    FILE *file = fopen(path, "re");
    if (!file)
        return rpd_load_fail(load, "%s: %s; set the option \"file\"", path, strerror(errno));
    struct index *index = calloc(1, sizeof *index);
    char line[1024];
    while (!rpd_load_cancelled(load) && fgets(line, sizeof line, file)) {
        if (index->count == index->room)
            index->lines = realloc(index->lines, (index->room += 4096) * sizeof(char *));
        index->lines[index->count++] = strdup(line);
        rpd_load_progress(load, index->count, 0, "lines");
    }
    fclose(file);
    qsort(index->lines, index->count, sizeof(char *), compare);
    return index;
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const struct index *index = state;
    struct rpd_span key;
    while (rpd_conn_read_line(conn, &key)) {
        size_t low = 0, high = index->count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (strncmp(index->lines[middle], key.data, key.size) < 0) low = middle + 1; else high = middle;
        }
        bool found = low < index->count && !strncmp(index->lines[low], key.data, key.size);
        rpd_conn_printf(conn, "%s", found ? index->lines[low] : "?\n");
    }
}

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("file", "/etc/services", "the file to index"), RPD_OPTIONS_END};

RPD_BACKEND(index, .summary = "Finds lines by their beginning", .options = options, .load = load, .unload = unload, .on_data = on_data);
