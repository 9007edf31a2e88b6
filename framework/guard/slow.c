/* Slow callbacks. See slow.h. */
#include "guard/slow.h"

#include "base/clock.h"
#include "guard/stack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static struct {
    atomic_int slow_ms; /* 0: not watched */
    pthread_t loop;
    struct foreign_context *context; /* the loop's */
    slow_report_fn report;
    void *arg;
    pthread_mutex_t mutex; /* for what follows */
    uint64_t found_us;     /* when the callback began that was asked; 0: none was */
    uint64_t earliest_us;  /* it began no sooner */
    char stack[STACK_TEXT_MAX];
    /* The watchdog's: */
    uint32_t seen_crossings; /* at its last look... */
    uint64_t moved_us;       /* ...and when these had last been others */
    uint64_t looked_us;
} slow = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- the loop's side ---------------------------------------------------------------- */

void slow_begin(int slow_ms, slow_report_fn report, void *arg)
{
    slow.loop = pthread_self();
    slow.context = foreign_own_context();
    slow.report = report;
    slow.arg = arg;
    atomic_store(&slow.slow_ms, slow_ms);
}

void slow_change(int slow_ms)
{
    atomic_store(&slow.slow_ms, slow_ms);
}

void slow_end(void)
{
    atomic_store(&slow.slow_ms, 0);
}

/* What was found is of the callback that returns now. (It is dropped when the outermost one
 * returns: then it came too late.) */
static bool take_found(uint64_t *ret_began_us, char ret_stack[STACK_TEXT_MAX])
{
    const uint64_t began_us = foreign_began_us();
    bool is_ours;

    pthread_mutex_lock(&slow.mutex);
    is_ours = slow.found_us != 0 && slow.found_us == began_us;
    *ret_began_us = began_us > slow.earliest_us ? began_us : slow.earliest_us;
    if (is_ours)
        snprintf(ret_stack, STACK_TEXT_MAX, "%s", slow.stack);
    if (is_ours || foreign_depth_of(slow.context) == 0) {
        slow.found_us = 0;
        atomic_fetch_and(&slow.context->attention, ~(unsigned)FOREIGN_ATTENTION_SLOW);
    }
    pthread_mutex_unlock(&slow.mutex);
    return is_ours;
}

void foreign_leave_slow(void)
{
    char stack[STACK_TEXT_MAX];
    struct slow_callback found = {.place = foreign_last_place_of(slow.context), .stack = stack};
    uint64_t began_us;

    if (!take_found(&began_us, stack))
        return;
    found.took_us = clock_us() - began_us;
    if (found.took_us >= (uint64_t)atomic_load(&slow.slow_ms) * 1000 && atomic_load(&slow.slow_ms))
        slow.report(slow.arg, &found);
}

/* ---- the watchdog's side ------------------------------------------------------------ */

/* When the callback began that runs now; 0: none does, or it did not say when. It cannot be sooner
 * than the last look at which another one ran, or none. */
static uint64_t running_since(void)
{
    const uint32_t crossings = foreign_crossings_of(slow.context);
    const uint64_t began_us = foreign_began_us_of(slow.context);

    if (crossings != slow.seen_crossings) {
        slow.seen_crossings = crossings;
        slow.moved_us = slow.looked_us;
    }
    if (foreign_depth_of(slow.context) == 0 || began_us == 0)
        return 0;
    return began_us > slow.moved_us ? began_us : slow.moved_us;
}

static void find(uint64_t began_us)
{
    struct stack stack;
    const bool answered = stack_of_thread(slow.loop, &stack);

    pthread_mutex_lock(&slow.mutex);
    if (foreign_crossings_of(slow.context) == slow.seen_crossings) {
        snprintf(slow.stack, sizeof slow.stack, "%s", answered ? stack.text : stack_unknown);
        slow.found_us = began_us;
        slow.earliest_us = slow.moved_us;
        atomic_fetch_or(&slow.context->attention, (unsigned)FOREIGN_ATTENTION_SLOW);
    }
    pthread_mutex_unlock(&slow.mutex);
}

static bool is_found(uint64_t began_us)
{
    bool is_found;

    pthread_mutex_lock(&slow.mutex);
    is_found = slow.found_us == began_us;
    pthread_mutex_unlock(&slow.mutex);
    return is_found;
}

/* A question interrupts a sleep, so only a callback that is slow, or nearly so, is asked. */
int slow_look_ms(void)
{
    const uint64_t slow_us = (uint64_t)atomic_load(&slow.slow_ms) * 1000;
    const uint64_t now_us = clock_us(), often_us = slow_us * 2 / 5;
    uint64_t since_us, asked_us;

    if (slow_us == 0)
        return 0;
    since_us = running_since();
    slow.looked_us = now_us;
    asked_us = since_us + slow_us * 4 / 5;
    if (since_us && now_us < asked_us)
        return (int)((asked_us - now_us < often_us ? asked_us - now_us : often_us) / 1000 + 1);
    if (since_us && !is_found(foreign_began_us_of(slow.context)))
        find(foreign_began_us_of(slow.context));
    return (int)(often_us / 1000) + 1;
}
