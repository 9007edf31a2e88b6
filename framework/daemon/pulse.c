/* The loop's pulse. See pulse.h. */
#include "daemon/pulse.h"

#include "base/clock.h"
#include "guard/stall.h"
#include "library/libevent.h"

#include <stddef.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PERIOD_US = 250000 };

static struct timespec timespec_of(uint64_t us)
{
    return (struct timespec){.tv_sec = (time_t)(us / 1000000),
                             .tv_nsec = (long)(us % 1000000) * 1000};
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct pulse *pulse = arg;
    const uint64_t now_us = clock_us();
    const uint64_t late_us = now_us > pulse->due_us ? now_us - pulse->due_us : 0;
    uint64_t beats;

    (void)what;
    if (read(fd, &beats, sizeof beats) != sizeof beats)
        return;
    pulse->due_us += beats *
                     PERIOD_US; /* those that the loop was too late for are not made up for */
    stall_loop_turned(now_us);
    pulse->beat(pulse->arg, now_us, late_us);
}

/* Not libevent's: its timers come some milliseconds late, which would be taken for the loop's
 * lateness. */
static int open_timer(uint64_t first_us)
{
    const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    const struct itimerspec beats = {.it_value = timespec_of(first_us),
                                     .it_interval = timespec_of(PERIOD_US)};

    if (fd >= 0)
        timerfd_settime(fd, TFD_TIMER_ABSTIME, &beats, NULL); /* fails for wrong arguments only */
    return fd;
}

int pulse_start(struct pulse *pulse, struct event_base *base, pulse_beat_fn beat, void *arg)
{
    *pulse = (struct pulse){.due_us = clock_us() + PERIOD_US, .beat = beat, .arg = arg};
    pulse->fd = open_timer(pulse->due_us);
    if (pulse->fd < 0)
        return -1;
    pulse->timer = event_new(base, pulse->fd, EV_READ | EV_PERSIST, on_timer, pulse);
    if (pulse->timer)
        return event_add(pulse->timer, NULL);
    close(pulse->fd);
    return -1;
}

void pulse_stop(struct pulse *pulse)
{
    if (!pulse->timer)
        return;
    event_free(pulse->timer);
    close(pulse->fd);
    pulse->timer = NULL;
}
