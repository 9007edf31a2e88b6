/* The store itself, and what its requests share. See store.h. */
#include "store_inside.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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
    store->numbers = rpd_service_metrics(service);
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

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void store_begin(struct rpd_conn *conn, enum number time)
{
    store_session(conn)->time = time;
    store_session(conn)->began_us = now_us();
}

void store_show(const struct store *store)
{
    rpd_metric_set(store->numbers[NUMBER_OBJECTS], (int64_t)store->index.count);
    rpd_metric_set(store->numbers[NUMBER_OBJECT_BYTES], (int64_t)store->index.bytes);
    rpd_metric_set(store->numbers[NUMBER_MEMORY_BYTES], (int64_t)store->hot.bytes);
    rpd_metric_set(store->numbers[NUMBER_RESERVED], (int64_t)store->reserved);
}

void store_answered(struct rpd_conn *conn)
{
    struct session *session = store_session(conn);

    rpd_metric_observe(session->store->numbers[session->time], now_us() - session->began_us);
    store_show(session->store);
    session->front->written(conn);
}

void store_fail(struct rpd_conn *conn)
{
    store_session(conn)->front->failed(conn);
    store_answered(conn);
}

void store_miss(struct rpd_conn *conn)
{
    store_count(store_session(conn)->store, NUMBER_MISSES, 1);
    store_session(conn)->front->missing(conn);
    store_answered(conn);
}

void store_use(struct store *store, struct index_entry *entry)
{
    index_use(&store->index, entry, store_tick(store));
    store_note_later(store);
}

void store_change(struct store *store, struct object_id id)
{
    store_shard(store, id)->changes++;
    hot_remove(&store->hot, id);
}

void store_add(struct store *store, const struct object_key *key, struct object_id id,
               uint64_t body_size)
{
    const uint64_t bytes = object_disk_bytes(OBJECT_HEAD_SIZE + key->size + body_size);

    if (index_put(&store->index, id, bytes, store_tick(store)) < 0)
        rpd_log(store->service, RPD_LOG_ERROR,
                "index: out of memory: an object is not counted until the next start");
    store_note_later(store);
}

void store_set_degraded(struct store *store, const char *reason)
{
    if (!reason && !store->is_degraded)
        return;
    store->is_degraded = reason != NULL;
    rpd_service_set_degraded(store->service, reason);
}
