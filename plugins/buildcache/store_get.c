/* Getting objects. See store.h. */
#include "store_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLOSE_ON_WORKER = 16 * 1024 * 1024 };

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
    const bool is_current = store_shard(store, get->id)->changes == get->changes;

    if (get->error == EBADMSG) {
        store_count(store, NUMBER_DAMAGED, 1);
        rpd_log(store->service, RPD_LOG_WARNING,
                "%s: an object was damaged: it is removed, and counts as a miss", store->path);
    }
    if (entry && !get->error) /* it was wanted, whatever has become of it since */
        store_use(store, entry);
    if (!is_current)
        return;
    if (get->error == ENOENT || get->error == EBADMSG) {
        if (entry)
            index_remove(&store->index, entry);
        return;
    }
    if (get->error)
        return;
    if (!entry)
        store_add(store, &get->key, get->id, get->file.size);
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

    store_count(store, NUMBER_HITS_DISK, 1);
    store_session(conn)->front->found(conn, get->file.size);
    if (!get->wants_body) {
        store_answered(conn);
        finish_get(get);
        return;
    }
    store_count(store, NUMBER_READ_DISK, get->file.size);
    if (get->body) {
        rpd_conn_write(conn, get->body, (size_t)get->file.size);
        if (store_shard(store, get->id)->changes == get->changes) {
            hot_add(&store->hot, get->id, &get->key, get->body, (size_t)get->file.size);
            get->body = NULL;
        }
        finish_get(get);
        store_answered(conn);
    } else if (rpd_conn_send_file(conn, get->file.fd, get->file.offset, get->file.size, sent,
                                  get) == 0) {
        store_answered(conn);
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
        store_fail(conn);
    } else if (conn) {
        if (get->error != ENOENT && get->error != EBADMSG) {
            store_count(store, NUMBER_DISK_ERRORS, 1);
            rpd_log(store->service, RPD_LOG_ERROR,
                    "%s: an object cannot be read: %s; it counts as a miss", store->path,
                    strerror(get->error));
        }
        store_miss(conn);
    }
    finish_get(get);
}

static void ask_disk(struct rpd_conn *conn, const struct object_key *key, struct object_id id,
                     const struct index_entry *entry, bool wants_body)
{
    struct store *store = store_session(conn)->store;
    struct get *get = malloc(sizeof *get);

    if (get) {
        *get = (struct get){.store = store,
                            .id = id,
                            .wants_body = wants_body,
                            .known_mark = entry ? entry->mark : 0,
                            .changes = store_shard(store, id)->changes,
                            .file = {.fd = -1}};
        get->key.size = key->size;
        memcpy(get->key.bytes, key->bytes, key->size);
    }
    if (!get || rpd_conn_job(conn, run_get, got, get) < 0) {
        free(get);
        store_fail(conn);
    }
}

void store_get(struct rpd_conn *conn, const struct object_key *key, bool wants_body)
{
    struct session *session = store_session(conn);
    struct store *store = session->store;
    const struct object_id id = object_id_of(key);
    struct index_entry *entry = index_find(&store->index, id);
    const struct hot_object *hot = hot_find(&store->hot, id, key);

    store_begin(conn, NUMBER_GET_TIME);
    if (hot) {
        store_count(store, NUMBER_HITS_MEMORY, 1);
        if (entry)
            store_use(store, entry);
        session->front->found(conn, hot->size);
        if (wants_body) {
            store_count(store, NUMBER_READ_MEMORY, hot->size);
            rpd_conn_write(conn, hot->body, hot->size);
        }
        store_answered(conn);
    } else if (!entry && store_shard(store, id)->is_loaded) {
        store_miss(conn);
    } else {
        ask_disk(conn, key, id, entry, wants_body);
    }
}
