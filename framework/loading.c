/* Loading. See loading.h for the phases.
 *
 * Whatever happens, a run that ends, a failure, a cancel, only notes it and
 * asks for a look; look() sees what is true and does what follows. */
#include "loading.h"

#include "backoff.h"
#include "clock.h"
#include "crash.h"
#include "libevent.h"
#include "load_progress.h"
#include "log.h"
#include "stack.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    HEED_US = 10 * 1000000, /* a cancelled run that does not return until then is given up */
    ASK_US = 1000000
};

/* One run: of load() itself, or of a part. It is kept until the end, to be seen
 * in the state page. */
struct rpd_load {
    struct job job; /* first: the pool's view of it */
    struct loading *loading;
    bool is_root;
    rpd_load_fn load;
    void (*attach)(void *state, void *part);
    void (*discard)(void *part);
    void *arg;
    void *result;
    bool failed;                 /* by rpd_load_fail() */
    char *failure;               /* NULL: there was no memory for it */
    struct rpd_state_part *part; /* its place in the state page, or own_part */
    struct rpd_state_part own_part;
    struct load_meter meter;
    uint64_t cpu_us;     /* its worker's, when last looked at */
    uint64_t stalled_us; /* since it was cancelled for want of progress */
    unsigned retry_s;
    struct event retry;
    TAILQ_ENTRY(rpd_load) link;
    TAILQ_HEAD(added_parts, rpd_load) added; /* by the root's run, until it is done */
};

/* What frees a state, or a part that was never attached, on a worker. */
struct disposal {
    struct job job;
    struct loading *loading;
    void (*dispose)(void *what);
    void *what;
};

static void look_later(struct loading *loading)
{
    event_active(loading->look, 0, 0);
}

static enum rpd_part_state state_of(const struct rpd_load *run)
{
    return (enum rpd_part_state)__atomic_load_n(&run->part->state, __ATOMIC_RELAXED);
}

static void set_state(struct rpd_load *run, enum rpd_part_state state)
{
    __atomic_store_n(&run->part->state, (uint32_t)state, __ATOMIC_RELAXED);
}

static bool is_optional(const struct rpd_load *run)
{
    return run->part->flags & RPD_PART_OPTIONAL;
}

/* ---- disposal ------------------------------------------------------------- */

static void run_disposal(struct job *job)
{
    struct disposal *disposal = (struct disposal *)job;

    crash_enter(disposal->loading->service_name, disposal->loading->plugin);
    disposal->dispose(disposal->what);
    crash_leave();
}

static void disposal_done(struct job *job, bool cancelled)
{
    struct disposal *disposal = (struct disposal *)job;

    (void)cancelled;
    disposal->loading->pending--;
    look_later(disposal->loading);
    free(disposal);
}

/* Where there is no memory even for this, it is leaked rather than freed on
 * the loop. */
static void dispose_on_worker(struct loading *loading, void (*dispose)(void *what), void *what)
{
    struct disposal *disposal = what && dispose ? calloc(1, sizeof *disposal) : NULL;

    if (!disposal)
        return;
    *disposal = (struct disposal){
        .job = {.run = run_disposal, .done = disposal_done},
        .loading = loading,
        .dispose = dispose,
        .what = what,
    };
    if (pool_submit(loading->pool, &disposal->job, JOB_LOAD) < 0)
        free(disposal);
    else
        loading->pending++;
}

/* ---- runs -------------------------------------------------------------------- */

static void run_load(struct job *job)
{
    struct rpd_load *run = (struct rpd_load *)job;

    set_state(run, RPD_PART_LOADING);
    crash_enter(run->loading->service_name, run->loading->plugin);
    run->result = run->load(run);
    crash_leave();
}

static void run_done(struct job *job, bool cancelled);
static void on_retry(evutil_socket_t fd, short what, void *arg);

/* [worker] of the run that adds it, or [loop]. */
static struct rpd_load *make_run(struct loading *loading, const struct rpd_load_part *part)
{
    struct rpd_load *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->job.run = run_load;
    run->job.done = run_done;
    run->loading = loading;
    run->part = &run->own_part;
    snprintf(run->part->name, sizeof run->part->name, "%s", part->name ? part->name : "part");
    run->part->flags = part->optional ? RPD_PART_OPTIONAL : 0;
    run->load = part->load;
    run->attach = part->attach;
    run->discard = part->discard;
    run->arg = part->arg;
    TAILQ_INIT(&run->added);
    return run;
}

