/* The daemon on its loop. See running.h. */
#include "daemon/running_inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/output.h"
#include "guard/foreign.h"
#include "guard/forked.h"
#include "guard/outcome.h"
#include "guard/residue.h"
#include "guard/rest.h"
#include "guard/signals.h"
#include "guard/watchdog.h"
#include "library/libevent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STOPPED_US = 1000000, /* a beat after so long is one of a stopped process, or of a loop that
                             stood still: that time does not count */
    TELL_US = 1000000     /* how often the manager is notified of it, at most */
};

/* ---- what the service manager hears ---------------------------------------------- */

static void tell_progress(struct running *running, const struct rpd_service *service, int warming)
{
    char text[128], others[64] = "";

    if (running->service_count > 1)
        snprintf(others, sizeof others, " (%zu of %zu services are ready)",
                 running->service_count - (size_t)warming, running->service_count);
    service_describe_progress(service, text, sizeof text);
    notify_status(running->notify, "bound, loading %s: %s%s", service->name, text, others);
}

/* The load may take longer than the manager's time-out for a start, as long as
 * it makes progress. */
static void tell_manager(struct running *running, uint64_t now_us)
{
    const struct rpd_service *last = NULL;
    int warming = 0;

    FOR_EACH_SERVICE(running, service) {
        running->moved |= service->loading.moved;
        service->loading.moved = false;
        warming += service->phase == RPD_PHASE_WARMING;
        if (service->phase == RPD_PHASE_WARMING)
            last = service;
    }
    if (!last || !running->moved || now_us - running->last_told_us < TELL_US)
        return;
    running->moved = false;
    running->last_told_us = now_us;
    tell_progress(running, last, warming);
    if (!running->notify->told)
        notify_extend(running->notify, service_patience_us(last));
}

/* ---- what services and signals say ------------------------------------------------------ */

/* A runner's history is its keeper's, which is told of this next. */
static void show_ready_time(const struct running *running, const struct rpd_service *service)
{
    uint64_t *after = service->metrics.metrics[METRIC_READY_AFTER];

    if (!running->keeper && __atomic_load_n(after, __ATOMIC_RELAXED) == 0)
        rpd_metric_set(after, (int64_t)(clock_us() - running->started_us));
}

static void note_times(struct rpd_service *service)
{
    if (!service->is_timed)
        service_note_times(service);
    service->is_timed = true;
}

static void on_phase(void *arg, struct rpd_service *service, enum rpd_phase phase)
{
    const struct running *running = arg;

    if (phase == RPD_PHASE_READY)
        show_ready_time(running, service);
    if (phase == RPD_PHASE_READY && running->keeper && running->keeper->restarts == 0)
        note_times(service);
    if (running->link)
        link_tell_phase(running->link, service, phase, running->exit_code);
    else
        control_tell(running->control, service, phase);
}

/* The process ends with the reason of the stop, if there is one. */
static void on_stopped(void *arg, struct rpd_service *service, const struct error *error)
{
    struct running *running = arg;

    (void)service;
    if (error) {
        log_line(RPD_LOG_ERROR, NULL, "%s", error->text);
        if (running->exit_code == EXIT_STOPPED) {
            outcome_note(error->text);
            running->exit_code = (int)error->code;
        }
    }
    running_leave_when_stopped(running);
}

void running_on_failed(void *arg, struct rpd_service *service, const struct error *error)
{
    (void)service;
    running_stop(arg, outcome_report(error), "a service cannot go on");
}

static bool all_are_ready(const struct running *running)
{
    FOR_EACH_SERVICE(running, service)
        if (service->phase != RPD_PHASE_READY)
            return false;
    return true;
}

/* Of services that are ready. What a backend says of itself is worth more than that parts are
 * missing. */
static void tell_ready(const struct running *running)
{
    bool degraded = false;

    FOR_EACH_SERVICE(running, service) {
        if (*service->trouble) {
            notify_status(running->notify, "ready, degraded: %s: %s", service->name,
                          service->trouble);
            return;
        }
        degraded |= service_is_degraded(service);
    }
    notify_status(running->notify, degraded ? "ready, degraded" : "ready");
}

