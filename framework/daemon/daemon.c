/* The daemon: the order of the steps, and its reverse.
 *
 * steps[] below is the start, read from top to bottom, and the stop, read from
 * bottom to top. Each step has its reversal beside it. Each step is done for all
 * services before the next, so that either all services start or none. Whether a
 * start fails, is stopped, or has run for a year, it ends by the same way back,
 * from the step that it had reached. */
#include "daemon/daemon.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/directory.h"
#include "base/fork_guard.h"
#include "base/output.h"
#include "base/probe.h"
#include "daemon/as_runner.h"
#include "daemon/claiming.h"
#include "daemon/daemon_inside.h"
#include "daemon/inspecting.h"
#include "daemon/keeping.h"
#include "daemon/log_place.h"
#include "daemon/own_process.h"
#include "daemon/publishing.h"
#include "daemon/reload.h"
#include "daemon/running_inside.h"
#include "guard/crash.h"
#include "guard/exit_guard.h"
#include "guard/forked.h"
#include "guard/last_line.h"
#include "guard/outcome.h"
#include "guard/residue.h"
#include "guard/signals.h"
#include "guard/watchdog.h"
#include "library/libevent.h"
#include "library/libjansson.h"
#include "plugin/seal.h"
#include "publish/history.h"
#include "publish/mapping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the way back of inspect ---- */

static void forget(struct daemon *daemon)
{
    daemon_forget_services(daemon);
    surroundings_finish(&daemon->surroundings);
    control_finish(&daemon->control); /* watching clients are notified of the end last */
}

/* ---- bind ---- */

/* What is visible at once (TCP, abstract names) comes first: it has the
 * kernel's gap between bind and listen. Paths appear together, listening. */
static int bind_owned(struct daemon *daemon, struct error *error)
{
    for (int paths = 0; paths <= 1; paths++)
        FOR_EACH_SERVICE(daemon, service)
            if (service_bind_owned(service, paths, daemon->runtime_dirfd, error) < 0)
                return -1;
    FOR_EACH_SERVICE(daemon, service)
        if (service_publish_paths(service, error) < 0)
            return -1;
    claim_settled(daemon->claims, daemon->claim_count);
    daemon->bound_us = clock_us();
    return 0;
}

static void unbind(struct daemon *daemon)
{
    FOR_EACH_SERVICE(daemon, service)
        service_unbind(service);
}

static bool all_are_bound(const struct daemon *daemon)
{
    FOR_EACH_SERVICE(daemon, service)
        if (service->plugin.note.has_own_bind)
            return false;
    return true;
}

static int bind_own(struct daemon *daemon, struct error *error)
{
    if (all_are_bound(daemon))
        return 0;
    FOR_EACH_SERVICE(daemon, service)
        service_prepare_bind(service);
    /* What that and the code of others took does not count against bind(). */
    watchdog_arm(WATCHDOG_START, daemon->config->endpoint_deadline_ms);
    FOR_EACH_SERVICE(daemon, service)
        if (service_bind_own(service, &daemon->surroundings, daemon->runtime_dirfd, error) < 0)
            return -1;
    FOR_EACH_SERVICE(daemon, service)
        if (daemon->role != SERVICE_OF_RUNNER && service_publish_paths(service, error) < 0)
            return -1;
    watchdog_disarm(WATCHDOG_START);
    daemon->bound_us = clock_us();
    return 0;
}

/* ---- code ---- */

static int check_options(struct daemon *daemon, struct error *error)
{
    size_t mistakes = 0;

    FOR_EACH_SERVICE(daemon, service) {
        struct error *errors = NULL;
        size_t count = 0;

        if (service_check_options(service, daemon->config, &errors, &count) == 0)
            continue;
        /* All errors but the last are reported here; we return the last one. */
        for (size_t i = 0; i < count; i++) {
            if (mistakes++ > 0)
                outcome_report(error);
            *error = errors[i];
        }
        free(errors);
    }
    return mistakes > 0 ? -1 : 0;
}

/* For the exit guard: the process is ending, and needs no watchdog to report that. */
static void clean_up_for_exit(void)
{
    watchdog_stand_down();
    if (seal_is_here())
        watchdog_end_process(EXIT_INTERNAL);
    residue_remove();
}

/* What a client need not wait for comes after bind, and before the first foreign code, or the
 * first process. */
