/* The loop's pulse. See pulse.h. */
#include "daemon/pulse.h"

#include "base/clock.h"
#include "guard/rest.h"
#include "guard/stall.h"
#include "guard/watchdog.h"
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
    const bool rested = rest.is_on;
    uint64_t beats;

    (void)what;
    if (read(fd, &beats, sizeof beats) != sizeof beats)
        return;
    rest_forget();
    pulse->due_us += beats *
                     PERIOD_US; /* those that the loop was too late for are not made up for */
    stall_loop_turned(now_us);
    pulse->beat(pulse->arg, now_us, late_us);
    if (rested && !rest.is_on)
        watchdog_loop_goes_on();
}

static void set_timer(int fd, uint64_t first_us)
{
    const struct itimerspec beats = {.it_value = timespec_of(first_us),
                                     .it_interval = timespec_of(PERIOD_US)};

    timerfd_settime(fd, TFD_TIMER_ABSTIME, &beats, NULL); /* fails for wrong arguments only */
}

/* Not libevent's: its timers come some milliseconds late, which would be taken for the loop's
 * lateness. */
static int open_timer(uint64_t first_us)
{
    const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd >= 0)
        set_timer(fd, first_us);
    return fd;
}

static void on_rest_ended(void *arg)
{
    struct pulse *pulse = arg;
    const uint64_t now_us = clock_us();

    pulse->due_us = now_us + PERIOD_US;
    set_timer(pulse->fd, pulse->due_us);
    stall_loop_turned(now_us);
    watchdog_loop_goes_on();
    pulse->woken(pulse->arg, now_us);
}

bool pulse_rest(struct pulse *pulse, uint64_t until_us)
{
    if (until_us <= pulse->due_us || !rest_begin(on_rest_ended, pulse))
        return false;
    pulse->due_us += (until_us - pulse->due_us) / PERIOD_US * PERIOD_US;
    set_timer(pulse->fd, pulse->due_us);
    stall_loop_rests(pulse->due_us);
    return true;
}

int pulse_start(struct pulse *pulse, struct event_base *base, pulse_beat_fn beat,
                pulse_woken_fn woken, void *arg)
{
    *pulse = (struct pulse){
        .due_us = clock_us() + PERIOD_US, .beat = beat, .woken = woken, .arg = arg};
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
    rest_forget();
    event_free(pulse->timer);
    close(pulse->fd);
    pulse->timer = NULL;
}