static void on_ready(void *arg, struct rpd_service *ready)
{
    const struct running *running = arg;

    if (!running->link)
        note_times(ready);
    if (!all_are_ready(running))
        return;
    tell_ready(running);
    notify_ready(running->notify);
}

static void on_admits(void *arg, struct rpd_service *service)
{
    const struct running *running = arg;

    link_admits(running->link, service);
}

static void on_page_made(void *arg, struct rpd_service *service)
{
    const struct running *running = arg;

    keeper_page_made(running->keeper, service);
}

static void on_listener_made(void *arg, struct rpd_service *service,
                             const struct attachment *attachment)
{
    const struct running *running = arg;

    keeper_listener_made(running->keeper, service, attachment);
}

static void on_degraded(void *arg, struct rpd_service *service)
{
    const struct running *running = arg;

    (void)service;
    if (!running->stopping && all_are_ready(running))
        tell_ready(running);
}

static void stop_by_signal(struct running *running)
{
    char why[SIGNALS_TEXT_MAX + 16], sender[SIGNALS_TEXT_MAX];

    signals_describe_stop(sender);
    snprintf(why, sizeof why, "requested by %s", sender);
    running_stop(running, EXIT_STOPPED, why);
}

/* Deferred, because any callback may request it. The first reason counts. */
static void on_stop_asked(void *arg, struct rpd_service *service, const char *why)
{
    struct running *running = arg;

    if (*running->stop_reason)
        return;
    snprintf(running->stop_reason, sizeof running->stop_reason, "service %s asked for it: %s",
             service->name, why);
    rest_end();
    event_active(running->stop_asked, 0, 0);
}

static void stop_as_asked(evutil_socket_t fd, short what, void *arg)
{
    struct running *running = arg;

    (void)fd;
    (void)what;
    if (running->stopping)
        return;
    outcome_note(running->stop_reason);
    running_stop(running, EXIT_STOPPED, running->stop_reason);
}

/* Each process that writes to the file has a descriptor of its own. */
static void reopen_logs(const struct running *running)
{
    output_reopen();
    if (running->keeper)
        keeper_reopen_logs(running->keeper);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct running *running = arg;

    (void)fd;
    (void)what;
    rest_end();
    signals_clear();
    if (signals_take_hangups() > 0 && running->hang_up && !running->stopping)
        running->hang_up(running->subject.reload_arg);
    if (signals_take_reopen())
        reopen_logs(running);
    if (signals_stop_requested())
        stop_by_signal(running);
}

static void on_slow(void *arg, const struct slow_callback *slow)
{
    const struct running *running = arg;

    FOR_EACH_SERVICE(running, service)
        if (slow->place.service == service->name)
            service_note_slow(service, slow);
}

/* ---- files and directories ------------------------------------------------------------ */

/* ---- the rest ------------------------------------------------------------------------ */

static void begin_resting(struct running *running)
{
    running->resting = (struct resting){
        .services = running->services,
        .service_count = running->service_count,
        .control = running->control,
        .moving = &running->moving,
        .notify = running->notify,
        .orphans = &running->orphans,
        .path_watch = &running->path_watch,
        .place_pool = &running->place_pool,
    };
}

static void rest_if_possible(struct running *running, uint64_t now_us)
{
    const uint64_t until_us = resting_until(&running->resting, now_us);

    if (running->keeper && !keeper_may_rest(running->keeper))
        return;
    if (until_us == 0 || !pulse_rest(&running->pulse, until_us))
        return;
    FOR_EACH_SERVICE(running, service)
        service_rest(service, now_us);
}

static void on_woken(void *arg, uint64_t now_us)
{
    struct running *running = arg;

    running->resting.woken_us = now_us;
    FOR_EACH_SERVICE(running, service)
        service_wake(service, now_us);
}

/* ---- the beat ------------------------------------------------------------------------ */