static int arm_guards(struct daemon *daemon, struct error *error)
{
    enum { ROOM_FOR_DESCRIPTORS = 16384 }; /* 128 KiB of the kernel's memory */

    (void)daemon;
    descriptors_make_room(ROOM_FOR_DESCRIPTORS);
    if (watchdog_create(error) < 0)
        return -1;
    output_open();
    signals_tolerate_others();
    crash_thread_begin("loop");
    crash_install();
    crash_prepare_backtrace();
    crash_except_sigbus(mapping_take_signal);
    exit_guard_install(clean_up_for_exit);
    return 0;
}

/* What only foreign code needs. A keeper has none, and its own fork must not meet these. */
static int arm_code_guards(struct daemon *daemon, struct error *error)
{
    (void)daemon;
    if (fork_guard_install() < 0 || forked_install() < 0)
        return error_set(error, EXIT_SYSTEM, "code", "pthread_atfork", "out of memory");
    crash_except_sigsys(seal_take_signal);
    return 0;
}

static int load_code(struct daemon *daemon, struct error *error)
{
    watchdog_arm(WATCHDOG_START, daemon->config->code_deadline_ms);
    surroundings_save(&daemon->surroundings);
    FOR_EACH_SERVICE(daemon, service) {
        const struct rpd_service *before = service > daemon->services ? service - 1 : NULL;

        if (service_load_code(service, &daemon->surroundings, before, error) < 0)
            return -1;
    }
    watchdog_disarm(WATCHDOG_START);
    if (check_options(daemon, error) < 0)
        return -1;
    FOR_EACH_SERVICE(daemon, service)
        if (service_settle_warmup(service, error) < 0)
            return -1;
    return 0;
}

/* ---- state ---- */

static int claim_state(struct daemon *daemon, struct error *error)
{
    watchdog_arm(WATCHDOG_START, daemon->config->code_deadline_ms);
    FOR_EACH_SERVICE(daemon, service)
        if (service_claim_state(service, &daemon->surroundings, error) < 0)
            return -1;
    watchdog_disarm(WATCHDOG_START);
    return 0;
}

/* ---- code of rpd's own ---- */

/* Once all endpoints are up: neither the code of a backend nor its bind needs it. */
static int load_libraries(struct daemon *daemon, struct error *error)
{
    (void)daemon;
    return libevent_load(error) < 0 || libjansson_load(error) < 0 ? -1 : 0;
}

/* ---- control ---- */

static int open_control(struct daemon *daemon, struct error *error)
{
    return control_open(&daemon->control, daemon->runtime_dirfd, daemon->runtime_dir,
                        daemon->services[0].name, error);
}

static void close_control(struct daemon *daemon)
{
    control_close(&daemon->control);
}

/* ---- loop ---- */

static int make_loop(struct daemon *daemon, struct error *error)
{
    daemon->running = (struct running){
        .config = daemon->config,
        .services = daemon->services,
        .service_count = daemon->service_count,
        .claims = daemon->claims,
        .claim_count = daemon->claim_count,
        .notify = &daemon->notify,
        .control = &daemon->control,
        .runtime_dir = daemon->runtime_dir,
        .runtime_dirfd = daemon->runtime_dirfd,
        .started_us = daemon->link.started_us > 0 ? daemon->link.started_us : daemon->started_us,
    };
    if (daemon->role == SERVICE_OF_KEEPER)
        daemon->running.keeper = &daemon->keeper;
    daemon->running.subject = (struct control_subject){
        .services = daemon->services,
        .service_count = daemon->service_count,
        .relay = daemon->role == SERVICE_OF_KEEPER ? running_relay() : NULL,
        .relay_arg = &daemon->running,
    };
    if (daemon->role != SERVICE_OF_RUNNER) { /* its keeper reloads */
        daemon->reload = reload_new(daemon);
        if (!daemon->reload)
            return error_set(error, EXIT_SYSTEM, "loop", "reload", "out of memory; free some");
        daemon->running.subject.reload = reload_ask;
        daemon->running.subject.check = reload_check;
        daemon->running.subject.reload_arg = daemon->reload;
        daemon->running.hang_up = reload_by_signal;
        daemon->running.leave_reload = reload_leave;
    }
    daemon->running.make_state_pages = daemon_publish_next_pages;
    daemon->running.make_metrics_pages = daemon_publish_next_metrics;
    daemon->running.daemon = daemon;
    if (daemon->role == SERVICE_OF_RUNNER)
        daemon->running.link = &daemon->link;
    if (running_open(&daemon->running, error) < 0)
        return -1;
    if (daemon->reload && reload_start(daemon->reload, daemon->running.base) < 0)
        return error_set(error, EXIT_SYSTEM, "loop", "reload", "out of memory; free some");
    return 0;
}

