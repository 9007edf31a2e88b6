/* The load. See scan.h. */
#include "scan.h"

#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FOLDERS = OBJECT_FOLDERS / STORE_PARTS, LOOK_EVERY = 256, TICK_US = 100000 };

/* What rpd takes for the state. */
struct scan {
    struct store *store;
};

/* A file of a folder. */
struct seen {
    struct object_id id;
    uint64_t used_us;
    uint64_t disk_bytes;
};

struct seen_files {
    struct seen *files;
    size_t count, room;
};

struct scanned {
    unsigned first; /* folder */
    struct index_shard shards[FOLDERS];
};

/* ---- a folder ------------------------------------------------------------------------------- */

static int add_seen(struct seen_files *seen, struct object_id id)
{
    if (seen->count == seen->room) {
        const size_t room = seen->room ? 2 * seen->room : 64;
        struct seen *files = realloc(seen->files, room * sizeof *files);

        if (!files)
            return ENOMEM;
        seen->files = files;
        seen->room = room;
    }
    seen->files[seen->count++] = (struct seen){.id = id};
    return 0;
}

/* Of all its names. What a killed process has left is removed, and other files are left alone. */
static int read_names(DIR *stream, unsigned folder, struct seen_files *seen)
{
    const struct dirent *entry;
    struct object_id id;
    int error = 0;

    errno = 0;
    while (!error && (entry = readdir(stream)))
        if (object_id_from(folder, entry->d_name, &id))
            error = add_seen(seen, id);
        else if (object_is_leftover(entry->d_name))
            unlinkat(dirfd(stream), entry->d_name, 0);
    return error ? error : errno;
}

static uint64_t microseconds(const struct timespec *time)
{
    return time->tv_sec < 0 ? 0 : (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_nsec / 1000;
}

/* One that has gone in the meantime has no bytes. */
static void look_at(int directory, struct seen *file)
{
    struct stat status;
    char path[OBJECT_PATH_SIZE];

    object_path(file->id, path);
    if (fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode))
        return;
    file->disk_bytes = object_disk_bytes((uint64_t)status.st_size);
    file->used_us = microseconds(&status.st_atim);
}

static int compare(const void *one, const void *other)
{
    const uint64_t a = ((const struct seen *)one)->used_us;
    const uint64_t b = ((const struct seen *)other)->used_us;

    return (a < b) - (a > b); /* most recently used first */
}

static uint32_t tick_of(const struct store *store, uint64_t used_us)
{
    return used_us > store->tick_0_us ? (uint32_t)((used_us - store->tick_0_us) / TICK_US) : 0;
}

static int fill_shard(const struct store *store, struct index_shard *shard, struct seen_files *seen)
{
    if (seen->count > 0)
        qsort(seen->files, seen->count, sizeof *seen->files, compare);
    for (size_t i = 0; i < seen->count; i++) {
        const struct seen *file = &seen->files[i];
        if (file->disk_bytes > 0 && index_shard_append(shard, file->id, file->disk_bytes,
                                                       tick_of(store, file->used_us)) < 0)
            return ENOMEM;
    }
    return 0;
}

/* ---- a part --------------------------------------------------------------------------------- */

/* How far a part is: of what is known so far. */
struct scanning {
    struct rpd_load *load;
    const struct store *store;
    struct seen_files seen;
    uint64_t done, total;
};

static bool look_at_files(struct scanning *scanning)
{
    for (size_t i = 0; i < scanning->seen.count; i++) {
        look_at(scanning->store->directory, &scanning->seen.files[i]);
        scanning->done++;
        if (i % LOOK_EVERY == 0) {
            rpd_load_progress(scanning->load, scanning->done, scanning->total, "objects");
            if (rpd_load_cancelled(scanning->load))
                return false;
        }
    }
    return true;
}

static int scan_folder(struct scanning *scanning, unsigned folder, struct index_shard *shard)
{
    char path[OBJECT_PATH_SIZE];
    DIR *stream;
    int fd, error;

    snprintf(path, sizeof path, "objects/%02x", folder);
    fd = openat(scanning->store->directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    stream = fdopendir(fd);
    if (!stream) {
        close(fd);
        return ENOMEM;
    }
    scanning->seen.count = 0;
    error = read_names(stream, folder, &scanning->seen);
    closedir(stream);
    scanning->total += scanning->seen.count;
    if (!error && look_at_files(scanning))
        error = fill_shard(scanning->store, shard, &scanning->seen);
    return error;
}

static void discard(void *part)
{
    struct scanned *scanned = part;

    for (unsigned i = 0; i < FOLDERS; i++)
        index_shard_finish(&scanned->shards[i]);
    free(scanned);
}

static void *scan_part(struct rpd_load *load)
{
    const struct scan_part *part = rpd_load_arg(load);
    struct scanning scanning = {.load = load, .store = part->store};
    struct scanned *scanned = calloc(1, sizeof *scanned);
    int error = scanned ? 0 : ENOMEM;

    if (scanned) {
        scanned->first = part->number * FOLDERS;
        for (unsigned i = 0; i < FOLDERS; i++)
            index_shard_init(&scanned->shards[i]);
    }
    for (unsigned i = 0; i < FOLDERS && !error && !rpd_load_cancelled(load); i++)
        error = scan_folder(&scanning, scanned->first + i, &scanned->shards[i]);
    free(scanning.seen.files);
    if (!error && !rpd_load_cancelled(load)) {
        rpd_load_progress(load, scanning.done, scanning.total, "objects");
        return scanned;
    }
    if (scanned)
        discard(scanned);
    return error ? rpd_load_fail(load, "%s: %s; check the disk, then restart", part->store->path,
                                 strerror(error))
                 : NULL;
}

/* [loop] */
static void attach(void *state, void *part)
{
    const struct scan *scan = state;
    struct store *store = scan->store;
    struct scanned *scanned = part;

    for (unsigned i = 0; i < FOLDERS; i++)
        if (index_attach(&store->index, scanned->first + i, &scanned->shards[i]) < 0)
            rpd_log(store->service, RPD_LOG_ERROR,
                    "index: out of memory: a folder is looked up on disk until the next start");
    discard(scanned);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int add_parts(struct rpd_load *load, struct store *store)
{
    for (unsigned i = 0; i < STORE_PARTS; i++) {
        char name[32];

        store->parts[i] = (struct scan_part){store, i};
        snprintf(name, sizeof name, "folders-%02x-%02x", i * FOLDERS, i * FOLDERS + FOLDERS - 1);
        if (rpd_load_add_part(load, &(struct rpd_load_part){.name = name,
                                                            .load = scan_part,
                                                            .attach = attach,
                                                            .discard = discard,
                                                            .arg = &store->parts[i]}) < 0)
            return -1;
    }
    return 0;
}

void *scan_begin(struct rpd_load *load)
{
    struct scan *scan = malloc(sizeof *scan);

    if (scan) {
        scan->store = store_hold(rpd_service_data(rpd_load_service(load)));
        if (add_parts(load, scan->store) == 0)
            return scan;
        scan_unload(scan);
    }
    return rpd_load_fail(load, "out of memory");
}

void scan_unload(void *state)
{
    struct scan *scan = state;

    store_release(scan->store);
    free(scan);
}