/* From here on it is seen. */
static void show(struct rpd_load *run)
{
    struct loading *loading = run->loading;
    struct rpd_state_page *page = loading->page;

    if (loading->run_count < RPD_STATE_PARTS) {
        page->parts[loading->run_count] = run->own_part;
        run->part = &page->parts[loading->run_count];
    }
    load_meter_reset(&run->meter, run->part);
    TAILQ_INSERT_TAIL(&loading->runs, run, link);
    if (!loading->unfinished)
        loading->unfinished = run;
    loading->run_count++;
    __atomic_store_n(&page->part_count, (uint32_t)loading->run_count, __ATOMIC_RELEASE);
    evtimer_assign(&run->retry, loading->base, on_retry, run);
}

static void submit(struct rpd_load *run)
{
    struct loading *loading = run->loading;

    set_state(run, RPD_PART_WAITING);
    load_meter_reset(&run->meter, run->part);
    run->part->attempts++;
    run->failed = false;
    free(run->failure);
    run->failure = NULL;
    run->result = NULL;
    run->stalled_us = run->cpu_us = 0;
    loading->pending++;
    if (pool_submit(loading->pool, &run->job, JOB_LOAD) < 0)
        run_done(&run->job, true);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    submit(arg);
}

static void forget_added(struct rpd_load *root)
{
    struct rpd_load *part;

    while ((part = TAILQ_FIRST(&root->added))) {
        TAILQ_REMOVE(&root->added, part, link);
        free(part); /* it has never run */
    }
}

/* The root's parts start once the loop has the state. */
static void start_parts(struct rpd_load *root)
{
    struct rpd_load *part;

    while ((part = TAILQ_FIRST(&root->added))) {
        TAILQ_REMOVE(&root->added, part, link);
        show(part);
        submit(part);
    }
}

/* ---- how a run ends ------------------------------------------------------------- */

static void log_end(const struct rpd_load *run)
{
    char unit[16];

    load_progress_unit(run->part, unit);
    log_line(RPD_LOG_DEBUG, run->loading->service_name, "%s ended at %llu of %llu %s",
             run->part->name,
             (unsigned long long)__atomic_load_n(&run->part->done, __ATOMIC_RELAXED),
             (unsigned long long)__atomic_load_n(&run->part->total, __ATOMIC_RELAXED), unit);
}

static void take_result(struct rpd_load *run)
{
    struct loading *loading = run->loading;

    set_state(run, RPD_PART_LOADED);
    if (run->is_root) {
        loading->state = run->result;
        loading->events->state(loading->service, loading->state);
        start_parts(run);
        return;
    }
    crash_enter(loading->service_name, loading->plugin);
    if (run->attach)
        run->attach(loading->state, run->result);
    crash_leave();
}

/* The daemon stops, or the run was given up: nobody wants its result any more. */
static void drop_result(struct rpd_load *run)
{
    struct loading *loading = run->loading;

    if (run->is_root && !loading->state)
        loading->state = run->result; /* unloaded with what the stop unloads */
    else
        dispose_on_worker(loading, run->discard, run->result);
}

static void retry_later(struct rpd_load *run, const char *why)
{
    struct loading *loading = run->loading;
    struct timeval pause;

    run->retry_s = backoff_s(run->retry_s);
    set_state(run, RPD_PART_PAUSED);
    log_line(RPD_LOG_WARNING, loading->service_name, "load failed: %s; tries again in %u s", why,
             run->retry_s);
    pause = (struct timeval){.tv_sec = run->retry_s};
    event_add(&run->retry, &pause);
}

static void give_up(struct rpd_load *run, const char *why)
{
    struct loading *loading = run->loading;

    set_state(run, RPD_PART_FAILED);
    loading->degraded = true;
    log_line(RPD_LOG_WARNING, loading->service_name, "load failed: %s; going on without it", why);
}

