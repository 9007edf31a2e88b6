/* The loop's pulse. See pulse.h. */
#include "pulse.h"

#include "clock.h"
#include "libevent.h"
#include "stall.h"

#include <stddef.h>

enum { PERIOD_US = 250000 };

/* Beats that the loop was too late for are not made up for; nor are they by
 * libevent. */
static uint64_t next_due_us(uint64_t due_us, uint64_t now_us)
{
    return due_us + PERIOD_US > now_us ? due_us + PERIOD_US : now_us + PERIOD_US;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct pulse *pulse = arg;
    const uint64_t now_us = clock_us();
    const uint64_t late_us = now_us > pulse->due_us ? now_us - pulse->due_us : 0;

    (void)fd;
    (void)what;
    pulse->due_us = next_due_us(pulse->due_us, now_us);
    stall_loop_turned(now_us);
    pulse->beat(pulse->arg, now_us, late_us);
}

int pulse_start(struct pulse *pulse, struct event_base *base, pulse_beat_fn beat, void *arg)
{
    static const struct timeval period = {.tv_usec = PERIOD_US};

    *pulse = (struct pulse){.due_us = clock_us() + PERIOD_US, .beat = beat, .arg = arg};
    pulse->timer = event_new(base, -1, EV_PERSIST, on_timer, pulse);
    return pulse->timer && event_add(pulse->timer, &period) == 0 ? 0 : -1;
}

void pulse_stop(struct pulse *pulse)
{
    if (pulse->timer)
        event_free(pulse->timer);
    pulse->timer = NULL;
}