static void on_beat(void *arg, uint64_t now_us, uint64_t late_us)
{
    struct running *running = arg;
    const uint64_t since_us = now_us - running->beat_us;

    running->beat_us = now_us;
    FOR_EACH_SERVICE(running, service)
        service_pulse(service, now_us, since_us < STOPPED_US ? since_us : 0, late_us);
    control_heal_again(running->control, now_us);
    notify_turn(running->notify, now_us);
    log_tell_left_out(false);
    running_look_at_directories(running);
    intact_look(&running->intact, now_us, running->stopping || running->hidden || running->keeper);
    running_touch_files(running, now_us);
    orphans_reap(&running->orphans, now_us);
    census_look(&running->census, now_us, running->place_pool.taken > 0);
    if (running->stopping || running->hidden)
        return;
    tell_manager(running, now_us);
    if (running->link)
        running_tell_idle(running, running_is_idle(running, now_us));
    if (running_is_idle(running, now_us) && !running->link)
        running_try_idle_exit(running);
    else
        rest_if_possible(running, now_us);
}

/* ---- open, serve, close ------------------------------------------------------------------- */

static void log_for_libevent(int severity, const char *message)
{
    const int saved = errno; /* it is asked for the cause, after this */

    log_line(severity >= EVENT_LOG_WARN ? RPD_LOG_WARNING : RPD_LOG_DEBUG, NULL, "libevent: %s",
             message);
    errno = saved;
}

/* libevent would call exit(), which is what plugins are blamed for. */
static void end_for_libevent(int error_number)
{
    static const char line[] = "loop: libevent: it cannot go on; raise the limits";

    (void)error_number;
    watchdog_stand_down();
    residue_remove();
    log_line(RPD_LOG_ERROR, NULL, "%s", line);
    outcome_ended(EXIT_SYSTEM, line);
    _exit(EXIT_SYSTEM);
}

/* Without precise timers: libevent would set a timerfd in each turn, which took 4 % of the time of
 * a request. What rpd waits for may come some milliseconds late. */