static void end_loop(struct daemon *daemon)
{
    reload_free(daemon->reload);
    running_close(&daemon->running);
}

/* ---- announce ---- */

static void warn_of_watchdog(const struct daemon *daemon)
{
    enum { SHORT_US = 1000000 };
    const uint64_t period_us = daemon->notify.watchdog_us;

    if (period_us > 0 && period_us < SHORT_US)
        log_line(RPD_LOG_WARNING, NULL,
                 "announce: WATCHDOG_USEC: a watchdog of %llu us may kill a healthy daemon: "
                 "the loop says four times a second that it turns; set WatchdogSec= to 2 s or more",
                 (unsigned long long)period_us);
}

static void announce_service(const struct daemon *daemon, const struct rpd_service *service)
{
    char endpoints[1024] = "";
    size_t used = 0;

    for (size_t i = 0; i < service->attachment_count && used < sizeof endpoints; i++)
        used += (size_t)snprintf(endpoints + used, sizeof endpoints - used, " %s",
                                 service->attachments[i].listener.text);
    PROBE2(bound, service->name, daemon->bound_us - daemon->started_us);
    log_line(RPD_LOG_INFO, service->name, "bound%s (pid %d, %.3f ms)", endpoints, getpid(),
             (double)(daemon->bound_us - daemon->started_us) / 1e3);
}

static int announce(struct daemon *daemon, struct error *error)
{
    (void)error;
    FOR_EACH_SERVICE(daemon, service)
        announce_service(daemon, service);
    outcome_bound();
    notify_status(&daemon->notify, "bound, loading");
    if (daemon->config->notify == NOTIFY_AT_BOUND)
        notify_ready(&daemon->notify);
    /* Clients do not wait for this any more. */
    warn_of_watchdog(daemon);
    residue_sweep_begin();
    FOR_EACH_SERVICE(daemon, service) {
        service_warn_of_backlogs(service);
        service_sweep(service);
        history_sweep(daemon->runtime_dirfd, service->name);
    }
    control_sweep(&daemon->control);
    residue_sweep_end();
    return 0;
}

/* ---- serve ---- */

static int serve(struct daemon *daemon, struct error *error)
{
    return running_serve(&daemon->running, error);
}

/* ---- the order ---- */

/* The names are those of the table in rpd/backend.h; several rows may be of one step. What is
 * claimed by "state" is unclaimed, and what a backend has bound is unbound, with the rest; serve
 * returns when all services have stopped. metric: what the time of the row counts as. In -t: what
 * needs neither a lock nor a bind. */
/* clang-format off */
struct step {
    const char *name;
    enum metric_step metric;
    bool is_in_test;
    int (*start)(struct daemon *daemon, struct error *error);
    void (*stop)(struct daemon *daemon);
};

static const struct step steps[] = {
    {"inspect", METRIC_INSPECT,   true,  daemon_inspect,  forget},
    {"claim",   METRIC_RESOLVE,   true,  daemon_resolve,  NULL},
    {"claim",   METRIC_CLAIM,     false, daemon_claim,    daemon_unclaim},
    {"bind",    METRIC_BIND,      false, bind_owned,      unbind},
    {"code",    METRIC_RECALL,    false, daemon_recall,   NULL},
    {"code",    METRIC_GUARDS,    true,  arm_guards,      NULL},
    {"code",    METRIC_GUARDS,    true,  arm_code_guards, NULL},
    {"code",    METRIC_CODE,      true,  load_code,       NULL},
    {"state",   METRIC_STATE,     false, claim_state,     NULL},
    {"bind",    METRIC_OWN_BIND,  false, bind_own,        NULL},
    {"code",    METRIC_LIBRARIES, true,  load_libraries,  NULL},
    {"publish", METRIC_CONTROL,   false, open_control,    close_control},
    {"publish", METRIC_PUBLISH,   false, daemon_publish,  daemon_unpublish},
    {"serve",   METRIC_LOOP,      false, make_loop,       end_loop},
    {"serve",   METRIC_ANNOUNCE,  false, announce,        NULL},
    {"serve",   METRIC_NO_STEP,   false, serve,           NULL},
    {NULL,      METRIC_NO_STEP,   false, NULL,            NULL},
};

