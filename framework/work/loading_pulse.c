/* A load as the pulse sees it: how far its runs are, how long it will take, and
 * which of them stand still. */
#include "base/clock.h"
#include "base/log.h"
#include "guard/stack.h"
#include "work/loading_run.h"

#include <string.h>
#include <time.h>

enum {
    HEED_US = 10 * 1000000, /* a cancelled run that does not return until then is given up */
    ASK_US = 1000000
};

/* ---- runs that stand still ------------------------------------------------------ */

/* Whether its worker has used the processor, a millisecond since it last had:
 * what is known of a load that does not report. */
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

    log_line(RPD_LOG_ERROR, loading->owner.service,
             "load: %s (%s): no progress for %d s; its worker is in %s", run->part->name,
             loading->owner.plugin, loading->no_progress_s, answered ? stack.text : stack_unknown);
}

/* Its thread is lost: what waits for one must not wait for ever. */
static void abandon(struct rpd_load *run)
{
    const struct loading *loading = run->loading;
    const int failed = pool_replace_worker(loading->pool, &run->job);

    if (failed)
        log_line(RPD_LOG_ERROR, loading->owner.service,
                 "load: %s keeps its worker, and no other can be made: %s; restart the service",
                 run->part->name, strerror(failed));
    loading_fail(run,
                 "no progress, and it does not return when cancelled; it should look at "
                 "rpd_load_cancelled()",
                 true);
}

/* One at a time: a worker that does not answer costs the loop some time, and
 * many that hang in the same file system would make it stand still. */
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

/* ---- progress ------------------------------------------------------------------- */

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
    /* What is missing still, when nothing is on its way, is missing for good. */
    left = loading->pending > 0 && loading->fraction_rate > 0
               ? (1 - loading->fraction) / loading->fraction_rate
               : 1e18;
    loading->eta_ms = loading->fraction >= 1 ? 0
                      : left < 1e9           ? (uint64_t)(left * 1000)
                                             : RPD_STATE_UNKNOWN;
    __atomic_store_n(&loading->page->load_eta_ms, loading->eta_ms, __ATOMIC_RELAXED);
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

void loading_show(struct loading *loading)
{
    struct rpd_load *run;

    TAILQ_FOREACH(run, &loading->runs, link)
        load_meter_sample(&run->meter, run->part, 0);
    summarise(loading, 0);
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