/* What was declared for it. hopeless: its worker does not come back. */
static void fail(struct rpd_load *run, const char *cause, bool hopeless)
{
    struct loading *loading = run->loading;
    char why[LOADING_TEXT_MAX];

    snprintf(why, sizeof why, "%s%s%.400s", run->is_root ? "" : run->part->name,
             run->is_root ? "" : ": ", cause);
    if (loading->on_failure == LOAD_FAILURE_RETRY && !hopeless) {
        retry_later(run, why);
    } else if (loading->on_failure == LOAD_FAILURE_DEGRADED || is_optional(run)) {
        give_up(run, why);
    } else {
        set_state(run, RPD_PART_FAILED);
        if (!loading->over)
            snprintf(loading->failure, sizeof loading->failure, "%s", why);
        loading->over = true;
    }
    loading->events->trouble(loading->service, why);
    look_later(loading);
}

static void fail_with_its_reason(struct rpd_load *run)
{
    const char *reason = "it returned no state and no reason; it should call rpd_load_fail()";
    char stalled[80];

    if (state_of(run) == RPD_PART_STALLED) {
        snprintf(stalled, sizeof stalled, "no progress for %d s", run->loading->no_progress_s);
        reason = stalled;
    } else if (run->failed && !run->failure) {
        reason = "out of memory; free some";
    } else if (run->failed && *run->failure) {
        reason = run->failure;
    }
    fail(run, reason, false);
}

static void run_done(struct job *job, bool cancelled)
{
    struct rpd_load *run = (struct rpd_load *)job;
    struct loading *loading = run->loading;
    const bool wanted = loading->phase != LOADING_CANCELLED && state_of(run) != RPD_PART_FAILED;

    log_end(run);
    loading->pending--;
    if (run->result && wanted)
        take_result(run);
    else if (run->result)
        drop_result(run);
    else if (wanted && (!cancelled || state_of(run) == RPD_PART_STALLED))
        fail_with_its_reason(run);
    forget_added(run);
    look_later(loading);
}

/* ---- progress, and the want of it --------------------------------------------------- */

/* Whether its worker has used the processor, a millisecond since it last had:
 * what is known of a load that does not tell. */
static bool has_worked(struct rpd_load *run)
{
    pthread_t thread;
    clockid_t clock;
    struct timespec used;
    uint64_t now_us;

    if (!pool_worker_of(run->loading->pool, &run->job, &thread) ||
        pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &used) < 0)
        return true;
    now_us = (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
    if (now_us < run->cpu_us + 1000)
        return false;
    run->cpu_us = now_us;
    return true;
}

/* Where its worker hangs is what its author needs to know. */
static void tell_stall(struct rpd_load *run)
{
    const struct loading *loading = run->loading;
    struct stack stack;
    pthread_t thread;
    const bool answered = pool_worker_of(loading->pool, &run->job, &thread) &&
                          stack_of_thread(thread, &stack);

    log_line(RPD_LOG_ERROR, loading->service_name,
             "load: %s (%s): no progress for %d s; its worker is in %s", run->part->name,
             loading->plugin, loading->no_progress_s, answered ? stack.text : stack_unknown);
}

/* Its thread is lost: what waits for one must not wait for ever. */
static void abandon(struct rpd_load *run)
{
    const struct loading *loading = run->loading;
    const int failed = pool_replace_worker(loading->pool, &run->job);

    if (failed)
        log_line(RPD_LOG_ERROR, loading->service_name,
                 "load: %s keeps its worker, and no other can be made: %s; restart the service",
                 run->part->name, strerror(failed));
    fail(run,
         "no progress, and it does not return when cancelled; it should look at "
         "rpd_load_cancelled()",
         true);
}

/* (One at a time: a worker that does not answer costs the loop some time, and
 * many that hang in the same file system would make it stand still.) */
