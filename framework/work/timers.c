/* Timers. See timers.h.
 *
 * libevent's clock is that of its last turn, so a timer may be early by as long as the turn took;
 * it then waits for the rest. */
#include "work/timers.h"

#include "base/clock.h"
#include "guard/foreign.h"
#include "guard/rest.h"
#include "library/libevent.h"
#include "publish/callback.h"

#include <stdlib.h>

struct rpd_timer_handle {
    struct timers *timers;
    struct event event;
    uint64_t due_us;
    rpd_timer_fn fn;
    void *arg;
    LIST_ENTRY(rpd_timer_handle) link;
};

static int wait_for(struct rpd_timer_handle *timer, uint64_t left_us)
{
    const struct timeval left = {(time_t)(left_us / 1000000), (suseconds_t)(left_us % 1000000)};

    return event_add(&timer->event, &left);
}

void timers_cancel(struct rpd_timer_handle *timer)
{
    event_del(&timer->event);
    LIST_REMOVE(timer, link);
    free(timer);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_timer_handle *timer = arg;
    struct timers *timers = timer->timers;
    const uint64_t now_us = clock_us();
    const rpd_timer_fn fn = timer->fn;
    void *fn_arg = timer->arg;
    struct callback call;

    (void)fd;
    (void)what;
    if (now_us < timer->due_us && wait_for(timer, timer->due_us - now_us) == 0)
        return;
    rest_end();
    timers_cancel(timer);
    timers->is_in_call = true;
    call = callback_enter(timers->metrics, METRIC_TIMER, timers->owner, (foreign_code)fn);
    fn(timers->service, fn_arg);
    callback_leave(&call);
    timers->is_in_call = false;
}

struct rpd_timer_handle *timers_start(struct timers *timers, unsigned milliseconds, rpd_timer_fn fn,
                                      void *arg)
{
    const uint64_t wait_us = (uint64_t)milliseconds * 1000;
    struct rpd_timer_handle *timer = timers->closed ? NULL : calloc(1, sizeof *timer);

    if (!timer)
        return NULL;
    timer->timers = timers;
    timer->due_us = clock_us() + wait_us;
    timer->fn = fn;
    timer->arg = arg;
    evtimer_assign(&timer->event, timers->base, on_due, timer);
    if (wait_for(timer, wait_us) < 0) {
        free(timer);
        return NULL;
    }
    LIST_INSERT_HEAD(&timers->list, timer, link);
    return timer;
}

void timers_close(struct timers *timers)
{
    struct rpd_timer_handle *timer;

    timers->closed = true;
    while ((timer = LIST_FIRST(&timers->list)))
        /* It is off the list then; the analyzer loses track of the heads.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        timers_cancel(timer);
}
