/* The daemon on its loop. See running.h. */
#include "daemon/running.h"

#include "base/clock.h"
#include "base/directory.h"
#include "base/log.h"
#include "base/output.h"
#include "guard/crash.h"
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
                             stood still: that time counts for nobody */
    TELL_US = 1000000,    /* how often the manager is told, at most */
    HIDDEN_US = 50000     /* for those who had found the path before it went */
};

/* ---- the stop ---------------------------------------------------------------- */

static void leave_when_stopped(struct running *running)
{
    FOR_EACH_SERVICE(running, service)
        /* (Those behind one whose serve failed were never started.) */
        if (service->phase != RPD_PHASE_STARTING && service->phase != RPD_PHASE_STOPPED)
            return;
    running->stopped = true;
    event_base_loopbreak(running->base);
}

/* The drain, and a second for what comes after it: then the end is forced. */
static int stop_limit_ms(const struct running *running)
{
    return running->config->drain_s * 1000 + 1000;
}

/* A stop that is forced keeps the code of its reason, if there was one. */
static void limit_stop(const struct running *running, int exit_code)
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

static void begin_stop(struct running *running, int exit_code, const char *why)
{
    if (running->stopping)
        return;
    running->stopping = true;
    running->exit_code = exit_code;
    notify_stopping(running->notify);
    notify_extend(running->notify, (uint64_t)stop_limit_ms(running) * 1000);
    notify_status(running->notify, "draining");
    log_line(RPD_LOG_INFO, NULL, "stopping: %s", why);
    watchdog_leave_loop();
    limit_stop(running, exit_code);
    watchdog_arm(WATCHDOG_STOP, stop_limit_ms(running));
    set_drain_deadline(running);
    FOR_EACH_SERVICE(running, service)
        service_drain(service);
    leave_when_stopped(running);
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

static void on_drain_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct running *running = arg;

    (void)fd;
    (void)what;
    if (put_off_drain_deadline(running))
        return;
    FOR_EACH_SERVICE(running, service)
        service_cut_off(service);
}

/* ---- an idle exit -------------------------------------------------------------- */

static bool all_are_idle(const struct running *running, uint64_t now_us)
{
    FOR_EACH_SERVICE(running, service)
        if (!service_is_idle(service, now_us))
            return false;
    return true;
}

/* First nobody finds us any more; whoever had found us before that is queued by
 * the time the loop has turned for a while, and calls the exit off. */
static void try_idle_exit(struct running *running)
{
    static const struct timeval a_while = {.tv_usec = HIDDEN_US};

    running->hidden = true;
    FOR_EACH_SERVICE(running, service)
        service_hide(service);
    event_add(running->hidden_long_enough, &a_while);
}

static void on_hidden_long_enough(evutil_socket_t fd, short what, void *arg)
{
    struct running *running = arg;

    (void)fd;
    (void)what;
    running->hidden = false;
    if (running->stopping)
        return;
    FOR_EACH_SERVICE(running, service)
        service_pulse(service, clock_us(), 0, 0);
    if (all_are_idle(running, clock_us())) {
        begin_stop(running, EXIT_STOPPED, "nobody has come for idle_exit_s");
        return;
    }
    FOR_EACH_SERVICE(running, service)
        service_unhide(service);
    log_line(RPD_LOG_INFO, NULL, "an idle exit is called off: a client came");
}

/* ---- what the service manager is told ---------------------------------------------- */

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
 * it gets on. */
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

static void on_phase(void *arg, struct rpd_service *service, enum rpd_phase phase)
{
    const struct running *running = arg;

    control_tell(running->control, service, phase);
}

/* The reason of the stop, if it has one, is what the process ends with. */
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
    leave_when_stopped(running);
}