/* With a keeper the same steps are taken by two processes. All of the runner's, up to "publish",
 * are within the keeper's step "runner". (A test of the configuration has neither.) */
static const struct step keeper_steps[] = {
    {"inspect", METRIC_INSPECT,   false, daemon_inspect,      forget},
    {"claim",   METRIC_RESOLVE,   false, daemon_resolve,      NULL},
    {"claim",   METRIC_CLAIM,     false, daemon_claim,        daemon_unclaim},
    {"bind",    METRIC_BIND,      false, bind_owned,          unbind},
    {"code",    METRIC_RECALL,    false, daemon_recall,       NULL},
    {"code",    METRIC_GUARDS,    false, arm_guards,          NULL}, /* it forks, and loads no foreign code */
    {"code",    METRIC_LIBRARIES, false, load_libraries,      NULL},
    {"runner",  METRIC_RUNNER,    false, daemon_start_runner, daemon_end_runner},
    {"publish", METRIC_CONTROL,   false, open_control,        close_control},
    {"publish", METRIC_PUBLISH,   false, daemon_publish,      daemon_unpublish},
    {"serve",   METRIC_LOOP,      false, make_loop,           end_loop},
    {"serve",   METRIC_ANNOUNCE,  false, announce,            NULL},
    {"serve",   METRIC_NO_STEP,   false, serve,               NULL},
    {NULL,      METRIC_NO_STEP,   false, NULL,                NULL},
};

/* Its page has the times of its keeper's steps, and of the steps that the keeper does not take. */
static const struct step runner_steps[] = {
    {"inspect", METRIC_NO_STEP,  false, daemon_inspect,    forget},
    {"claim",   METRIC_NO_STEP,  false, daemon_resolve,    NULL},
    {"claim",   METRIC_NO_STEP,  false, runner_take_setup, runner_forget_setup},
    {"code",    METRIC_NO_STEP,  false, arm_guards,        NULL},
    {"code",    METRIC_NO_STEP,  false, arm_code_guards,   NULL},
    {"code",    METRIC_CODE,     false, load_code,         NULL},
    {"state",   METRIC_STATE,    false, claim_state,       NULL},
    {"bind",    METRIC_OWN_BIND, false, bind_own,          unbind},
    {"code",    METRIC_NO_STEP,  false, load_libraries,    NULL},
    {"publish", METRIC_NO_STEP,  false, runner_report,     NULL},
    {"serve",   METRIC_NO_STEP,  false, make_loop,         end_loop},
    {"serve",   METRIC_NO_STEP,  false, serve,             NULL},
    {NULL,      METRIC_NO_STEP,  false, NULL,              NULL},
};
/* clang-format on */

static const struct step *steps_of(const struct daemon *daemon)
{
    return daemon->role == SERVICE_OF_KEEPER   ? keeper_steps
           : daemon->role == SERVICE_OF_RUNNER ? runner_steps
                                               : steps;
}

static bool is_test(const struct daemon *daemon)
{
    return daemon->arguments->mode == ARGUMENTS_TEST;
}

static bool is_due(const struct daemon *daemon, const struct step *step)
{
    return step->is_in_test || !is_test(daemon);
}

/* A step that was taken before the page existed is shown with the next one. */
static void note_time(struct daemon *daemon, const struct step *step, uint64_t took_us)
{
    PROBE2(step, step->name, took_us);
    if (step->metric == METRIC_NO_STEP)
        return;
    daemon->step_us[step->metric] += took_us;
    FOR_EACH_SERVICE(daemon, service)
        for (size_t i = 0; i < METRIC_STEPS; i++)
            if (daemon->step_us[i] > 0)
                rpd_metric_set(service->metrics.metrics[METRIC_START_STEP + i],
                               (int64_t)daemon->step_us[i]);
}

/* Takes the steps in order. Returns how many were begun. */
static size_t start(struct daemon *daemon, struct error *error, int *ret_result)
{
    const struct step *all = steps_of(daemon);
    size_t begun = 0;

    *ret_result = 0;
    while (all[begun].name && *ret_result == 0 && (is_test(daemon) || !signals_stop_requested())) {
        const struct step *step = &all[begun++];
        const uint64_t began_us = clock_us();

        if (!is_due(daemon, step))
            continue;
        last_line_set_step(step->name);
        *ret_result = step->start(daemon, error);
        note_time(daemon, step, clock_us() - began_us);
    }
    return begun;
}

