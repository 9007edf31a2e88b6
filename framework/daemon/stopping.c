/* How a daemon ends: the stop with its deadline, and an idle exit, which may be cancelled.
 * See running.h. */
#include "daemon/running_inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "guard/signals.h"
#include "guard/watchdog.h"

enum { HIDDEN_US = 50000 /* for clients that found the path before it was hidden */ };

/* ---- the stop ---------------------------------------------------------------- */

void running_leave_when_stopped(struct running *running)
{
    FOR_EACH_SERVICE(running, service)
        /* Services after one whose serve failed were never started. */
        if (service->phase != RPD_PHASE_STARTING && service->phase != RPD_PHASE_STOPPED)
            return;
    running->stopped = true;
    event_base_loopbreak(running->base);
}

/* The drain, and a second for what comes after it: then the end is forced. (A keeper leaves that to
 * its runner first.) */
static int stop_limit_ms(const struct running *running)
{
    return running->config->drain_s * 1000 + (running->keeper ? 2000 : 1000);
}

/* A forced stop keeps the code of its reason, if there was one. */
void running_limit_stop(const struct running *running, int exit_code)
{
    watchdog_describe(WATCHDOG_STOP, exit_code ? (enum exit_code)exit_code : EXIT_INTERNAL, "stop",
                      "drain", "not over one second after drain_s had passed; the end was forced");
    signals_limit_stop(stop_limit_ms(running));
}

static void await_drain_deadline(struct running *running, uint64_t now_us)
{
    const uint64_t left_us = running->drain_due_us - now_us;
    const struct timeval left = {.tv_sec = (time_t)(left_us / 1000000),
                                 .tv_usec = (suseconds_t)(left_us % 1000000)};

    FOR_EACH_SERVICE(running, service)
        atomic_store(&service->stop_due_us, running->drain_due_us);
    event_add(running->drain_deadline, &left);
}

static void set_drain_deadline(struct running *running)
{
    uint64_t now_us;

    running->drain_lost_us = watchdog_lost_us(); /* first: what is lost from here on counts */
    now_us = clock_us();
    running->drain_due_us = now_us + (uint64_t)running->config->drain_s * 1000000;
    await_drain_deadline(running, now_us);
}

void running_stop(struct running *running, int exit_code, const char *why)
{
    if (running->stopping)
        return;
    running->stopping = true;
    running->exit_code = exit_code;
    if (running->leave_reload)
        running->leave_reload(running->subject.reload_arg);
    notify_stopping(running->notify);
    notify_extend(running->notify, (uint64_t)stop_limit_ms(running) * 1000);
    notify_status(running->notify, "draining");
    log_line(running->link ? RPD_LOG_DEBUG : RPD_LOG_INFO, NULL, "stopping: %s", why);
    watchdog_leave_loop();
    running_limit_stop(running, exit_code);
    watchdog_arm(WATCHDOG_STOP, stop_limit_ms(running));
    set_drain_deadline(running);
    if (running->keeper)
        keeper_drain(running->keeper);
    else
        FOR_EACH_SERVICE(running, service)
            service_drain(service);
    running_leave_when_stopped(running);
}

/* Time in which the process was stopped does not count: its clients could not finish
 * either. (libevent's timer may also be early, by the time that it took to begin.) */
static bool put_off_drain_deadline(struct running *running)
{
    const uint64_t lost_us = watchdog_lost_us();
    const uint64_t now_us = clock_us();

    running->drain_due_us += lost_us - running->drain_lost_us;
    running->drain_lost_us = lost_us;
    if (now_us >= running->drain_due_us)
        return false;
    await_drain_deadline(running, now_us);
    return true;
}

void running_on_drain_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct running *running = arg;

    (void)fd;
    (void)what;
    if (put_off_drain_deadline(running) || running->keeper)
        return;
    FOR_EACH_SERVICE(running, service)
        service_cut_off(service);
}

/* ---- an idle exit -------------------------------------------------------------- */

bool running_is_idle(const struct running *running, uint64_t now_us)
{
    FOR_EACH_SERVICE(running, service)
        if (!service_is_idle(service, now_us))
            return false;
    return true;
}

/* First no client finds us any more; one that had found us before that is queued by
 * the time the loop has turned for a while, and cancels the exit. */
void running_try_idle_exit(struct running *running)
{
    static const struct timeval a_while = {.tv_usec = HIDDEN_US};

    running->hidden = true;
    FOR_EACH_SERVICE(running, service)
        service_hide(service);
    event_add(running->hidden_long_enough, &a_while);
}

void running_on_hidden_long_enough(evutil_socket_t fd, short what, void *arg)
{
    struct running *running = arg;

    (void)fd;
    (void)what;
    if (running->keeper && running->hidden && !running->stopping) {
        running->idle_is_asked = true;
        keeper_ask_idle(running->keeper);
        return;
    }
    running->hidden = false;
    if (running->stopping)
        return;
    FOR_EACH_SERVICE(running, service)
        service_pulse(service, clock_us(), 0, 0);
    if (running_is_idle(running, clock_us())) {
        running_stop(running, EXIT_STOPPED, "no client came for idle_exit_s");
        return;
    }
    FOR_EACH_SERVICE(running, service)
        service_unhide(service);
    log_line(RPD_LOG_INFO, NULL, "idle exit cancelled: a client came");
}