static void check_stall(struct rpd_load *run, uint64_t now_us, uint64_t passed_us)
{
    struct loading *loading = run->loading;
    const uint64_t limit_us = (uint64_t)loading->no_progress_s * 1000000;

    if (state_of(run) == RPD_PART_LOADING && limit_us > 0 && run->meter.quiet_us >= limit_us &&
        now_us - loading->asked_us >= ASK_US) {
        loading->asked_us = now_us;
        tell_stall(run);
        set_state(run, RPD_PART_STALLED);
        pool_cancel(loading->pool, &run->job);
    } else if (state_of(run) == RPD_PART_STALLED) {
        run->stalled_us += passed_us;
        if (run->stalled_us >= HEED_US)
            abandon(run);
    }
}

/* A run that waits, or is between two attempts, does not stand still. */
static void measure(struct rpd_load *run, uint64_t now_us, uint64_t passed_us)
{
    const enum rpd_part_state state = state_of(run);
    bool moved = load_meter_sample(&run->meter, run->part, passed_us);

    if (state != RPD_PART_LOADING && state != RPD_PART_STALLED) {
        load_meter_moved(&run->meter);
        return;
    }
    if (!moved && !load_meter_has_reports(&run->meter))
        moved = has_worked(run);
    if (moved) {
        load_meter_moved(&run->meter);
        __atomic_store_n(&run->part->moved_us, now_us, __ATOMIC_RELAXED);
        run->loading->moved = true;
    }
    check_stall(run, now_us, passed_us);
}

/* Of the required runs; the root's own counts while there are no parts. */
static double fraction_of(const struct loading *loading, uint32_t *ret_loaded)
{
    const struct rpd_load *run;
    double sum = 0;
    unsigned count = 0;

    *ret_loaded = 0;
    TAILQ_FOREACH(run, &loading->runs, link) {
        *ret_loaded += state_of(run) == RPD_PART_LOADED;
        if (is_optional(run) || (run->is_root && loading->run_count > 1))
            continue;
        sum += load_progress_fraction(run->part);
        count++;
    }
    return count > 0 ? sum / count : 1;
}

static void summarise(struct loading *loading, uint64_t passed_us)
{
    const double before = loading->fraction;
    double left;

    loading->fraction = fraction_of(loading, &loading->loaded_count);
    __atomic_store_n(&loading->page->parts_loaded, loading->loaded_count, __ATOMIC_RELAXED);
    __atomic_store_n(&loading->page->load_permille, (uint32_t)(loading->fraction * 1000),
                     __ATOMIC_RELAXED);
    if (passed_us > 0 && loading->fraction >= before)
        loading->fraction_rate = load_smooth(loading->fraction_rate,
                                             (loading->fraction - before) * 1e6 / (double)passed_us,
                                             passed_us);
    left = loading->fraction_rate > 0 ? (1 - loading->fraction) / loading->fraction_rate : 1e18;
    loading->eta_ms = loading->fraction >= 1 ? 0
                      : left < 1e9           ? (uint64_t)(left * 1000)
                                             : RPD_STATE_UNKNOWN;
    __atomic_store_n(&loading->page->load_eta_ms, loading->eta_ms, __ATOMIC_RELAXED);
}

/* ---- looking -------------------------------------------------------------------- */

static bool is_waited_for(const struct rpd_load *run)
{
    const enum rpd_part_state state = state_of(run);

    return !is_optional(run) && state != RPD_PART_LOADED && state != RPD_PART_FAILED;
}

/* Nothing that READY waits for is left. (This is asked after each of many parts, so
 * it goes on where it was.) */
static bool is_complete(struct loading *loading)
{
    while (loading->unfinished && !is_waited_for(loading->unfinished))
        loading->unfinished = TAILQ_NEXT(loading->unfinished, link);
    return !loading->unfinished;
}

static void look(evutil_socket_t fd, short what, void *arg)
{
    struct loading *loading = arg;

    (void)fd;
    (void)what;
    /* (A failure that a stop has overtaken changes nothing any more.) */
    if (loading->phase != LOADING_CANCELLED && loading->over && *loading->failure) {
        char why[LOADING_TEXT_MAX];

        snprintf(why, sizeof why, "%s", loading->failure);
        *loading->failure = '\0'; /* once */
        loading->events->failed(loading->service, why);
        return;
    }
    if (loading->phase == LOADING_RUNNING && !loading->over && is_complete(loading)) {
        loading->phase = LOADING_READY;
        loading->events->ready(loading->service);
    } else if (loading->phase == LOADING_CANCELLED && loading->pending == 0) {
        if (loading->unloading)
            loading->events->unloaded(loading->service);
        else
            loading->events->cancelled(loading->service);
    }
}

