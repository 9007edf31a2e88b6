/* Putting objects, and removing them. See store.h. */
#include "store_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct put {
    struct store *store;
    struct object_writer writer;
    enum store_outcome outcome;
    uint64_t reserved;
    bool overwrites;
};

static enum store_outcome outcome_of(int error)
{
    switch (error) {
    case EBADMSG: return STORE_WRONG;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return STORE_NO_SPACE;
    default: return STORE_FAILED;
    }
}

/* [worker] */
static bool is_there(const struct object_writer *writer)
{
    struct object_file file;

    if (object_open(writer->directory, &writer->key, &file) != 0)
        return false;
    close(file.fd);
    return true;
}

/* [worker] What can no longer be stored is received to its end, so that the client sees the
 * answer. */
static int sink(void *arg, const void *data, size_t size)
{
    struct put *put = arg;
    int error;

    if (put->outcome != STORE_PENDING)
        return 0;
    if (!put->overwrites && put->writer.written == 0 && is_there(&put->writer)) {
        put->outcome = STORE_EXISTS;
        return 0;
    }
    error = object_write(&put->writer, data, size);
    if (error) {
        put->outcome = outcome_of(error);
        if (put->outcome != STORE_WRONG)
            rpd_log(put->store->service, RPD_LOG_ERROR,
                    "%s: an object cannot be stored: %s; make room, or lower max_size",
                    put->store->path, strerror(error));
    } else if (put->writer.written == put->writer.size) {
        put->outcome = STORE_STORED;
    }
    return 0;
}

static void run_empty(struct rpd_job *job, void *arg)
{
    (void)job;
    sink(arg, "", 0);
}

static void abandon(struct rpd_job *job, void *arg)
{
    struct put *put = arg;

    (void)job;
    object_writer_finish(&put->writer);
}

static void free_put(struct rpd_service *service, void *arg, bool cancelled)
{
    struct put *put = arg;

    (void)service, (void)cancelled;
    object_writer_finish(&put->writer);
    free(put);
}

static void finish_put(struct put *put)
{
    if (put->writer.fd < 0 || rpd_job_submit(put->store->service, abandon, free_put, put) < 0)
        free_put(put->store->service, put, false);
}

static void count_put(struct store *store, const struct put *put)
{
    if (put->outcome != STORE_STORED) {
        store_count(store, NUMBER_NOT_STORED, 1);
        if (put->outcome == STORE_NO_SPACE || put->outcome == STORE_FAILED) {
            store_count(store, NUMBER_DISK_ERRORS, 1);
            store_set_degraded(store, "cannot store: the disk is full, or fails; see the log");
        }
        return;
    }
    store_count(store, NUMBER_STORED, 1);
    store_count(store, NUMBER_WRITTEN, put->writer.size);
    store_set_degraded(store, NULL);
}

static void received(struct rpd_conn *conn, void *arg, int error)
{
    struct put *put = arg;
    struct store *store = put->store;

    store->reserved -= put->reserved;
    if (put->outcome == STORE_STORED) {
        const struct object_id id = object_id_of(&put->writer.key);
        store_change(store, id);
        store_add(store, &put->writer.key, id, put->writer.size);
    }
    count_put(store, put);
    if (conn && !error && put->outcome != STORE_PENDING)
        store_session(conn)->front->stored(conn, put->outcome);
    else if (conn)
        store_session(conn)->front->failed(conn);
    if (conn)
        store_answered(conn);
    finish_put(put);
    store_make_room(store, 0);
    store_resume_waiting(store);
}

void store_put(struct rpd_conn *conn, const struct object_key *key, const struct store_put *what)
{
    struct store *store = store_session(conn)->store;
    struct put *put = calloc(1, sizeof *put);
    int began = -1;

    store_begin(conn, NUMBER_PUT_TIME);
    if (put) {
        put->store = store;
        put->outcome = what->outcome;
        put->overwrites = what->overwrites;
        put->reserved = what->outcome == STORE_PENDING ? object_disk_bytes(what->size) : 0;
        object_writer_init(&put->writer, store->directory, key, what->size, what->sha256);
        store->reserved += put->reserved;
        began = what->size > 0 ? rpd_conn_receive(conn, what->size, sink, received, put)
                               : rpd_conn_job(conn, run_empty, received, put);
        if (began < 0)
            store->reserved -= put->reserved;
    }
    if (began < 0) {
        free(put);
        store_fail(conn);
        rpd_conn_finish(conn); /* its body follows */
        return;
    }
    store_make_room(store, 0);
}

/* ---- remove --------------------------------------------------------------------------------- */

struct removal {
    struct store *store;
    struct object_key key;
    bool was_there;
};

static void run_removal(struct rpd_job *job, void *arg)
{
    struct removal *removal = arg;
    struct object_file file;
    char path[OBJECT_PATH_SIZE];

    (void)job;
    if (object_open(removal->store->directory, &removal->key, &file) != 0)
        return;
    close(file.fd);
    object_path(object_id_of(&removal->key), path);
    removal->was_there = unlinkat(removal->store->directory, path, 0) == 0;
}

static void removed(struct rpd_conn *conn, void *arg, int error)
{
    struct removal *removal = arg;
    struct store *store = removal->store;
    const struct object_id id = object_id_of(&removal->key);
    struct index_entry *entry = index_find(&store->index, id);

    (void)error;
    if (removal->was_there) {
        store_change(store, id);
        store_count(store, NUMBER_REMOVED, 1);
        if (entry)
            index_remove(&store->index, entry);
    }
    if (conn) {
        store_session(conn)->front->removed(conn, removal->was_there);
        store_answered(conn);
    }
    free(removal);
}

void store_remove(struct rpd_conn *conn, const struct object_key *key)
{
    struct removal *removal = calloc(1, sizeof *removal);

    store_begin(conn, NUMBER_REMOVE_TIME);
    if (removal) {
        removal->store = store_session(conn)->store;
        removal->key = *key;
    }
    if (!removal || rpd_conn_job(conn, run_removal, removed, removal) < 0) {
        free(removal);
        store_fail(conn);
    }
}
