/* The store's requests. See store.h. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CLOSE_ON_WORKER = 16 * 1024 * 1024 };

/* ---- the whole ------------------------------------------------------------------------------ */

struct store *store_open(struct rpd_service *service, const char *path)
{
    struct store *store = calloc(1, sizeof *store);

    if (!store)
        return NULL;
    store->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->directory < 0) {
        free(store);
        return NULL;
    }
    object_choose_names();
    store->holders = 1;
    store->service = service;
    store->path = path;
    index_init(&store->index);
    TAILQ_INIT(&store->waiting);
    store_tick(store);
    return store;
}

struct store *store_hold(struct store *store)
{
    store->holders++;
    return store;
}

void store_release(struct store *store)
{
    if (--store->holders > 0)
        return;
    store_note_all(store);
    free(store->held_eviction);
    hot_finish(&store->hot);
    index_finish(&store->index);
    credentials_finish(&store->credentials);
    close(store->directory);
    free(store);
}

static struct session *session_of(struct rpd_conn *conn)
{
    return rpd_conn_data(conn);
}

static void fail(struct rpd_conn *conn)
{
    session_of(conn)->front->failed(conn);
    session_of(conn)->front->written(conn);
}

static void miss(struct rpd_conn *conn)
{
    session_of(conn)->store->counters.misses++;
    session_of(conn)->front->missing(conn);
    session_of(conn)->front->written(conn);
}

static struct index_shard *shard_of(struct store *store, struct object_id id)
{
    return &store->index.shards[id.bytes[0]];
}

static void use(struct store *store, struct index_entry *entry)
{
    index_use(&store->index, entry, store_tick(store));
    store_note_later(store);
}

/* It was written or removed: what jobs have seen before no longer counts. */
static void change(struct store *store, struct object_id id)
{
    shard_of(store, id)->changes++;
    hot_remove(&store->hot, id);
}

static void add_to_index(struct store *store, const struct object_key *key, struct object_id id,
                         uint64_t body_size)
{
    const uint64_t bytes = object_disk_bytes(OBJECT_HEAD_SIZE + key->size + body_size);

    if (index_put(&store->index, id, bytes, store_tick(store)) < 0)
        rpd_log(store->service, RPD_LOG_ERROR,
                "index: out of memory: an object is not counted until the next start");
    store_note_later(store);
}

static void set_degraded(struct store *store, const char *reason)
{
    if (!reason && !store->is_degraded)
        return;
    store->is_degraded = reason != NULL;
    rpd_service_set_degraded(store->service, reason);
}

/* ---- get ------------------------------------------------------------------------------------ */

struct get {
    struct store *store;
    struct object_key key;
    struct object_id id;
    bool wants_body;
    uint32_t known_mark, changes;
    /* Of the worker: */
    bool has_run;
    int error;
    struct object_file file; /* fd -1: none is open */
    char *body;              /* of a small one */
};

static void close_file(struct rpd_job *job, void *arg)
{
    struct get *get = arg;

    (void)job;
    close(get->file.fd);
    get->file.fd = -1;
}

static void free_get(struct rpd_service *service, void *arg, bool cancelled)
{
    struct get *get = arg;

    (void)service, (void)cancelled;
    if (get->file.fd >= 0)
        close(get->file.fd);
    free(get->body);
    free(get);
}

/* The last close of a large file that was evicted frees its blocks: that is a worker's work. */
static void finish_get(struct get *get)
{
    if (get->file.fd < 0 || get->file.size < CLOSE_ON_WORKER ||
        rpd_job_submit(get->store->service, close_file, free_get, get) < 0)
        free_get(get->store->service, get, false);
}

/* [worker] */
static int check_body(struct get *get)
{
    const bool is_small = get->file.size <= HOT_OBJECT_MAX;

    if (!get->wants_body || (!is_small && get->file.mark == get->known_mark))
        return 0;
    if (is_small) {
        get->body = malloc((size_t)get->file.size + 1);
        if (!get->body)
            return ENOMEM;
    }
    return object_check_body(&get->file, get->body);
}

static void run_get(struct rpd_job *job, void *arg)
{
    struct get *get = arg;

    (void)job;
    get->has_run = true;
    get->error = object_open(get->store->directory, &get->key, &get->file);
    if (get->error)
        return;
    get->error = check_body(get);
    if (get->error == EBADMSG)
        object_remove_damaged(get->store->directory, get->id, get->file.fd);
    if (get->error || get->body || !get->wants_body) {
        close(get->file.fd);
        get->file.fd = -1;
    }
}

/* What the worker has found goes into the index, unless a put or an eviction has overtaken it. */
static void learn(struct store *store, struct get *get)
{
    struct index_entry *entry = index_find(&store->index, get->id);
    const bool is_current = shard_of(store, get->id)->changes == get->changes;

    if (get->error == EBADMSG) {
        store->counters.damaged++;
        rpd_log(store->service, RPD_LOG_WARNING,
                "%s: an object was damaged: it is removed, and counts as a miss", store->path);
    }
    if (!is_current)
        return;
    if (get->error == ENOENT || get->error == EBADMSG) {
        if (entry)
            index_remove(&store->index, entry);
        return;
    }
    if (get->error)
        return;
    if (entry)
        use(store, entry);
    else
        add_to_index(store, &get->key, get->id, get->file.size);
    entry = index_find(&store->index, get->id);
    if (entry && get->wants_body && !get->body)
        entry->mark = get->file.mark;
}

