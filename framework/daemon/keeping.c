/* A daemon as a keeper. See keeping.h. */
#include "daemon/keeping.h"

#include "base/log.h"
#include "daemon/daemon_inside.h"
#include "guard/outcome.h"
#include "guard/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void daemon_configure_keeper(struct daemon *daemon)
{
    daemon->keeper.waits_in_crash_loop = daemon->config->on_crash_loop == CRASH_LOOP_WAIT;
    daemon->keeper.stall_s = daemon->config->stall_s;
    daemon->keeper.trial_s = daemon->config->trial_s;
}

void daemon_init_keeper(struct daemon *daemon)
{
    daemon->keeper.argv = daemon->arguments->argv;
    daemon_configure_keeper(daemon);
}

/* ---- how it ends -------------------------------------------------------------------------- */

static int take_first_end(struct daemon *daemon, const struct runner_end *end, struct error *error)
{
    running_note_words(end);
    daemon->is_error_told = true;
    daemon->running.end_signal = end->signal_number;
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
    const int copy = config_copy(daemon->config);
    struct runner_end end;
    int started;

    if (copy < 0)
        return error_set(error, EXIT_SYSTEM, "start", "runner",
                         "cannot copy the configuration: %s; free memory or descriptors",
                         strerror(errno));

    watchdog_disarm(WATCHDOG_START); /* the runner has its own deadlines */
    keeper->services = daemon->services;
    keeper->service_count = daemon->service_count;
    keeper->claims = daemon->claims;
    keeper->claim_count = daemon->claim_count;
    keeper->runtime_dirfd = daemon->runtime_dirfd;
    keeper->started_us = daemon->started_us;
    keeper->bound_us = daemon->bound_us;
    keeper->watchdog_us = daemon->notify.watchdog_us;
    FOR_EACH_SERVICE(daemon, service)
        service->state_page.keeps_fd = true;
    started = keeper_start(keeper, copy, &end, error);
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