int loading_init(struct loading *loading, struct event_base *base)
{
    loading->base = base;
    TAILQ_INIT(&loading->runs);
    loading->eta_ms = RPD_STATE_UNKNOWN;
    loading->look = event_new(base, -1, 0, look, loading);
    return loading->look ? 0 : -1;
}

void loading_start(struct loading *loading)
{
    const struct rpd_load_part root = {.name = "load", .load = loading->backend->load};
    struct rpd_load *run;

    loading->phase = LOADING_RUNNING;
    if (!root.load) {
        look_later(loading);
        return;
    }
    run = make_run(loading, &root);
    if (run) {
        run->is_root = true;
        show(run);
        submit(run);
    } else {
        loading->over = true;
        snprintf(loading->failure, sizeof loading->failure, "out of memory; free some");
        look_later(loading);
    }
}

/* Whether an optional run is tried again. */
static bool retries(const struct loading *loading)
{
    const struct rpd_load *run;

    TAILQ_FOREACH(run, &loading->runs, link)
        if (state_of(run) == RPD_PART_PAUSED)
            return true;
    return false;
}

void loading_pulse(struct loading *loading, uint64_t passed_us)
{
    const uint64_t now_us = clock_us();
    struct rpd_load *run;

    if (loading->settled)
        return;
    if (loading->phase != LOADING_CANCELLED)
        TAILQ_FOREACH(run, &loading->runs, link)
            measure(run, now_us, passed_us);
    summarise(loading, passed_us);
    loading->settled = loading->phase == LOADING_READY && loading->pending == 0 &&
                       !retries(loading);
}

void loading_cancel(struct loading *loading)
{
    struct rpd_load *run;

    loading->phase = LOADING_CANCELLED;
    TAILQ_FOREACH(run, &loading->runs, link) {
        event_del(&run->retry);
        if (state_of(run) != RPD_PART_LOADED && state_of(run) != RPD_PART_PAUSED)
            pool_cancel(loading->pool, &run->job);
    }
    look_later(loading);
}

void loading_unload(struct loading *loading)
{
    void *state = loading->state;

    loading->unloading = true;
    loading->state = NULL;
    dispose_on_worker(loading, loading->backend->unload, state);
    look_later(loading);
}

void loading_finish(struct loading *loading)
{
    struct rpd_load *run;

    if (!loading->look)
        return;
    event_free(loading->look);
    loading->look = NULL;
    while ((run = TAILQ_FIRST(&loading->runs))) {
        TAILQ_REMOVE(&loading->runs, run, link);
        event_del(&run->retry); /* pending where the loop itself has failed */
        forget_added(run);
        free(run->failure);
        free(run);
    }
}

/* ---- the backend's side ---------------------------------------------------------- */

int rpd_load_add_part(struct rpd_load *load, const struct rpd_load_part *part)
{
    struct rpd_load *run = load->is_root && part->load ? make_run(load->loading, part) : NULL;

    if (!run)
        return -1;
    TAILQ_INSERT_TAIL(&load->added, run, link);
    return 0;
}

void *rpd_load_arg(const struct rpd_load *load)
{
    return load->arg;
}

void rpd_load_progress(struct rpd_load *load, uint64_t done, uint64_t total, const char *unit)
{
    load_progress_report(load->part, done, total, unit);
}

bool rpd_load_cancelled(const struct rpd_load *load)
{
    return atomic_load_explicit(&load->job.cancelled, memory_order_relaxed);
}

bool rpd_load_wait(struct rpd_load *load, unsigned milliseconds)
{
    return job_wait(&load->job, milliseconds);
}

void *rpd_load_fail(struct rpd_load *load, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    free(load->failure);
    if (vasprintf(&load->failure, format, arguments) < 0)
        load->failure = NULL;
    va_end(arguments);
    load->failed = true;
    return NULL;
}

const struct rpd_service *rpd_load_service(const struct rpd_load *load)
{
    return load->loading->service;
}
