/* rpdctl wait: until a service is bound, ready or gone. */
#include "base/clock.h"
#include "observe/instance_ask.h"
#include "observe/instance_wait.h"
#include "rpdctl/command_line.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl wait NAME --bound | --ready | --generation N | --stopped [--timeout S]\n"
    "\n"
    "Waits for a service, which may not be there yet. If it dies meanwhile, that is\n"
    "reported at once. A draining service does not count: the next one is waited for.\n"
    "A service that was dead already may never come: give --timeout.\n"
    "\n"
    "      --bound      until clients can connect\n"
    "      --ready      until its state is loaded\n"
    "      --generation N\n"
    "                   until this generation, or a later one, serves (with a keeper)\n"
    "      --stopped    until its process has ended, and its lock is free\n"
    "      --timeout S  for so many seconds, such as 2 or 0.5; default: for ever\n"
    "\n"
    "Exit codes: 0 yes, 1 no: it died, or the time is over, 64 bad command line.\n";

enum { TIMEOUT = 256, GENERATION };

struct request {
    const char *service;
    bool has_goal;
    enum instance_goal goal;
    unsigned generation; /* 0: any */
    uint64_t timeout_us; /* INSTANCE_FOR_EVER: none */
    uint64_t deadline_us;
};

/* ---- the command line ---------------------------------------------------------------- */

static int take_generation(struct request *request, char **argv)
{
    char *end;
    const unsigned long number = strtoul(optarg, &end, 10);

    if (*optarg < '1' || *optarg > '9' || *end || number > UINT32_MAX)
        return rpdctl_refuse(argv[0], "--generation %s: expected a number, from 1 on", optarg);
    if (request->has_goal && (request->goal != INSTANCE_READY || request->generation > 0))
        return rpdctl_refuse(argv[0], "%s: only one of --bound, --ready, --generation, --stopped",
                             "--generation");
    request->generation = (unsigned)number;
    request->goal = INSTANCE_READY;
    request->has_goal = true;
    return 0;
}

static int take(void *arg, int option, char **argv)
{
    struct request *request = arg;

    switch (option) {
    case GENERATION: return take_generation(request, argv);
    case TIMEOUT: return rpdctl_take_seconds(argv[0], "--timeout", optarg, &request->timeout_us);
    case INSTANCE_BOUND:
    case INSTANCE_READY:
    case INSTANCE_ENDED:
        if (request->has_goal && (int)request->goal != option)
            return rpdctl_refuse(argv[0],
                                 "%s: only one of --bound, --ready, --generation, --stopped",
                                 argv[optind - 1]);
        request->goal = (enum instance_goal)option;
        request->has_goal = true;
        return 0;
    default: return 0; /* there is no other */
    }
}

static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"bound", no_argument, NULL, INSTANCE_BOUND},
        {"ready", no_argument, NULL, INSTANCE_READY},
        {"stopped", no_argument, NULL, INSTANCE_ENDED},
        {"generation", required_argument, NULL, GENERATION},
        {"timeout", required_argument, NULL, TIMEOUT},
        {NULL, 0, NULL, 0},
    };
    const int code = rpdctl_take_options(argc, argv, ":", options, take, request);

    if (code)
        return code;
    if (!request->has_goal)
        return rpdctl_refuse(argv[0], "one of --bound, --ready, --generation, --stopped is needed");
    return rpdctl_take_service(argc, argv, &request->service);
}

/* ---- what is said ---------------------------------------------------------------------- */

static const char *goal_text(enum instance_goal goal)
{
    return goal == INSTANCE_BOUND ? "bound" : goal == INSTANCE_READY ? "ready" : "stopped";
}

static void say_reached(const struct request *request, const struct instance *instance)
{
    const bool is_degraded = request->goal == INSTANCE_READY &&
                             instance->page.flags & RPD_STATE_DEGRADED;

    if (instance->verdict == STATE_DEAD)
        printf("%s: not running\n", request->service);
    else
        printf("%s: %s%s, pid %d\n", request->service, goal_text(request->goal),
               is_degraded ? ", degraded" : "", (int)instance->pid);
}

static void say_timed_out(const struct request *request, const struct instance *instance)
{
    const char *state = state_verdict_text(instance->verdict);

    if (instance->verdict == STATE_DEAD)
        state = "not running";
    rpdctl_say("wait: %s: not %s after %g s; it is %s; see rpdctl status %s", request->service,
               goal_text(request->goal), (double)request->timeout_us / 1e6, state,
               request->service);
}

static int answer(const struct request *request, int runtime_dirfd, const struct instance *instance,
                  enum instance_outcome outcome)
{
    char text[RPDCTL_TEXT_MAX];

    switch (outcome) {
    case INSTANCE_REACHED: say_reached(request, instance); return 0;
    case INSTANCE_DIED:
        rpdctl_say("wait: %s: not %s: it %s", request->service, goal_text(request->goal),
                   rpdctl_tell_end(runtime_dirfd, instance, text));
        return RPDCTL_NO;
    default: say_timed_out(request, instance); return RPDCTL_NO;
    }
}

