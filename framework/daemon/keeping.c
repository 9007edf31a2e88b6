/* A daemon as a keeper. See keeping.h. */
#include "daemon/keeping.h"

#include "base/log.h"
#include "daemon/daemon_inside.h"
#include "daemon/publishing.h"
#include "daemon/running_inside.h"
#include "guard/outcome.h"
#include "guard/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct keeper_events events;

void daemon_init_keeper(struct daemon *daemon)
{
    daemon->keeper.argv = daemon->arguments->argv;
    daemon->keeper.waits_in_crash_loop = daemon->config->on_crash_loop == CRASH_LOOP_WAIT;
    daemon->keeper.events = &events;
    daemon->keeper.arg = daemon;
    runner_init(&daemon->keeper.runner);
}

/* ---- how it ends -------------------------------------------------------------------------- */

/* Its lines are on stderr already: it has written them itself. */
static void note_words(const struct runner_end *end)
{
    static const char said[] = "said ";
    char *lines = strdup(end->earlier), *rest = lines;

    for (char *line; rest && (line = strsep(&rest, "\n"));)
        if (strncmp(line, said, sizeof said - 1) == 0)
            outcome_note(line + sizeof said - 1);
    free(lines);
    if (*end->text)
        outcome_note(end->text);
}

static int take_first_end(struct daemon *daemon, const struct runner_end *end, struct error *error)
{
    note_words(end);
    daemon->is_error_told = true;
    daemon->end_signal = end->signal_number;
    error->code = (enum exit_code)end->code;
    snprintf(error->text, sizeof error->text, "%s", end->text);
    return -1;
}

_Noreturn void daemon_end_by_signal(int number)
{
    const struct rlimit none = {0, 0};
    sigset_t signals;

    setrlimit(RLIMIT_CORE, &none); /* the runner's is the one to look at */
    outcome_ended(128 + number, NULL);
    signal(number, SIG_DFL);
    sigemptyset(&signals);
    sigaddset(&signals, number);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    raise(number);
    _exit(128 + number);
}

/* ---- the step ------------------------------------------------------------------------------- */

int daemon_start_runner(struct daemon *daemon, struct error *error)
{
    struct keeper *keeper = &daemon->keeper;
    struct runner_end end;
    int started;

    if (daemon_prepare_code(error) < 0)
        return -1;
    watchdog_disarm(WATCHDOG_START); /* the runner has its own deadlines */
    keeper->services = daemon->services;
    keeper->service_count = daemon->service_count;
    keeper->claims = daemon->claims;
    keeper->claim_count = daemon->claim_count;
    keeper->runtime_dirfd = daemon->runtime_dirfd;
    keeper->bound_us = daemon->bound_us;
    keeper->watchdog_us = daemon->notify.watchdog_us;
    FOR_EACH_SERVICE(daemon, service)
        service->state_page.keeps_fd = true;
    started = keeper_start(keeper, &end, error);
    if (started < 0 && end.code >= 0)
        return take_first_end(daemon, &end, error);
    return started < 0 ? -1 : 0; /* a stop that was asked for is looked for behind each step */
}

/* What its backends had bound when it was killed. */
void daemon_end_runner(struct daemon *daemon)
{
    keeper_finish(&daemon->keeper);
    FOR_EACH_SERVICE(daemon, service)
        for (size_t i = 0; i < service->attachment_count; i++)
            if (service->plugin.note.has_own_bind)
                listener_sweep(&service->attachments[i].listener);
}

/* ---- on the loop -------------------------------------------------------------------------------
 */

static void on_make_pages(void *arg)
{
    daemon_publish_next_pages(arg);
}

static void on_notice(void *arg, const char *text)
{
    struct daemon *daemon = arg;

    if (!daemon->running.stopping)
        notify_relay(&daemon->notify, text);
}

static void call_idle_exit_off(struct running *running)
{
    running->hidden = false;
    FOR_EACH_SERVICE(running, service)
        service_unhide(service);
}

static void on_serves(void *arg, bool serves)
{
    struct daemon *daemon = arg;

    daemon->notify.relays = serves;
    if (!serves && daemon->running.hidden)
        call_idle_exit_off(&daemon->running);
}

/* The first word of it; and the answer to running_on_hidden_long_enough(). */
static void on_idle(void *arg, bool is_idle)
{
    struct daemon *daemon = arg;
    struct running *running = &daemon->running;

    if (running->stopping)
        return;
    if (!running->hidden) {
        if (is_idle && !running->idle_is_asked && keeper_may_rest(&daemon->keeper))
            running_try_idle_exit(running);
        running->idle_is_asked = false;
        return;
    }
    if (!running->idle_is_asked)
        return;
    running->idle_is_asked = false;
    if (is_idle && keeper_may_rest(&daemon->keeper)) {
        running->hidden = false;
        running_stop(running, EXIT_STOPPED, "nobody has come for idle_exit_s");
        return;
    }
    call_idle_exit_off(running);
    log_line(RPD_LOG_INFO, NULL, "an idle exit is called off: a client came");
}

static void on_ending(void *arg, int code)
{
    struct daemon *daemon = arg;

    running_stop(&daemon->running, code, "the runner cannot go on");
}

/* A stop that was asked for keeps the code of its reason. */
static void on_ended(void *arg, const struct runner_end *end)
{
    struct daemon *daemon = arg;
    struct running *running = &daemon->running;

    if (end->code != 0 && (running->exit_code == 0 || running->exit_code == end->code)) {
        note_words(end);
        running->exit_code = end->code;
        daemon->end_signal = end->signal_number;
    }
    if (!running->stopping)
        running_stop(running, running->exit_code, "the runner has ended");
    running_leave_when_stopped(running);
}

static const struct keeper_events events = {on_make_pages, on_notice, on_serves,
                                            on_idle,       on_ending, on_ended};

int keeping_serve(struct running *running)
{
    const uint64_t now_us = running->beat_us;

    FOR_EACH_SERVICE(running, service) {
        service->phase = RPD_PHASE_WARMING;
        state_page_set_phase(&service->state_page, RPD_PHASE_WARMING, now_us);
    }
    return keeper_serve(running->keeper, running->base, &running->place_pool);
}
