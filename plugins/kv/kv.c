/* kv: a cache that speaks Redis's protocol, and serves while it loads. README.md says how it
 * is used; kv.h has its state. */
#include "kv.h"

#include "client.h"
#include "load.h"
#include "multi.h"
#include "save.h"
#include "steps.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_US = 50000,
    TICK_BUSY_US = 5000, /* where much has expired, or is to be moved */
    EXPIRE_US = 1000,    /* of a tick */
    COMPACT_US = 1500,
    DEFERRED_AT_ONCE = 500,
    DEFERRED_US = 1000
};

static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("maxmemory", 0, 0, 1e15,
                       "bytes that keys and values may take; beyond it the least recently used "
                       "are evicted (0: no limit)"),
    RPD_OPTION_STRING("snapshot", NULL, "the file that is loaded at the start, and saved to"),
    RPD_OPTION_INTEGER("save_interval_s", 0, 0, 31536000,
                       "save that often, if anything has changed (0: only when asked)"),
    RPD_OPTION_BOOLEAN("save_at_stop", 1, "whether a stop saves, if anything has changed"),
    RPD_OPTION_BOOLEAN("stop_writes_on_save_error", 1,
                       "whether writes are refused (-MISCONF) after a save that failed, until one "
                       "succeeds"),
    RPD_OPTION_STRING("loading", "error",
                      "what a request for keys that are not loaded yet gets: \"error\" "
                      "(-LOADING), or \"hold\" (it waits)"),
    RPD_OPTION_STRING("password", NULL, "what clients must give with AUTH or HELLO"),
    RPD_OPTION_SECRET("password_file", "a file with the password, in place of \"password\""),
    RPD_OPTIONS_END,
};

static const struct rpd_option_detail details[] = {
    RPD_DETAIL_SIZE("maxmemory", 0),
    RPD_DETAIL_PATH("snapshot", 0),
    RPD_DETAIL_DURATION("save_interval_s", RPD_UNIT_SECONDS, 0),
    RPD_DETAIL_CHOICES("loading", "error|hold", 0),
    RPD_DETAIL("password", RPD_OPTION_IS_SECRET),
    RPD_DETAILS_END,
};

const char *kv_password(const struct rpd_service *service)
{
    const char *secret = rpd_option_secret(service, "password_file");

    return secret ? secret : rpd_option_string(service, "password");
}

void kv_loading_text(struct rpd_service *service, char text[KV_LOADING_SIZE])
{
    const struct rpd_progress progress = rpd_service_progress(service);

    if (progress.ready)
        snprintf(text, KV_LOADING_SIZE,
                 "MISCONF this part of the snapshot is lost: see the log; "
                 "FLUSHALL begins anew");
    else
        snprintf(text, KV_LOADING_SIZE, "LOADING kv is loading the dataset in memory: %d%%",
                 (int)(progress.fraction * 100));
}

void kv_note_step(struct kv *kv, int64_t began_us)
{
    const int64_t took_us = kv_clock_thread_us() - began_us;

    if (took_us > kv->longest_step_us)
        kv->longest_step_us = took_us;
}

/* ---- flushing --------------------------------------------------------------------- */

static void destroy(struct rpd_job *job, void *arg)
{
    struct trash *trash = arg;

    (void)job;
    database_destroy(trash->database);
    trash->database = NULL;
}

/* Cancelled before it began, it is left to the unload. */
static void destroyed(struct rpd_service *service, void *arg, bool cancelled)
{
    struct kv *kv = rpd_service_state(service);
    struct trash *trash = arg;

    (void)cancelled;
    if (trash->database)
        TAILQ_INSERT_TAIL(&kv->trash, trash, link);
    else
        free(trash);
}

void kv_empty_trash(struct kv *kv)
{
    struct trash *trash;

    while (!kv->save && (trash = TAILQ_FIRST(&kv->trash))) {
        TAILQ_REMOVE(&kv->trash, trash, link);
        if (rpd_job_submit(kv->service, destroy, destroyed, trash) < 0) {
            TAILQ_INSERT_HEAD(&kv->trash, trash, link);
            return; /* the next tick tries again */
        }
    }
}

static int flush_one(struct kv *kv, unsigned database)
{
    struct trash *trash = malloc(sizeof *trash);
    struct database *detached = trash ? store_detach(&kv->store, database) : NULL;

    if (!detached) {
        free(trash);
        return -1;
    }
    trash->database = detached;
    TAILQ_INSERT_TAIL(&kv->trash, trash, link);
    return 0;
}

int kv_flush(struct kv *kv, unsigned first, unsigned last)
{
    int result = 0;

    save_cancel(kv);
    watch_flush(kv, first, last);
    for (unsigned i = first; i <= last && result == 0; i++)
        if (kv->store.databases[i].count > 0)
            result = flush_one(kv, i);
    kv_empty_trash(kv);
    return result;
}