static void on_failed(void *arg, struct rpd_service *service, const struct error *error)
{
    (void)service;
    log_line(RPD_LOG_ERROR, NULL, "%s", error->text);
    outcome_note(error->text);
    begin_stop(arg, (int)error->code, "a service cannot go on");
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

    const uint64_t after_us = clock_us() - running->started_us;

    rpd_metric_set(ready->metrics.metrics[METRIC_READY_AFTER], (int64_t)after_us);
    service_note_times(ready, after_us);
    if (!all_are_ready(running))
        return;
    tell_ready(running);
    notify_ready(running->notify);
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
    snprintf(why, sizeof why, "told to by %s", sender);
    begin_stop(running, EXIT_STOPPED, why);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    enum { A_SECOND_US = 1000000 };
    struct running *running = arg;
    char sender[SIGNALS_TEXT_MAX];

    (void)fd;
    (void)what;
    rest_end();
    signals_clear();
    if (signals_take_hangups() > 0 && clock_us() - running->last_hangup_us > A_SECOND_US) {
        running->last_hangup_us = clock_us();
        signals_describe_hangup(sender);
        log_line(RPD_LOG_WARNING, NULL,
                 "%s is ignored: the configuration cannot be reloaded; restart instead", sender);
    }
    if (signals_take_reopen())
        output_reopen();
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

static void on_path_changed(void *arg, const char *name);

static int watch_paths(struct running *running)
{
    struct path_watch_directory *directories = calloc(running->claim_count, sizeof *directories);
    int started = -1;

    if (!directories)
        return -1;
    for (size_t i = 0; i < running->claim_count; i++)
        directories[i] = (struct path_watch_directory){
            running->claims[i]->dirfd, running->claims[i]->directory,
            !strcmp(running->claims[i]->directory, running->runtime_dir)};
    started = path_watch_start(&running->path_watch, running->base, directories,
                               running->claim_count, on_path_changed, running);
    free(directories);
    return started;
}

static void heal(struct running *running, const char *name)
{
    FOR_EACH_SERVICE(running, service)
        service_heal(service, name);
    control_heal(running->control, name);
}

/* False: nothing is left to heal, or nothing can be made there. (An idle exit looks when it is
 * called off.) */
static bool look_at_directories(struct running *running)
{
    if (running->hidden)
        return false;
    switch (moving_look(&running->moving)) {
    case MOVING_AT_HOME: return true;
    case MOVING_LOST: return false;
    case MOVING_MOVED: break;
    }
    path_watch_stop(&running->path_watch);
    if (watch_paths(running) < 0)
        log_line(RPD_LOG_ERROR, NULL,
                 "out of memory: files that are removed are not made again at once");
    heal(running, NULL);
    return false;
}

static void on_path_changed(void *arg, const char *name)
{
    rest_end();
    if (look_at_directories(arg))
        heal(arg, name);
}

static void on_directories_changed(void *arg)
{
    rest_end();
    look_at_directories(arg);
}

static void on_cannot_move(void *arg, const struct error *error)
{
    on_failed(arg, NULL, error);
}

static int start_moving(struct running *running)
{
    running->moving = (struct moving){
        .services = running->services,
        .service_count = running->service_count,
        .claims = running->claims,
        .claim_count = running->claim_count,
        .control = running->control,
        .runtime_dir = running->runtime_dir,
        .runtime_dirfd = running->runtime_dirfd,
        .look = on_directories_changed,
        .failed = on_cannot_move,
        .arg = running,
    };
    return moving_start(&running->moving, running->base);
}

/* As PostgreSQL does: cleaners remove what was not used for some days. */
static void touch_files(struct running *running, uint64_t now_us)
{
    enum { AN_HOUR_S = 3600 };

    if (now_us - running->touched_us < AN_HOUR_S * UINT64_C(1000000))
        return;
    running->touched_us = now_us;
    directory_keep(running->runtime_dirfd);
    FOR_EACH_SERVICE(running, service)
        service_touch(service);
    control_touch(running->control);
}

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
    look_at_directories(running);
    intact_look(&running->intact, now_us, running->stopping || running->hidden);
    touch_files(running, now_us);
    orphans_reap(&running->orphans, now_us);
    census_look(&running->census, now_us, running->place_pool.taken > 0);
    if (running->stopping || running->hidden)
        return;
    tell_manager(running, now_us);
    if (all_are_idle(running, now_us))
        try_idle_exit(running);
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
    return watch_paths(running);
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
    running->drain_deadline = evtimer_new(running->base, on_drain_deadline, running);
    running->hidden_long_enough = evtimer_new(running->base, on_hidden_long_enough, running);
    running->beat_us = running->touched_us = clock_us();
    return running->signal_event && running->drain_deadline && running->hidden_long_enough &&
                   event_add(running->signal_event, NULL) == 0 &&
                   pulse_start(&running->pulse, running->base, on_beat, on_woken, running) == 0
               ? 0
               : -1;
}

int running_open(struct running *running, struct error *error)
{
    const struct control_subject subject = {running->services, running->service_count};

    if (signals_open(error) < 0)
        return -1;
    crash_thread_is_loop();
    running->base = make_base();
    if (!running->base || make_events(running) < 0 ||
        conn_loop_init(&running->conn_loop, running->base) < 0 || watch_paths(running) < 0 ||
        start_moving(running) < 0 || control_start(running->control, running->base, &subject) < 0)
        return error_set(error, EXIT_SYSTEM, "loop", "event loop",
                         "cannot make it: out of memory or descriptors; raise the limits");
    return pool_create(&running->pool, running->base, running->config->workers,
                       running->config->loads, error);
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
    conn_loop_finish(&running->conn_loop); /* who lingers has a place in a service */
    FOR_EACH_SERVICE(running, service)
        service_unserve(service);
    place_pool_finish(&running->place_pool);
    control_stop(running->control);
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

static void leave_loop(void *base)
{
    event_base_loopbreak(base);
}

int running_serve(struct running *running, struct error *error)
{
    static const struct service_events events = {on_phase, on_ready, on_degraded, on_failed,
                                                 on_stopped};

    limit_stop(running, EXIT_STOPPED);
    /* (A backend's serve must not block either.) */
    watchdog_watch_loop(running->config->stall_s, running->config->slow_ms, on_slow, running);
    forked_leaves_loop(leave_loop, running->base);
    begin_intact(running);
    place_pool_init(&running->place_pool, running->base);
    begin_resting(running);
    census_begin(&running->census, running->services, running->service_count, running->pool);
    FOR_EACH_SERVICE(running, service) {
        service->events = &events;
        service->daemon = running;
        service->place_pool = &running->place_pool;
        if (service_serve(service, &running->conn_loop, running->pool, error) < 0) {
            on_failed(running, service, error);
            break;
        }
    }
    if (signals_stop_requested())
        stop_by_signal(running);
    /* What was removed before the watch began. */
    on_path_changed(running, NULL);
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
