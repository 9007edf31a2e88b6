/* Room: the cap on the size of the store, eviction, and puts that wait. See store.h.
 *
 *     95 % of max_size   eviction stops
 *     97 %               eviction begins
 *     102 %              puts wait until objects that are being removed are gone
 *
 * What counts is what is on disk and what puts under way may still write. Nothing is evicted until
 * the index is complete, because the oldest is not known before. */
#include "store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, EVICTIONS_MAX = 2 };

struct eviction {
    struct store *store;
    struct timespec chosen; /* when they were */
    size_t count;
    uint64_t bytes;
    struct object_id ids[BATCH];
    uint64_t spared[BATCH]; /* bytes of disk; 0: it is gone */
};

/* [worker] The bytes of disk of a file that was written since the objects were chosen: it may be
 * another than the one that was to go. Otherwise 0. */
static uint64_t newer_bytes(const struct eviction *eviction, const char *path)
{
    const struct timespec *chosen = &eviction->chosen;
    struct stat status;

    if (fstatat(eviction->store->directory, path, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        status.st_mtim.tv_sec < chosen->tv_sec ||
        (status.st_mtim.tv_sec == chosen->tv_sec && status.st_mtim.tv_nsec < chosen->tv_nsec))
        return 0;
    return object_disk_bytes((uint64_t)status.st_size);
}

static void run_eviction(struct rpd_job *job, void *arg)
{
    struct eviction *eviction = arg;
    char path[OBJECT_PATH_SIZE];

    (void)job;
    for (size_t i = 0; i < eviction->count; i++) {
        object_path(eviction->ids[i], path);
        eviction->spared[i] = newer_bytes(eviction, path);
        if (eviction->spared[i] == 0)
            unlinkat(eviction->store->directory, path, 0);
    }
}

/* What was spared is on disk, so it is in the index: its put has added it, or it is added again. */
static void add_spared(struct store *store, const struct eviction *eviction)
{
    for (size_t i = 0; i < eviction->count; i++)
        if (eviction->spared[i] > 0 && !index_find(&store->index, eviction->ids[i]))
            index_put(&store->index, eviction->ids[i], eviction->spared[i], store_tick(store));
}

static void evicted(struct rpd_service *service, void *arg, bool cancelled)
{
    struct eviction *eviction = arg;
    struct store *store = eviction->store;

    (void)service, (void)cancelled;
    store->leaving -= eviction->bytes;
    store->evictions--;
    add_spared(store, eviction);
    free(eviction);
    store_make_room(store, 0);
    store_show(store);
    store_resume_waiting(store);
}

static uint64_t share_of(const struct store *store, unsigned percent)
{
    return store->max_size / 100 * percent;
}

static void take_oldest(struct store *store, struct eviction *eviction, struct index_entry *entry)
{
    const uint64_t before = store->index.bytes;

    eviction->ids[eviction->count++] = entry->id;
    hot_remove(&store->hot, entry->id);
    store->index.shards[entry->id.bytes[0]].changes++;
    index_remove(&store->index, entry);
    eviction->bytes += before - store->index.bytes;
}

static struct eviction *take_batch(struct store *store, uint64_t extra)
{
    struct eviction *eviction = store->held_eviction;
    struct index_entry *entry;

    store->held_eviction = NULL;
    if (eviction || !(eviction = calloc(1, sizeof *eviction)))
        return eviction;
    eviction->store = store;
    clock_gettime(CLOCK_REALTIME_COARSE, &eviction->chosen); /* as the kernel has it for files */
    while (eviction->count < BATCH &&
           store->index.bytes + store->reserved + extra > share_of(store, 95) &&
           (entry = index_oldest(&store->index)))
        take_oldest(store, eviction, entry);
    store->leaving += eviction->bytes;
    store_count(store, NUMBER_EVICTED, eviction->count);
    store_count(store, NUMBER_EVICTED_BYTES, eviction->bytes);
    return eviction;
}

/* False: there is no more to do, or it cannot be done now. */
static bool evict_batch(struct store *store, uint64_t extra)
{
    struct eviction *eviction = take_batch(store, extra);

    if (eviction && eviction->count > 0) {
        if (rpd_job_submit(store->service, run_eviction, evicted, eviction) == 0) {
            store->evictions++;
            return true;
        }
        store->held_eviction = eviction;
        return false;
    }
    free(eviction);
    return false;
}

void store_make_room(struct store *store, uint64_t extra)
{
    if (!store->is_ready || store->max_size == 0 || store->is_stopping ||
        store->index.bytes + store->reserved + extra <= share_of(store, 97))
        return;
    while (store->evictions < EVICTIONS_MAX && evict_batch(store, extra))
        continue;
}

bool store_must_wait(struct rpd_conn *conn, uint64_t size)
{
    struct session *session = rpd_conn_data(conn);
    struct store *store = session->store;
    const uint64_t wanted = object_disk_bytes(size);

    if (!store->is_ready || store->max_size == 0 || store->is_stopping ||
        store->index.bytes + store->leaving + store->reserved + wanted <= share_of(store, 102))
        return false;
    store_make_room(store, wanted);
    if (store->evictions == 0 && store->reserved == 0)
        return false; /* there is nothing to wait for */
    TAILQ_INSERT_TAIL(&store->waiting, session, link);
    session->is_waiting = true;
    rpd_conn_pause(conn);
    return true;
}

void store_resume_waiting(struct store *store)
{
    struct session *session;

    while ((session = TAILQ_FIRST(&store->waiting))) {
        TAILQ_REMOVE(&store->waiting, session, link);
        session->is_waiting = false;
        rpd_conn_resume(session->conn);
    }
}
