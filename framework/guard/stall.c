/* The loop's stall. See stall.h. */
#include "guard/stall.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/probe.h"
#include "base/smaller.h"
#include "guard/foreign.h"
#include "guard/outcome.h"
#include "guard/residue.h"
#include "guard/stack.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum {
    WARN_US = 1000000,
    WARN_OF_TURN_US = 2000000, /* later: until then it is seen whether it is one callback */
    LONGEST_WAIT_MS = 500,
    LATE_US = 300000, /* a turn that has taken so long is watched more closely */
    LATE_WAIT_MS = 100,
    REST_WAIT_MS = 20000, /* while the loop rests */
    WHO_MAX = 512,
    END_SECONDS = 5, /* an end that takes longer hangs, too */
    QUESTIONS = 4    /* that it is asked, 200 ms each */
};

static struct {
    atomic_int limit_s; /* 0: not watched */
    pthread_t loop;
    const struct foreign_context *loop_context;
    _Atomic uint64_t turned_us;
    _Atomic uint32_t turned_crossings; /* of its callbacks, up to then */
    _Atomic uint64_t rests_until_us;   /* 0: it does not rest */
    _Atomic uint32_t rest_crossings;   /* when the rest began */
    _Atomic uint64_t warned_us;        /* when the loop had turned last before a warning; 0: none */
    /* The watchdog's, as of its last look: */
    uint64_t seen_us;
    uint32_t seen_crossings;
    uint64_t still_us;   /* without progress, at least */
    uint64_t turn_us;    /* in this turn */
    uint64_t quiet_us;   /* without progress, at most */
    uint64_t longest_us; /* quiet_us in this turn */
    bool told, told_turn;
} stall;

/* ---- the loop's side ---- */

static void unblock_stack_signal(void)
{
    sigset_t only;

    sigemptyset(&only);
    sigaddset(&only, stack_signal());
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
}

static unsigned callbacks_since(uint32_t crossings)
{
    return (foreign_crossings_of(stall.loop_context) - crossings + 1) / 2;
}

static void note_turn(uint64_t now_us)
{
    atomic_store_explicit(&stall.turned_crossings, foreign_crossings_of(stall.loop_context),
                          memory_order_relaxed);
    atomic_store_explicit(&stall.turned_us, now_us, memory_order_relaxed);
}

void stall_begin(int limit_s)
{
    unblock_stack_signal(); /* a plugin's constructor may have blocked it */
    stall.loop = pthread_self();
    stall.loop_context = foreign_here();
    note_turn(clock_us());
    atomic_store(&stall.limit_s, limit_s);
}

void stall_change(int limit_s)
{
    atomic_store(&stall.limit_s, limit_s);
}

void stall_end(void)
{
    atomic_store(&stall.limit_s, 0);
}

void stall_loop_turned(uint64_t now_us)
{
    const uint64_t warned = atomic_load_explicit(&stall.warned_us, memory_order_relaxed);
    const uint32_t crossings = atomic_load_explicit(&stall.turned_crossings, memory_order_relaxed);

    atomic_store_explicit(&stall.rests_until_us, 0, memory_order_relaxed);
    note_turn(now_us);
    if (warned == 0)
        return;
    atomic_store(&stall.warned_us, 0);
    log_line(RPD_LOG_INFO, NULL, "loop: goes on after %.1f s in a turn of %u callbacks",
             (double)(now_us - warned) / 1e6, callbacks_since(crossings));
}

void stall_loop_rests(uint64_t until_us)
{
    atomic_store_explicit(&stall.rest_crossings, foreign_crossings_of(stall.loop_context),
                          memory_order_relaxed);
    atomic_store_explicit(&stall.rests_until_us, until_us, memory_order_relaxed);
}

/* ---- the watchdog's side ---- */

bool stall_loop_is_resting(void)
{
    const uint64_t until_us = atomic_load_explicit(&stall.rests_until_us, memory_order_relaxed);

    return until_us > 0 && clock_us() < until_us + WARN_US &&
           foreign_crossings_of(stall.loop_context) ==
               atomic_load_explicit(&stall.rest_crossings, memory_order_relaxed);
}

/* What is known of a stall. */
struct finding {
    char who[WHO_MAX];
    struct stack stack;
    bool answered;
    bool is_plugins;
};

static void name_culprit(struct finding *finding)
{
    const struct stack *stack = &finding->stack;
    const struct foreign_place place = finding->answered ? stack->place
                                                         : foreign_place_of(stall.loop_context);

    finding->is_plugins = place.plugin || (finding->answered && stack->object);
    if (place.plugin)
        snprintf(finding->who, sizeof finding->who, "service %s (%.300s)",
                 place.service ? place.service : "?", place.plugin);
    else if (finding->is_plugins)
        snprintf(finding->who, sizeof finding->who, "object %.300s", stack->object);
    else
        snprintf(finding->who, sizeof finding->who, "rpd");
}