static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    event_set_log_callback(log_for_libevent);
    event_set_fatal_callback(end_for_libevent);
    if (config &&
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

static int watch_paths_again(void *arg)
{
    struct running *running = arg;

    path_watch_stop(&running->path_watch);
    return running_watch_paths(running);
}

static int open_signals_again(void *arg)
{
    struct running *running = arg;

    if (signals_reopen() < 0)
        return -1;
    event_del(running->signal_event);
    event_assign(running->signal_event, running->base, signals_fd(), EV_READ | EV_PERSIST,
                 on_signal, running);
    return event_add(running->signal_event, NULL);
}

static int make_events(struct running *running)
{
    running->signal_event = event_new(running->base, signals_fd(), EV_READ | EV_PERSIST, on_signal,
                                      running);
    running->drain_deadline = evtimer_new(running->base, running_on_drain_deadline, running);
    running->hidden_long_enough = evtimer_new(running->base, running_on_hidden_long_enough,
                                              running);
    running->stop_asked = event_new(running->base, -1, 0, stop_as_asked, running);
    running->beat_us = running->touched_us = clock_us();
    return running->signal_event && running->drain_deadline && running->hidden_long_enough &&
                   running->stop_asked && event_add(running->signal_event, NULL) == 0 &&
                   pulse_start(&running->pulse, running->base, on_beat, on_woken, running) == 0
               ? 0
               : -1;
}

int running_open(struct running *running, struct error *error)
{
    const struct pool_size size = {
        .workers = running->config->workers,
        .loads = running->config->loads,
        .job_nice = running->config->job_nice,
        .load_nice = running->config->load_nice,
    };

    if (signals_open(error) < 0)
        return -1;
    foreign_thread_is_loop();
    running->base = make_base();
    if (!running->base || make_events(running) < 0 ||
        conn_loop_init(&running->conn_loop, running->base) < 0 ||
        running_watch_paths(running) < 0 || running_start_moving(running) < 0 ||
        (running->link ? running_listen(running)
                       : control_start(running->control, running->base, &running->subject)) < 0)
        return error_set(error, EXIT_SYSTEM, "loop", "event loop",
                         "cannot make it: out of memory or descriptors; raise the limits");
    if (running->keeper)
        return 0;
    return pool_create(&running->pool, running->base, &size, error);
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

void running_close(struct running *running)
{
    if (!running->base)
        return;
    forked_leaves_loop(NULL, NULL);
    intact_end(&running->intact);
    pulse_stop(&running->pulse);
    moving_stop(&running->moving);
    path_watch_stop(&running->path_watch);
    pool_destroy(running->pool); /* calls what is not done, so the services must be there */
    if (running->keeper)
        keeper_finish(running->keeper);
    if (running->link)
        link_stop(running->link);
    conn_loop_finish(&running->conn_loop); /* lingering clients have places in a service */
    FOR_EACH_SERVICE(running, service)
        service_unserve(service);
    place_pool_finish(&running->place_pool);
    control_stop(running->control);
    free_event(running->stop_asked);
    free_event(running->hidden_long_enough);
    free_event(running->drain_deadline);
    free_event(running->signal_event);
    event_base_free(running->base);
    libevent_global_shutdown();
}

static void describe_failed_loop(const struct running *running, int cause, struct error *ret)
{
    char suspect[640];

    if (cause != EBADF && cause != EINVAL) {
        error_set(ret, EXIT_SYSTEM, "loop", "event loop",
                  "it failed: %s; free memory or descriptors", strerror(cause));
        return;
    }
    intact_name_suspect(&running->intact, suspect, sizeof suspect);
    error_set(ret, EXIT_INTERNAL, "loop", "event loop",
              "%s closed its descriptor; ended: a plugin must close only what it has opened",
              suspect);
}

/* Without a loop nothing can be drained or unloaded. */
static _Noreturn void end_for_failed_loop(const struct running *running, int cause)
{
    struct error error;

    describe_failed_loop(running, cause, &error);
    watchdog_stand_down();
    residue_remove();
    log_line(RPD_LOG_ERROR, NULL, "%s", error.text);
    outcome_ended((int)error.code, error.text);
    _exit((int)error.code);
}

static void begin_intact(struct running *running)
{
    running->intact = (struct intact){
        .services = running->services,
        .service_count = running->service_count,
        .control = running->control,
        .pool = running->pool,
        .path_watch = &running->path_watch,
        .open_signals = open_signals_again,
        .watch_paths = watch_paths_again,
        .arg = running,
    };
    intact_begin(&running->intact);
}

/* The numbers by which the clients of a process are ended; those of a runner and those that wait in
 * its keeper must differ. */
static void number_clients(struct running *running)
{
    if (running->keeper || running->link)
        running->place_pool.id_step = 2;
    if (running->link)
        running->place_pool.last_id--;
}

static void leave_loop(void *base)
{
    event_base_loopbreak(base);
}

static void serve_services(struct running *running, struct error *error)
{
    static const struct service_events events = {
        on_phase,   on_ready,  on_degraded,  running_on_failed, on_stop_asked,
        on_stopped, on_admits, on_page_made, on_listener_made};

    FOR_EACH_SERVICE(running, service) {
        service->events = &events;
        service->daemon = running;
        service->place_pool = &running->place_pool;
    }
    if (running->keeper) {
        if (running_keep(running) == 0)
            return;
        error_set(error, EXIT_SYSTEM, "serve", "keeper", "out of memory; free some");
        running_on_failed(running, running->services, error);
        return;
    }
    FOR_EACH_SERVICE(running, service)
        if (service_serve(service, &running->conn_loop, running->pool, error) < 0) {
            running_on_failed(running, service, error);
            break;
        }
}

int running_serve(struct running *running, struct error *error)
{
    running_limit_stop(running, EXIT_STOPPED);
    /* A backend's serve must not block either. */
    watchdog_watch_loop(running->config->stall_s, running->config->slow_ms, on_slow, running);
    forked_leaves_loop(leave_loop, running->base);
    begin_intact(running);
    place_pool_init(&running->place_pool, running->base);
    number_clients(running);
    begin_resting(running);
    census_begin(&running->census, running->services, running->service_count, running->pool);
    serve_services(running, error);
    if (signals_stop_requested())
        stop_by_signal(running);
    /* What was removed before the watch began. */
    running_on_path_changed(running, NULL);
    /* Until we say so: a plugin may break the loop, too, and a break that comes
     * before the loop is forgotten. */
    while (!running->stopped) {
        const int ended = event_base_loop(running->base, EVLOOP_NO_EXIT_ON_EMPTY);

        forked_end_child();
        if (ended < 0)
            end_for_failed_loop(running, errno);
    }
    return 0;
}