static void sent(struct rpd_conn *conn, void *arg, int error)
{
    (void)conn, (void)error;
    finish_get(arg);
}

static void send_found(struct rpd_conn *conn, struct get *get)
{
    struct store *store = get->store;

    store->counters.hits++;
    session_of(conn)->front->found(conn, get->file.size);
    if (!get->wants_body) {
        session_of(conn)->front->written(conn);
        finish_get(get);
        return;
    }
    store->counters.bytes_read += get->file.size;
    if (get->body) {
        rpd_conn_write(conn, get->body, (size_t)get->file.size);
        if (shard_of(store, get->id)->changes == get->changes) {
            hot_add(&store->hot, get->id, &get->key, get->body, (size_t)get->file.size);
            get->body = NULL;
        }
        finish_get(get);
        session_of(conn)->front->written(conn);
    } else if (rpd_conn_send_file(conn, get->file.fd, get->file.offset, get->file.size, sent,
                                  get) == 0) {
        session_of(conn)->front->written(conn);
    } else {
        finish_get(get);
        rpd_conn_abort(conn); /* its client has been promised a body */
    }
}

static void got(struct rpd_conn *conn, void *arg, int error)
{
    struct get *get = arg;
    struct store *store = get->store;

    (void)error;
    if (get->has_run)
        learn(store, get);
    if (conn && get->has_run && get->error == 0) {
        send_found(conn, get);
        return;
    }
    if (conn && (!get->has_run || get->error == ENOMEM)) {
        fail(conn);
    } else if (conn) {
        if (get->error != ENOENT && get->error != EBADMSG) {
            store->counters.disk_errors++;
            rpd_log(store->service, RPD_LOG_ERROR,
                    "%s: an object cannot be read: %s; it counts as a miss", store->path,
                    strerror(get->error));
        }
        miss(conn);
    }
    finish_get(get);
}

static void ask_disk(struct rpd_conn *conn, const struct object_key *key, struct object_id id,
                     const struct index_entry *entry, bool wants_body)
{
    struct store *store = session_of(conn)->store;
    struct get *get = malloc(sizeof *get);

    if (get) {
        *get = (struct get){.store = store,
                            .id = id,
                            .wants_body = wants_body,
                            .known_mark = entry ? entry->mark : 0,
                            .changes = shard_of(store, id)->changes,
                            .file = {.fd = -1}};
        get->key.size = key->size;
        memcpy(get->key.bytes, key->bytes, key->size);
    }
    if (!get || rpd_conn_job(conn, run_get, got, get) < 0) {
        free(get);
        fail(conn);
    }
}

void store_get(struct rpd_conn *conn, const struct object_key *key, bool wants_body)
{
    struct session *session = session_of(conn);
    struct store *store = session->store;
    const struct object_id id = object_id_of(key);
    struct index_entry *entry = index_find(&store->index, id);
    const struct hot_object *hot = hot_find(&store->hot, id, key);

    if (hot) {
        store->counters.hits++;
        store->counters.memory_hits++;
        if (entry)
            use(store, entry);
        session->front->found(conn, hot->size);
        if (wants_body) {
            store->counters.bytes_read += hot->size;
            rpd_conn_write(conn, hot->body, hot->size);
        }
        session->front->written(conn);
    } else if (!entry && shard_of(store, id)->is_loaded) {
        miss(conn);
    } else {
        ask_disk(conn, key, id, entry, wants_body);
    }
}

/* ---- put ------------------------------------------------------------------------------------ */

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
        store->counters.puts_refused++;
        store->counters.disk_errors += put->outcome == STORE_NO_SPACE ||
                                       put->outcome == STORE_FAILED;
        if (put->outcome == STORE_NO_SPACE || put->outcome == STORE_FAILED)
            set_degraded(store, "cannot store: the disk is full, or fails; see the log");
        return;
    }
    store->counters.puts++;
    store->counters.bytes_written += put->writer.size;
    set_degraded(store, NULL);
}

static void received(struct rpd_conn *conn, void *arg, int error)
{
    struct put *put = arg;
    struct store *store = put->store;

    store->reserved -= put->reserved;
    if (put->outcome == STORE_STORED) {
        const struct object_id id = object_id_of(&put->writer.key);
        change(store, id);
        add_to_index(store, &put->writer.key, id, put->writer.size);
    }
    count_put(store, put);
    if (conn && !error && put->outcome != STORE_PENDING)
        session_of(conn)->front->stored(conn, put->outcome);
    else if (conn)
        session_of(conn)->front->failed(conn);
    if (conn)
        session_of(conn)->front->written(conn);
    finish_put(put);
    store_make_room(store, 0);
    store_resume_waiting(store);
}

void store_put(struct rpd_conn *conn, const struct object_key *key, const struct store_put *what)
{
    struct store *store = session_of(conn)->store;
    struct put *put = calloc(1, sizeof *put);
    int began = -1;

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
        fail(conn);
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
        change(store, id);
        store->counters.removes++;
        if (entry)
            index_remove(&store->index, entry);
    }
    if (conn) {
        session_of(conn)->front->removed(conn, removal->was_there);
        session_of(conn)->front->written(conn);
    }
    free(removal);
}

void store_remove(struct rpd_conn *conn, const struct object_key *key)
{
    struct removal *removal = calloc(1, sizeof *removal);

    if (removal) {
        removal->store = session_of(conn)->store;
        removal->key = *key;
    }
    if (!removal || rpd_conn_job(conn, run_removal, removed, removal) < 0) {
        free(removal);
        fail(conn);
    }
}