/* ---- large mappings ------------------------------------------------------------ */

/* What a job unmaps. One that is cancelled may have run all the same. */
struct unmapping {
    struct heap_mapping *first; /* NULL: it is done */
};

static void unmap(struct rpd_job *job, void *arg)
{
    struct unmapping *unmapping = arg;

    (void)job;
    heap_unmap(unmapping->first);
    unmapping->first = NULL;
}

static void unmapped(struct rpd_service *service, void *arg, bool cancelled)
{
    struct unmapping *unmapping = arg;

    (void)service;
    (void)cancelled;
    heap_unmap(unmapping->first);
    free(unmapping);
}

/* On a worker, for that takes long. */
static void unmap_discarded(struct kv *kv, struct heap *heap)
{
    struct heap_mapping *first = heap_take_discarded(heap);
    struct unmapping *unmapping = first ? malloc(sizeof *unmapping) : NULL;

    if (unmapping)
        unmapping->first = first;
    if (unmapping && rpd_job_submit(kv->service, unmap, unmapped, unmapping) == 0)
        return;
    heap_unmap(first);
    free(unmapping);
}

void kv_unmap_discarded(struct kv *kv)
{
    unmap_discarded(kv, &kv->copies);
    for (unsigned i = 0; i < STORE_DATABASES; i++)
        unmap_discarded(kv, &kv->store.databases[i].heap);
}

/* ---- time ------------------------------------------------------------------------- */

/* What a save has kept. */
static void free_deferred(struct kv *kv)
{
    const int64_t until = kv_clock_monotonic_us() + DEFERRED_US;

    while (!kv->save && store_free_deferred(&kv->store, DEFERRED_AT_ONCE) &&
           kv_clock_monotonic_us() < until)
        continue;
}

/* Whether there is more to do. */
static bool tidy(struct kv *kv)
{
    bool is_busy;

    kv_clock_forget(&kv->store.clock);
    is_busy = store_expire_some(&kv->store, EXPIRE_US);
    is_busy |= store_compact(&kv->store, COMPACT_US);
    free_deferred(kv);
    store_keep_limit(&kv->store);
    return is_busy;
}

/* While a command goes on in steps, all stays as it is for it. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct kv *kv = arg;
    const int64_t began_us = kv_clock_thread_us();
    struct timeval next = {.tv_usec = TICK_US};

    (void)fd;
    (void)what;
    if (!kv->steps) {
        if (tidy(kv))
            next.tv_usec = TICK_BUSY_US;
        kv_empty_trash(kv);
        save_tick(kv);
    }
    kv_unmap_discarded(kv);
    metrics_show(kv);
    kv_note_step(kv, began_us);
    event_add(kv->timer, &next);
}

static void on_ready(struct rpd_service *service, void *state)
{
    const struct timeval tick = {.tv_usec = TICK_US};
    struct kv *kv = state;

    if (!kv) /* degraded: the header of its snapshot is damaged, and requests get -MISCONF */
        return;
    kv->service = service;
    load_finished(kv);
    kv->is_ready = true;
    client_resume_held(kv);
    kv->timer = event_new(rpd_service_event_base(service), -1, 0, on_tick, kv);
    if (!kv->timer || event_add(kv->timer, &tick) < 0)
        rpd_log(service, RPD_LOG_ERROR,
                "no memory for the timer: keys expire only when they are asked for");
}

/* Under the policy "refuse". */
static void on_busy(struct rpd_conn *conn)
{
    char text[KV_LOADING_SIZE];

    kv_loading_text(rpd_conn_service(conn), text);
    rpd_conn_printf(conn, "-%s\r\n", text);
}

static void on_drain(struct rpd_service *service, void *state)
{
    struct kv *kv = state;

    (void)service;
    if (kv)
        kv->is_draining = true;
}

static void on_stop(struct rpd_service *service, void *state)
{
    struct kv *kv = state;

    (void)service;
    if (kv)
        steps_finish(kv);
    if (kv && kv->timer)
        event_free(kv->timer);
}

RPD_BACKEND(kv, .summary = "A cache with Redis's protocol, which serves while it loads",
            .version = "1", .options = options, .metrics = kv_metrics, .claim = owner_claim,
            .load = load_begin, .unload = load_unload, .on_ready = on_ready,
            .on_connect = client_connect, .on_data = client_data, .on_close = client_close,
            .on_drain = on_drain, .stop = on_stop, .warmup = RPD_WARMUP_SERVE,
            .serves_without_state = true, .on_busy = on_busy,
            .probe = RPD_PROBE("PING\r\n", "+PONG\r\n"), .option_details = details);
