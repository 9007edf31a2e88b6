/* Loading: how runs begin and end, and what follows. See loading.h for the phases;
 * loading_pulse.c measures the runs meanwhile.
 *
 * Whatever happens (a run ends or fails, a cancel comes), the code only notes it and asks for a
 * look; look() sees the state of things and does what follows. */
#include "work/loading.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/probe.h"
#include "guard/foreign.h"
#include "library/libevent.h"
#include "publish/callback.h"
#include "work/loading_run.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What frees a state, or a part that was never attached, on a worker. */
struct disposal {
    struct job job;
    struct loading *loading;
    void (*dispose)(void *what);
    void *what;
};
_Static_assert(offsetof(struct disposal, job) == 0, "the one is found by a pointer to the other");

static void look_later(struct loading *loading)
{
    event_active(loading->look, 0, 0);
}

/* ---- disposal ------------------------------------------------------------- */

static void run_disposal(struct job *job)
{
    struct disposal *disposal = (struct disposal *)job;

    foreign_enter(disposal->loading->owner, (foreign_code)disposal->dispose);
    disposal->dispose(disposal->what);
    foreign_leave();
}

static void disposal_done(struct job *job, bool cancelled)
{
    struct disposal *disposal = (struct disposal *)job;

    (void)cancelled;
    disposal->loading->pending--;
    look_later(disposal->loading);
    free(disposal);
}

/* If there is no memory even for this, the object is leaked rather than freed on the loop. */
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
    run->began_us = clock_us();
    foreign_enter(run->loading->owner, (foreign_code)run->load);
    run->result = run->load(run);
    foreign_leave();
    rpd_metric_set(run->took, (int64_t)(clock_us() - run->began_us));
    PROBE3(part, run->loading->owner.service, run->part->name, clock_us() - run->began_us);
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

/* From here on readers see the run. */
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
    run->took = metrics_page_add(loading->metrics_page, METRICS_LOAD_PART, "us",
                                 "How long a part of the load took, when it was last tried", "part",
                                 run->part->name);
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
    log_part(RPD_LOG_DEBUG, run->loading->owner.service, run->part->name,
             "%s ended at %llu of %llu %s", run->part->name,
             (unsigned long long)__atomic_load_n(&run->part->done, __ATOMIC_RELAXED),
             (unsigned long long)__atomic_load_n(&run->part->total, __ATOMIC_RELAXED), unit);
}

/* What has become of a part. */
static void tell_part(const struct rpd_load *run, enum rpd_part_outcome outcome)
{
    if (!run->is_root)
        run->loading->events->part(run->loading->service, run->part->name, outcome);
}

static void take_result(struct rpd_load *run)
{
    struct loading *loading = run->loading;
    struct callback call;

    set_state(run, RPD_PART_LOADED);
    if (run->is_root) {
        loading->state = run->result;
        loading->events->state(loading->service, loading->state);
        start_parts(run);
        return;
    }
    if (run->attach) {
        call = callback_enter(loading->metrics, METRIC_ATTACH, loading->owner,
                              (foreign_code)run->attach);
        run->attach(loading->state, run->result);
        callback_leave(&call);
    }
    tell_part(run, RPD_PART_IS_ATTACHED);
}

/* The daemon stops, or the run was given up: its result is no longer wanted. */
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
    rpd_metric_add(loading->metrics[METRIC_LOAD_RETRIES], 1);
    set_state(run, RPD_PART_PAUSED);
    log_part(RPD_LOG_WARNING, loading->owner.service, run->part->name,
             "load failed: %s; trying again in %u s", why, run->retry_s);
    pause = (struct timeval){.tv_sec = run->retry_s};
    event_add(&run->retry, &pause);
    tell_part(run, RPD_PART_IS_TRIED_AGAIN);
}

static void give_up(struct rpd_load *run, const char *why)
{
    struct loading *loading = run->loading;

    set_state(run, RPD_PART_FAILED);
    loading->degraded = true;
    log_part(RPD_LOG_WARNING, loading->owner.service, run->part->name,
             "load failed: %s; going on without it", why);
    tell_part(run, RPD_PART_IS_MISSING);
}

void loading_fail(struct rpd_load *run, const char *cause, bool hopeless)
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
        tell_part(run, RPD_PART_IS_MISSING);
    }
    loading->events->trouble(loading->service, why);
    look_later(loading);
}

/* Another owner has the state: it would be wrong to try again, or to go on without the state. */
static void refuse(struct rpd_load *run, const char *why)
{
    struct loading *loading = run->loading;

    set_state(run, RPD_PART_FAILED);
    if (!loading->over) {
        snprintf(loading->failure, sizeof loading->failure, "%.500s", why);
        loading->refusal = true;
    }
    loading->over = true;
    loading->events->trouble(loading->service, why);
    look_later(loading);
}

static void fail_with_its_reason(struct rpd_load *run)
{
    struct error refusal;
    const bool is_refused = run->loading->events->refused(run->loading->service, &refusal);
    const char *reason = "it returned no state and no reason; it should call rpd_load_fail()";
    char stalled[80];

    if (is_refused && refusal.code == EXIT_RUNNING) {
        refuse(run, refusal.text);
        return;
    }
    if (is_refused && !run->failed)
        reason = refusal.text;
    if (run->job.was_left) {
        reason = "it called pthread_exit(); it should return";
    } else if (state_of(run) == RPD_PART_STALLED) {
        snprintf(stalled, sizeof stalled, "no progress for %d s", run->loading->no_progress_s);
        reason = stalled;
    } else if (run->failed && !run->failure) {
        reason = "out of memory";
    } else if (run->failed && *run->failure) {
        reason = run->failure;
    }
    loading_fail(run, reason, false);
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
    else if (wanted && (!cancelled || run->job.was_left || state_of(run) == RPD_PART_STALLED))
        fail_with_its_reason(run);
    forget_added(run);
    look_later(loading);
}

/* ---- looking -------------------------------------------------------------------- */

static bool is_waited_for(const struct rpd_load *run)
{
    const enum rpd_part_state state = state_of(run);

    return !is_optional(run) && state != RPD_PART_LOADED && state != RPD_PART_FAILED;
}

/* Whether nothing that READY waits for is left. This is asked after each of many parts, so the
 * search goes on where it stopped. */
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
    /* A failure that a stop has overtaken changes nothing any more. */
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
        snprintf(loading->failure, sizeof loading->failure, "out of memory");
        look_later(loading);
    }
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

bool loading_attaches(const struct loading *loading, loading_code code)
{
    const struct rpd_load *run;

    TAILQ_FOREACH(run, &loading->runs, link)
        if ((loading_code)run->attach == code)
            return true;
    return false;
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
        event_del(&run->retry); /* pending if the loop itself has failed */
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