/* False: it has gone on meanwhile, and what was found is something else. */
static bool find_out(struct finding *finding)
{
    /* On a busy machine it may not get a processor in time. */
    finding->answered = false;
    for (int i = 0; i < QUESTIONS && !finding->answered; i++)
        finding->answered = stack_of_thread(stall.loop, &finding->stack);
    name_culprit(finding);
    return atomic_load(&stall.turned_us) == stall.seen_us &&
           foreign_crossings_of(stall.loop_context) == stall.seen_crossings &&
           atomic_load(&stall.limit_s) > 0;
}

static const char *advice(const struct finding *finding)
{
    return finding->is_plugins ? "; it must not block: use rpd_job_submit()" : "";
}

static const char *where(const struct finding *finding)
{
    return finding->answered ? finding->stack.text : stack_unknown;
}

static void warn(void)
{
    struct finding finding;

    stall.told = true;
    if (!find_out(&finding))
        return;
    PROBE2(stall, finding.who, stall.still_us);
    log_line(RPD_LOG_WARNING, NULL, "loop: %s: has been standing still for %llu s in %s%s",
             finding.who, (unsigned long long)(stall.still_us / 1000000), where(&finding),
             advice(&finding));
    atomic_store(&stall.warned_us, stall.seen_us);
}

/* Many callbacks in one turn, none of them long. The one that is named is the last. */
static void warn_of_turn(void)
{
    const struct foreign_place place = foreign_last_place_of(stall.loop_context);
    const unsigned callbacks = callbacks_since(atomic_load(&stall.turned_crossings));

    stall.told_turn = true;
    if (callbacks == 0 || !place.plugin)
        return;
    log_line(
        RPD_LOG_WARNING, NULL,
        "loop: service %s (%.300s): one turn takes %.1f s so far: %u callbacks of %.2f s each, "
        "none longer than %.1f s; other clients wait meanwhile: let each callback do less, "
        "or use rpd_job_submit()",
        place.service ? place.service : "?", place.plugin, (double)stall.turn_us / 1e6, callbacks,
        (double)stall.turn_us / 1e6 / callbacks, (double)stall.longest_us / 1e6);
    atomic_store(&stall.warned_us, stall.seen_us);
}

/* Should the end hang, in a file system that does, the alarm's signal ends it. */
static void end_process(int limit_s)
{
    struct finding finding;
    struct error error;

    if (!find_out(&finding))
        return;
    signal(SIGALRM, SIG_DFL);
    alarm(END_SECONDS);
    residue_remove();
    log_tell_left_out(true);
    error_set(&error, EXIT_INTERNAL, "loop", finding.who, "stood still for %d s in %s%s; ended",
              limit_s, where(&finding), advice(&finding));
    log_line(RPD_LOG_ERROR, NULL, "%s", error.text);
    outcome_ended(EXIT_INTERNAL, error.text);
    _exit(EXIT_INTERNAL);
}

/* Returns how much of that time was in this turn. */
static uint64_t count_turn(uint64_t counted_us)
{
    const uint64_t turned = atomic_load_explicit(&stall.turned_us, memory_order_relaxed);

    if (turned != stall.seen_us) { /* what came before is over */
        counted_us = smaller(clock_us() - turned, counted_us);
        stall.still_us = stall.turn_us = stall.quiet_us = stall.longest_us = 0;
        stall.seen_us = turned;
        stall.told = stall.told_turn = false;
    }
    stall.turn_us += counted_us;
    return counted_us;
}

/* When callbacks have come or gone since the last look, it is not known when: the one that
 * runs has done so for no time at least, and for all of it at most. */
static void count(uint64_t counted_us)
{
    const uint32_t crossings = foreign_crossings_of(stall.loop_context);
    const bool has_moved = crossings != stall.seen_crossings;

    counted_us = count_turn(counted_us);
    stall.quiet_us += counted_us;
    if (stall.quiet_us > stall.longest_us)
        stall.longest_us = stall.quiet_us;
    stall.still_us = has_moved ? 0 : stall.still_us + counted_us;
    if (has_moved) {
        stall.quiet_us = counted_us;
        stall.told = false;
    }
    stall.seen_crossings = crossings;
}

static int wait_ms_until(uint64_t threshold_us)
{
    const uint64_t rest_ms = (threshold_us - stall.still_us) / 1000 + 1;
    const uint64_t longest_ms = stall.turn_us >= LATE_US ? LATE_WAIT_MS : LONGEST_WAIT_MS;

    return (int)smaller(rest_ms, longest_ms);
}

int stall_look_ms(uint64_t counted_us)
{
    const int limit_s = atomic_load(&stall.limit_s);
    const uint64_t limit_us = (uint64_t)limit_s * 1000000;

    if (limit_s == 0)
        return 0;
    if (stall_loop_is_resting())
        return REST_WAIT_MS;
    count(counted_us);
    if (stall.still_us >= limit_us)
        end_process(limit_s);
    else if (stall.still_us >= WARN_US && !stall.told)
        warn();
    else if (stall.turn_us >= WARN_OF_TURN_US && !stall.told && !stall.told_turn)
        warn_of_turn();
    if (stall.still_us >= limit_us)
        return 1; /* it went on at the last moment */
    return wait_ms_until(stall.told || limit_us < WARN_US ? limit_us : WARN_US);
}
