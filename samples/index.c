/* index: a backend whose state takes a while to load, the names in a directory.
 * It answers each line that a client sends with a name that begins like it.
 * Clients that come while it loads wait, and are answered then. */
#include <rpd/backend.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct index {
    struct dirent **names; /* sorted */
    int count;
};

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("directory", "/usr/bin", "whose names to index"), RPD_OPTIONS_END};

static void *load(struct rpd_load *load)
{
    const char *directory = rpd_option_string(rpd_load_service(load), "directory");
    struct index *index = calloc(1, sizeof *index);
    if (!index || (index->count = scandir(directory, &index->names, NULL, alphasort)) < 0) {
        free(index);
        return rpd_load_fail(load, "%s: %s; set the option \"directory\"", directory,
                             strerror(errno));
    }
    rpd_load_progress(load, (uint64_t)index->count, (uint64_t)index->count, "names");
    return index;
}

static void unload(void *state)
{
    struct index *index = state;
    while (index->count > 0)
        free(index->names[--index->count]);
    free(index->names);
    free(index);
}

static int begins(const void *key, const void *name)
{
    const struct rpd_span *span = key;
    return strncmp(span->data, (*(struct dirent *const *)name)->d_name, span->size);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const struct index *index = state;
    struct rpd_span key;
    while (rpd_conn_read_line(conn, &key)) {
        struct dirent **found = bsearch(&key, index->names, (size_t)index->count,
                                        sizeof(struct dirent *), begins);
        rpd_conn_printf(conn, "%s\n", found ? (*found)->d_name : "?");
    }
}

RPD_BACKEND(index, .summary = "Finds names by their beginning", .options = options, .load = load,
            .unload = unload, .on_data = on_data, .probe = RPD_PROBE("a\n", ""));
