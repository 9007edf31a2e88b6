/* files: keeps files for its clients, and streams them to and from a directory.
 *     GET NAME\n              its size and a newline, then its bytes
 *     PUT NAME SIZE\n BYTES   "stored\n", when all of it is there under a name that is new
 * or "failed: WHY\n". First letters are loaded in parts; then the disk is not asked for others.
 *     build/rpd build/samples/files.so -o directory=/srv/files -l tcp:127.0.0.1:7000 */
#include <rpd/backend.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct transfer {
    uint64_t *index; /* a bit for each first letter, by its low 6 bits; the 4 upper ones: parts */
    int fd;
    bool is_put;
    char name[201], path[4096];
};

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("directory", ".", "where the files are"), RPD_OPTIONS_END};

static uint64_t bit_of(const char *name)
{
    return UINT64_C(1) << (*name & 63);
}

static void *load_part(struct rpd_load *load)
{
    DIR *stream = opendir(rpd_option_string(rpd_load_service(load), "directory"));
    const uintptr_t part = (uintptr_t)rpd_load_arg(load);
    uint64_t *found = stream ? calloc(1, sizeof *found) : NULL;

    if (!found)
        return rpd_load_fail(load, "its directory: %s", strerror(errno));
    for (const struct dirent *entry; (entry = readdir(stream));)
        if ((uintptr_t)*entry->d_name % 4 == part)
            *found |= bit_of(entry->d_name);
    *found |= UINT64_C(1) << (60 + part);
    closedir(stream);
    return found;
}

static void attach(void *index, void *part)
{
    *(uint64_t *)index |= *(uint64_t *)part;
    free(part);
}

static void *load(struct rpd_load *load)
{
    struct rpd_load_part part = {"names", load_part, attach, free, NULL, true};

    for (uintptr_t i = 0; i < 4; part.arg = (void *)++i)
        if (rpd_load_add_part(load, &part) < 0)
            return rpd_load_fail(load, "out of memory");
    return calloc(1, sizeof(uint64_t));
}

static void end(struct rpd_conn *conn, void *arg, int error)
{
    struct transfer *transfer = arg;
    char nameless[40];

    snprintf(nameless, sizeof nameless, "/proc/self/fd/%d", transfer->fd);
    if (transfer->is_put && !error) {
        *transfer->index |= bit_of(transfer->name);
        error = linkat(-1, nameless, -1, transfer->path, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
    }
    if (conn && (error || transfer->is_put))
        rpd_conn_printf(conn, error ? "failed: %s\n" : "stored\n", strerror(error));
    if (conn && error && transfer->is_put)
        rpd_conn_finish(conn); /* the rest of it may follow */
    close(transfer->fd);
    free(transfer);
}

static int begin(struct rpd_conn *conn, struct transfer *transfer)
{
    const char *directory = rpd_option_string(rpd_conn_service(conn), "directory");
    const bool is_get = sscanf(transfer->path, "GET %200[0-9A-Za-z_-]", transfer->name) == 1;
    char digits[20];

    transfer->is_put = sscanf(transfer->path, "PUT %200[0-9A-Za-z_-] %19[0-9]", transfer->name,
                              digits) == 2;
    snprintf(transfer->path, sizeof transfer->path, "%s/%s", directory, transfer->name);
    if (transfer->is_put) {
        transfer->fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        return rpd_conn_receive_file(conn, strtoull(digits, 0, 10), transfer->fd, 0, end, transfer);
    }
    errno = ENOENT;
    if (is_get && (*transfer->index & bit_of(transfer->name) || *transfer->index >> 60 != 15))
        transfer->fd = open(transfer->path, O_RDONLY | O_CLOEXEC);
    if (transfer->fd < 0)
        return -1;
    const long long size = lseek(transfer->fd, 0, SEEK_END);
    rpd_conn_printf(conn, "%lld\n", size);
    return rpd_conn_send_file(conn, transfer->fd, 0, (uint64_t)size, end, transfer);
}

static void on_data(struct rpd_conn *conn, void *index)
{
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line)) {
        struct transfer *transfer = calloc(1, sizeof *transfer);
        if (!transfer)
            return rpd_conn_abort(conn);
        *transfer = (struct transfer){.index = index, .fd = -1};
        snprintf(transfer->path, sizeof transfer->path, "%.*s", (int)line.size, line.data);
        if (begin(conn, transfer) < 0)
            end(conn, transfer, errno);
    }
}

RPD_BACKEND(files, .summary = "Keeps files", .options = options, .load = load, .unload = free,
            .on_data = on_data, .probe = RPD_PROBE("GET -\n", "failed: No such file"));
