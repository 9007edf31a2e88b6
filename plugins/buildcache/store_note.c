/* When objects were used, on disk: their atime. So the order of eviction survives a restart, and
 * all but the last second of it a kill. See store.h. */
#include "store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { BATCH = 1024, NOTE_AFTER_MS = 1000, TICK_US = 100000 };

/* Before that nothing was used. */
#define TEN_YEARS_US (UINT64_C(10) * 365 * 86400 * 1000000)

struct noting {
    struct store *store;
    size_t count;
    struct index_note notes[BATCH];
};

uint32_t store_tick(struct store *store)
{
    struct timespec now;
    uint64_t now_us;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (store->tick_0_us == 0)
        store->tick_0_us = now_us / 1000000 * 1000000 - TEN_YEARS_US;
    if (now_us > store->tick_0_us && (now_us - store->tick_0_us) / TICK_US > store->tick)
        store->tick = (uint32_t)((now_us - store->tick_0_us) / TICK_US);
    return store->tick;
}

/* ---- on a worker ---------------------------------------------------------------------------- */

/* The mtime stays: it is the body's. */
static void note(const struct store *store, const struct index_note *one)
{
    const uint64_t used_us = store->tick_0_us + one->used;
    const struct timespec times[] = {
        {(time_t)(used_us / 1000000), (long)(used_us % 1000000 * 1000)}, {0, UTIME_OMIT}};
    char path[OBJECT_PATH_SIZE];

    object_path(one->id, path);
    utimensat(store->directory, path, times, AT_SYMLINK_NOFOLLOW);
}

static void run_noting(struct rpd_job *job, void *arg)
{
    const struct noting *noting = arg;

    (void)job;
    for (size_t i = 0; i < noting->count; i++)
        note(noting->store, &noting->notes[i]);
}

static void take(struct noting *noting)
{
    noting->count = 0;
    for (unsigned i = 0; i < OBJECT_FOLDERS && noting->count < BATCH; i++)
        noting->count += index_take_unnoted(&noting->store->index, i, noting->notes + noting->count,
                                            BATCH - noting->count);
}

void store_note_all(struct store *store)
{
    struct noting *noting = malloc(sizeof *noting);

    if (!noting)
        return;
    noting->store = store;
    for (take(noting); noting->count > 0; take(noting))
        for (size_t i = 0; i < noting->count; i++)
            note(store, &noting->notes[i]);
    free(noting);
}

/* ---- on the loop ---------------------------------------------------------------------------- */

static void noted(struct rpd_service *service, void *arg, bool cancelled)
{
    struct noting *noting = arg;
    struct store *store = noting->store;
    const bool is_full = noting->count == BATCH;

    (void)cancelled;
    store->is_noting = false;
    if (is_full && !store->is_stopping) {
        take(noting);
        if (noting->count > 0 && rpd_job_submit(service, run_noting, noted, noting) == 0) {
            store->is_noting = true;
            return;
        }
    }
    free(noting);
}

static void on_timer(struct rpd_service *service, void *arg)
{
    struct store *store = arg;
    struct noting *noting;

    store->note_timer = NULL;
    if (store->is_noting || !(noting = malloc(sizeof *noting))) {
        store_note_later(store);
        return;
    }
    noting->store = store;
    take(noting);
    if (noting->count == 0 || rpd_job_submit(service, run_noting, noted, noting) < 0)
        free(noting);
    else
        store->is_noting = true;
}

void store_note_later(struct store *store)
{
    if (!store->note_timer && !store->is_stopping)
        store->note_timer = rpd_timer(store->service, NOTE_AFTER_MS, on_timer, store);
}