/* The way back. What a step had begun when it failed is undone, too. */
static void stop(struct daemon *daemon, size_t begun)
{
    const struct step *all = steps_of(daemon);

    last_line_set_step("stop");
    while (begun-- > 0)
        if (all[begun].stop && is_due(daemon, &all[begun]))
            all[begun].stop(daemon);
}

static void turn_away(const struct daemon *daemon)
{
    adoption_turn_all_away(&daemon->adoption);
    FOR_EACH_SERVICE(daemon, service)
        service_turn_away(service);
}

static void log_early_stop(void)
{
    char sender[SIGNALS_TEXT_MAX];

    signals_describe_stop(sender);
    log_line(RPD_LOG_INFO, NULL, "stopping: during the start, by %s", sender);
}

static int run(struct daemon *daemon)
{
    struct error error;
    int result;
    size_t begun;

    watchdog_describe(WATCHDOG_START, EXIT_CONTRACT, "bind", "endpoints",
                      "not all were up within endpoint_deadline_ms; is a file system hanging?");
    watchdog_arm(WATCHDOG_START, daemon->config->endpoint_deadline_ms);
    begun = start(daemon, &error, &result);
    watchdog_disarm(WATCHDOG_START);
    if (result < 0) {
        if (!daemon->is_error_told)
            outcome_report(&error);
        if (adoption_is_hopeless((int)error.code))
            turn_away(daemon);
    } else if (steps_of(daemon)[begun].name) {
        log_early_stop();
    }
    daemon->exit_code = result < 0 ? (int)error.code : daemon->running.exit_code;
    stop(daemon, begun);
    return daemon->exit_code;
}

/* -t */
static int check(struct daemon *daemon)
{
    struct error error;
    int result;
    const size_t begun = start(daemon, &error, &result);

    if (result < 0)
        outcome_report(&error);
    else
        FOR_EACH_SERVICE(daemon, service)
            printf("%s: %s: ok\n", service->name, service->plugin.path);
    stop(daemon, begun);
    return result < 0 ? (int)error.code : 0;
}

static enum service_role role_of(const struct arguments *arguments, const struct config *config)
{
    if (arguments->mode != ARGUMENTS_RUN)
        return SERVICE_WHOLE;
    if (arguments->runner_fd >= 0)
        return SERVICE_OF_RUNNER;
    return config->keeper || arguments->is_kept ? SERVICE_OF_KEEPER : SERVICE_WHOLE;
}

int daemon_run(const struct arguments *arguments, struct config *config, uint64_t started_us)
{
    /* 20 KB, most of which bind does not touch: on the stack it was five more page faults. */
    static struct daemon daemon;
    struct error error;
    int notify_fd = arguments->notify_fd, start_fd = arguments->start_fd;
    int code = EXIT_SYSTEM, failed;

    daemon.config = config;
    daemon.arguments = arguments;
    daemon.started_us = started_us;
    daemon.runtime_dirfd = -1;
    daemon.role = role_of(arguments, config);
    if (daemon.role == SERVICE_OF_RUNNER)
        notify_fd = arguments->runner_fd;
    /* The environment first: it says which descriptors are ours. */
    failed = adoption_begin(&daemon.adoption, &error);
    if (!failed)
        failed = own_process_prepare((int)daemon.adoption.count, &notify_fd, &start_fd, &error);
    outcome_set_start_fd(start_fd);
    if (!failed)
        failed = log_place_open(arguments, config, &error);
    if (failed) {
        outcome_report(&error);
        adoption_turn_all_away(&daemon.adoption);
        adoption_finish(&daemon.adoption);
        return (int)error.code;
    }
    own_process_give_memory_back();
    control_init(&daemon.control);
    watchdog_begin();
    if (daemon.role == SERVICE_OF_RUNNER)
        runner_init_process(&daemon, notify_fd);
    else
        notify_init(&daemon.notify, notify_fd);
    if (daemon.role == SERVICE_OF_KEEPER)
        daemon_init_keeper(&daemon);
    code = arguments->mode == ARGUMENTS_TEST ? check(&daemon) : run(&daemon);
    watchdog_destroy();
    notify_finish(&daemon.notify, config->drain_s * 1000);
    signals_finish();
    adoption_finish(&daemon.adoption);
    exit_guard_allow();
    if (daemon.running.end_signal)
        daemon_end_by_signal(daemon.running.end_signal);
    return code;
}