/* A user that waits for a service that was not started should know it. */
static void say_what_for(const struct request *request, const struct instance *instance)
{
    const bool is_there = instance && instance->verdict != STATE_DEAD;

    if (request->goal == INSTANCE_ENDED || (is_there && instance->verdict != STATE_DRAINING) ||
        request->deadline_us <= clock_us())
        return;
    if (is_there)
        rpdctl_say("wait: %s: pid %d is ending; waiting until the next one is %s", request->service,
                   (int)instance->pid, goal_text(request->goal));
    else
        rpdctl_say("wait: %s: not running; waiting until it is started and %s%s", request->service,
                   goal_text(request->goal),
                   request->timeout_us == INSTANCE_FOR_EVER ? " (--timeout limits that)" : "");
}

/* ---- waiting --------------------------------------------------------------------------- */

/* Where there is no directory, nothing runs: it is waited for, too. */
static int find_runtime(const struct request *request, int *ret_fd)
{
    char path[RUNTIME_PATH_MAX];
    bool is_said = false;
    int found;

    while ((found = rpdctl_find_runtime_path(path, ret_fd)) > 0 &&
           request->goal != INSTANCE_ENDED) {
        if (!is_said)
            say_what_for(request, NULL);
        is_said = true;
        if (instance_wait_directory(path, request->deadline_us) == 0)
            continue;
        if (errno != ETIMEDOUT)
            rpdctl_say("wait: %s: cannot be watched: %s; make it first", path, strerror(errno));
        return errno == ETIMEDOUT ? 1 : -1;
    }
    return found;
}

static void look_and_say(const struct request *request, int runtime_dirfd)
{
    struct instance instance;

    instance_look(runtime_dirfd, request->service, &instance);
    if (instance.verdict == STATE_DRAINING ||
        !state_view_is_locked(runtime_dirfd, request->service))
        say_what_for(request, &instance);
    instance_finish(&instance);
}

/* Without a keeper there are no generations: a page that has none is refused before. */
static bool is_earlier(const struct request *request, const struct instance *instance)
{
    return instance->page.generation > 0 && instance->page.generation < request->generation;
}

/* One that is loaded, and suspended or stalled, serves no client. It is looked at again: no
 * event says that it goes on. */
static bool must_wait_on(const struct request *request, const struct instance *instance,
                         enum instance_outcome outcome)
{
    enum { AGAIN_MS = 50 };

    if (outcome != INSTANCE_REACHED || request->goal != INSTANCE_READY ||
        (instance->verdict != STATE_STALLED && !is_earlier(request, instance)) ||
        clock_us() >= request->deadline_us)
        return false;
    poll(NULL, 0, AGAIN_MS);
    return true;
}

static int wait_in(const struct request *request, int runtime_dirfd)
{
    enum instance_outcome outcome = INSTANCE_TIMED_OUT;
    struct instance instance = {0};
    bool failed;
    int code = RPDCTL_NO;

    look_and_say(request, runtime_dirfd);
    do {
        instance_finish(&instance);
        failed = instance_wait(runtime_dirfd, request->service, request->goal, request->deadline_us,
                               &instance, &outcome) < 0;
        if (!failed && outcome == INSTANCE_REACHED)
            instance_ask(&instance);
    } while (!failed && must_wait_on(request, &instance, outcome));
    if (outcome == INSTANCE_REACHED && request->generation > 0 && instance.page.generation == 0) {
        rpdctl_say("wait: %s: it has no generations, as there is no keeper; wait for --ready",
                   request->service);
        instance_finish(&instance);
        return RPDCTL_NO;
    }
    if (outcome == INSTANCE_REACHED && request->goal == INSTANCE_READY &&
        (instance.verdict == STATE_STALLED || is_earlier(request, &instance)))
        outcome = INSTANCE_TIMED_OUT;
    if (failed)
        rpdctl_say("wait: %s: cannot wait: %s", request->service, strerror(errno));
    else
        code = answer(request, runtime_dirfd, &instance, outcome);
    instance_finish(&instance);
    return code;
}

static int run(int argc, char **argv)
{
    static const struct instance nothing = {.verdict = STATE_DEAD};
    struct request request = {.timeout_us = INSTANCE_FOR_EVER};
    int code = parse(&request, argc, argv), runtime_dirfd, found;

    if (code)
        return code;
    request.deadline_us = request.timeout_us == INSTANCE_FOR_EVER ? INSTANCE_FOR_EVER
                                                                  : clock_us() + request.timeout_us;
    found = find_runtime(&request, &runtime_dirfd);
    if (found < 0)
        return RPDCTL_NO;
    if (found > 0)
        return answer(&request, -1, &nothing,
                      request.goal == INSTANCE_ENDED ? INSTANCE_REACHED : INSTANCE_TIMED_OUT);
    code = wait_in(&request, runtime_dirfd);
    close(runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_wait = {
    .name = "wait",
    .summary = "until a service is bound, ready or stopped",
    .help = help,
    .run = run,
};
