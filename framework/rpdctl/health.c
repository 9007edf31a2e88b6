/* rpdctl health: whether a service serves, for scripts and supervisors. The exit codes are those of
 * PostgreSQL's pg_isready, which such scripts know. */
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"
#include "rpdctl/status/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl health NAME [--quiet]\n"
    "\n"
    "Says in one line whether a service serves its clients. Its lock, its state page and the\n"
    "paths of its endpoints say it, at once; only a loop that rests is asked, for 0.9 s at most.\n"
    "\n"
    "      --quiet  print nothing\n"
    "\n"
    "Exit codes, as of pg_isready: 0 it serves (perhaps degraded), 1 it starts: clients\n"
    "can connect, and wait, 2 no answer: it is not running, drains or stalls, or an\n"
    "endpoint's path is gone, 3 not tried: a bad command line, or no run-time directory that\n"
    "can be trusted.\n";

enum { QUIET = 256 };
enum health { HEALTH_SERVES, HEALTH_STARTS, HEALTH_NO_ANSWER, HEALTH_NOT_TRIED };

static const char *missing_endpoint(const struct status_row *row)
{
    for (size_t i = 0; i < row->instance.record.endpoint_count; i++)
        if (row->is_gone[i])
            return row->instance.record.endpoints[i];
    return NULL;
}

static enum health judge(const struct status_row *row, const char **ret_why)
{
    const struct instance *instance = &row->instance;

    *ret_why = missing_endpoint(row);
    switch (instance->verdict) {
    case STATE_ALIVE:
        return *ret_why                                    ? HEALTH_NO_ANSWER
               : instance->page.flags & RPD_STATE_DEGRADED ? (*ret_why = "degraded", HEALTH_SERVES)
                                                           : HEALTH_SERVES;
    case STATE_WARMING: return *ret_why ? HEALTH_NO_ANSWER : HEALTH_STARTS;
    case STATE_ELSEWHERE:
        if (instance_is_draining(instance))
            break;
        return *ret_why                                  ? HEALTH_NO_ANSWER
               : instance->page.phase == RPD_PHASE_READY ? HEALTH_SERVES
                                                         : HEALTH_STARTS;
    case STATE_DEAD: *ret_why = "it is not running"; return HEALTH_NO_ANSWER;
    case STATE_STALLED: *ret_why = "its loop stands still"; return HEALTH_NO_ANSWER;
    default: break;
    }
    *ret_why = "it drains";
    return HEALTH_NO_ANSWER;
}

/* The exit code is the answer, even if the line cannot be written: 1 would mean "starts". */
static void keep_answer(void)
{
    if (fflush(stdout) == 0)
        return;
    rpdctl_say("stdout: cannot write; check where it is redirected");
    __fpurge(stdout);
    clearerr(stdout);
}

static enum health look(const char *service, bool quiet)
{
    static const char *const texts[] = {"serves", "starts", "no answer"};
    char path[RUNTIME_PATH_MAX];
    struct status status;
    int runtime_dirfd;
    const char *why;
    enum health health;

    if (rpdctl_find_runtime_path(path, &runtime_dirfd) < 0)
        return HEALTH_NOT_TRIED;
    if (status_read(path, runtime_dirfd, service, &status) < 0) {
        rpdctl_say("health: %s: cannot look at it: %s", service, strerror(errno));
        health = HEALTH_NOT_TRIED;
    } else {
        health = judge(status.rows, &why);
        if (!quiet)
            printf("%s: %s%s%s%s\n", service, texts[health], why ? " (" : "", why ? why : "",
                   why ? ")" : "");
    }
    keep_answer();
    status_finish(&status);
    if (runtime_dirfd >= 0)
        close(runtime_dirfd);
    return health;
}

static int take(void *arg, int option, char **argv)
{
    bool *quiet = arg;

    (void)option;
    (void)argv;
    *quiet = true;
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"quiet", no_argument, NULL, QUIET},
                                            {NULL, 0, NULL, 0}};
    const char *service;
    bool quiet = false;

    if (rpdctl_take_options(argc, argv, ":", options, take, &quiet) ||
        rpdctl_take_service(argc, argv, &service))
        return HEALTH_NOT_TRIED;
    return (int)look(service, quiet);
}

const struct rpdctl_command rpdctl_health = {
    .name = "health",
    .summary = "whether a service serves, as an exit code",
    .help = help,
    .run = run,
};
