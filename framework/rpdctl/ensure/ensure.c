/* Ensuring that a configuration runs. See ensure.h. take_step() looks, and takes the step that
 * follows:
 *
 *     look ──runs──► use: 0
 *      │ ▲ └─elsewhere─► 75
 *      │ └─ wait ◄─ unsettled: starting, or draining
 *      ▼ absent
 *     queue ──► look again ──► has another caller's start failed meanwhile? its line and code
 *                         └──► is it in a crash loop? its last line and code
 *                         └──► start it, look again
 */
#include "rpdctl/ensure/ensure.h"

#include "base/clock.h"
#include "base/lock.h"
#include "config/digest.h"
#include "library/libjansson.h"
#include "observe/instance_wait.h"
#include "rpdctl/ensure/look.h"
#include "rpdctl/ensure/past.h"
#include "rpdctl/ensure/start.h"
#include "rpdctl/ensure/turn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STARTS_MAX = 5, /* in one call: repeated kills from outside are an error */
    LOOK_AGAIN_MS = 20,
    DISAGREEMENTS_MAX = 10,
    WAITS_MAX = 100 /* for steps that take no time if all is well */
};

/* ---- the beginning and the end ---------------------------------------------------------- */

static int prepare(struct ensure *ensure, struct error *error)
{
    ensure->began_ms = clock_wall_ms();
    if (ensure_request_prepare(&ensure->request, error) < 0)
        return -1;
    ensure->instances = calloc(ensure->request.count, sizeof *ensure->instances);
    return ensure->instances ? 0
                             : error_set(error, EXIT_SYSTEM, "ensure", "services", "out of memory");
}

void ensure_finish(struct ensure *ensure)
{
    for (size_t i = 0; ensure->instances && i < ensure->request.count; i++)
        instance_finish(&ensure->instances[i]);
    free(ensure->instances);
    ensure_request_finish(&ensure->request);
}

/* ---- waiting ---------------------------------------------------------------------------- */

static bool is_late(const struct ensure *ensure)
{
    return clock_us() >= ensure->request.deadline_us;
}

static int time_out(const struct ensure *ensure, const char *what, struct error *error)
{
    error_set(error, EXIT_SYSTEM, "ensure", ensure->request.names[0],
              "timed out while %s; nothing was stopped; rpdctl status has more", what);
    return ENSURE_TIMED_OUT;
}

/* Waits for a process's end, but not for long: whatever else the process does shows in its page.
 * Closes the pidfd. Returns whether the process has ended. */
static bool wait_for_end(int pidfd, int milliseconds)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    const bool ended = poll(&end, 1, milliseconds) > 0;

    if (pidfd >= 0)
        close(pidfd);
    return ended;
}

/* ---- what was seen -------------------------------------------------------------------------- */

static const struct instance *first_that(const struct ensure *ensure,
                                         bool (*matches)(const struct instance *instance))
{
    for (size_t i = 0; i < ensure->request.count; i++)
        if (matches(&ensure->instances[i]))
            return &ensure->instances[i];
    return NULL;
}

static bool lives(const struct instance *instance)
{
    return instance->verdict != STATE_DEAD;
}

static int refuse_elsewhere(const struct ensure *ensure, struct error *error)
{
    const char *path = ensure->request.config->path;
    char who[ERROR_TEXT_MAX / 2];

    ensure_look_describe(ensure->instances, ensure->request.count, who, sizeof who);
    return error_set(error, EXIT_RUNNING, "ensure", path ? path : ensure->request.names[0],
                     "%s; nothing was started; stop what runs first (rpdctl stop)", who);
}

static bool cannot_be_used(const struct instance *instance)
{
    return !instance->has_record || instance_unreachable(instance) != NULL;
}

/* Only the record says where clients connect; and a daemon makes a socket that was removed again at
 * once, if that is possible. */
static int refuse_unusable(const struct ensure *ensure, struct error *error)
{
    const struct instance *instance = first_that(ensure, cannot_be_used);

    if (instance->has_record)
        error_set(error, EXIT_RUNNING, "ensure", instance->service,
                  "it runs as pid %d, but is unreachable: there is no socket at %.160s; stop it "
                  "first (rpdctl stop)",
                  (int)instance->pid, instance_unreachable(instance));
    else
        error_set(error, EXIT_RECORD, "ensure", instance->service,
                  "it runs as pid %d, but its record is gone or cannot be read; free space, or "
                  "stop it first (rpdctl stop)",
                  (int)instance->pid);
    return (int)error->code;
}

/* While a process ends, some of its services are dead for a moment, and others are not. */
static bool is_just_ending(const struct ensure *ensure)
{
    const struct instance *alive = first_that(ensure, lives);
    const int pidfd = alive ? instance_open(ensure->request.dirfd, alive) : -1;

    if (pidfd < 0)
        return alive != NULL;
    return wait_for_end(pidfd, 2 * LOOK_AGAIN_MS);
}

/* A daemon that drains may have to end first, which wakes this process; a daemon that another
 * process starts is bound at once. False: the daemon has had all the time that it needs to end. */
static bool wait_until_settled(const struct ensure *ensure, unsigned *waits)
{
    const struct instance *unsettled = first_that(ensure, ensure_look_is_unsettled);

    /* It has ended since the last look. */
    if (!unsettled)
        return true;
    /* Or the lock of a stopped daemon was removed. */
    if (!lives(unsettled) && ++*waits > WAITS_MAX)
        return false;
    wait_for_end(instance_open_ending(unsettled), LOOK_AGAIN_MS);
    return true;
}

/* ---- our turn ------------------------------------------------------------------------- */

/* Another process was faster: a service manager, a person, or a start whose starter is
 * gone. The process that had it may have ended since. */
static bool is_there_after_all(struct ensure *ensure, unsigned starts)
{
    return starts == 1 || ensure_look(&ensure->request, ensure->instances) != ENSURE_ABSENT;
}

/* The last line is the error; lines that rpd wrote before it are passed on. */
static void tell_result(const struct ensure *ensure, struct launch_result *result,
                        struct error *error)
{
    char *line = result->text, *end;

    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        ensure->pass_on(line);
    }
    error->code = (enum exit_code)result->code;
    snprintf(error->text, sizeof error->text, "%.*s", ERROR_TEXT_MAX - 1, line);
}

/* If a file cannot be made because the directory was removed meanwhile, it is made in the directory
 * that is there now. */
static bool has_lost_directory(const struct ensure *ensure)
{
    return !directory_is_at(ensure->request.runtime_dir, ensure->request.dirfd);
}

static bool is_worth_another(struct ensure *ensure, int code, unsigned starts)
{
    return code == ENSURE_KILLED || (code == EXIT_RUNNING && is_there_after_all(ensure, starts)) ||
           ((code == EXIT_RECORD || code == EXIT_SYSTEM) && has_lost_directory(ensure));
}

/* -1: look again. Otherwise the exit code. The turn is over by then. */
static int start_once(struct ensure *ensure, struct lock *lock, unsigned starts,
                      struct error *error)
{
    struct launch_result result;

    ensure_turn_sign(&ensure->request, lock);
    if (ensure_start(&ensure->request, lock, &result, error) < 0)
        return (int)error->code;
    switch (result.outcome) {
    case LAUNCH_LATE: return time_out(ensure, "it starts", error);
    case LAUNCH_LOST: return -1;
    case LAUNCH_BOUND: ensure->started = true; return -1;
    default: break;
    }
    if (starts < STARTS_MAX && is_worth_another(ensure, result.code, starts))
        return -1;
    tell_result(ensure, &result, error);
    return result.code;
}

/* 0: nothing that has happened before forbids a start. */
static int judge_past(const struct ensure *ensure, const struct lock *lock, struct error *error)
{
    struct ensure_past *past = ensure_past_read(&ensure->request, &ensure->instances[0]);
    int code = 0;

    if (!past)
        return error_set(error, EXIT_SYSTEM, "ensure", "history", "out of memory"), EXIT_SYSTEM;
    if (!ensure_turn_was_anothers(&ensure->request, lock))
        code = ensure_past_tell_failure(past, ensure->began_ms, error);
    if (!code)
        code = ensure_past_tell_crash_loop(past, &ensure->request,
                                           ensure_turn_since_ms(&ensure->request, lock), error);
    free(past);
    return code;
}

/* No daemon is there, and no other caller starts it. -1: look again. */
static int have_turn(struct ensure *ensure, struct lock *lock, unsigned starts, struct error *error)
{
    /* A caller that restarts the service wants it started, and has stopped it already. */
    const int code = ensure->stop ? 0 : judge_past(ensure, lock, error);

    return code ? code : start_once(ensure, lock, starts + 1, error);
}

/* ---- until it is bound ------------------------------------------------------------------- */

/* A turn in a directory that is gone does not count. */
static int follow_directory(struct ensure *ensure, struct lock *lock, struct error *error)
{
    const int moved = ensure_request_follow(&ensure->request, error);

    if (moved > 0)
        lock_release(lock);
    return moved;
}

enum { AGAIN = -1 }; /* of a step: it is to be looked again */

/* What the steps of one call have done so far. */
struct progress {
    struct lock *lock; /* our turn; fd -1: not ours */
    unsigned starts, disagreements, waits;
};

static int use(const struct ensure *ensure, struct progress *progress, struct error *error)
{
    if (!first_that(ensure, cannot_be_used))
        return 0;
    if (++progress->waits > WAITS_MAX)
        return refuse_unusable(ensure, error);
    wait_for_end(-1, LOOK_AGAIN_MS);
    return AGAIN;
}

static int judge_elsewhere(const struct ensure *ensure, struct progress *progress,
                           struct error *error)
{
    if (is_just_ending(ensure) && progress->disagreements++ < DISAGREEMENTS_MAX)
        return AGAIN;
    refuse_elsewhere(ensure, error);
    return EXIT_RUNNING;
}

static int queue(const struct ensure *ensure, struct progress *progress, struct error *error)
{
    if (ensure_turn_take(&ensure->request, progress->lock, error) < 0 &&
        (!has_lost_directory(ensure) || ++progress->waits > WAITS_MAX))
        return (int)error->code;
    return AGAIN;
}

static int begin(struct ensure *ensure, struct progress *progress, struct error *error)
{
    if (directory_check_to_start(ensure->request.dirfd, ensure->request.runtime_dir, error) < 0)
        return (int)error->code;
    if (progress->lock->fd < 0)
        return queue(ensure, progress, error);
    if (progress->starts == STARTS_MAX) {
        error_set(error, EXIT_SYSTEM, "ensure", ensure->request.names[0],
                  "started %d times and died each time; find out what kills it (see its log)",
                  STARTS_MAX);
        return EXIT_SYSTEM;
    }
    return have_turn(ensure, progress->lock, progress->starts++, error);
}

static int take_step(struct ensure *ensure, struct progress *progress, struct error *error)
{
    if (follow_directory(ensure, progress->lock, error) < 0)
        return (int)error->code;
    switch (ensure_look(&ensure->request, ensure->instances)) {
    case ENSURE_RUNS: return use(ensure, progress, error);
    case ENSURE_ELSEWHERE: return judge_elsewhere(ensure, progress, error);
    case ENSURE_UNSETTLED:
        if (wait_until_settled(ensure, &progress->waits))
            return AGAIN;
        break;
    case ENSURE_ABSENT: break;
    }
    return begin(ensure, progress, error);
}

static int bring_up(struct ensure *ensure, struct lock *lock, struct error *error)
{
    struct progress progress = {.lock = lock};

    do {
        const int code = take_step(ensure, &progress, error);

        if (code != AGAIN)
            return code;
    } while (!is_late(ensure));
    return time_out(ensure, "waiting for it to be bound", error);
}

/* Our turn begins before the stop, and ends with the start. */
static int stop_first(struct ensure *ensure, struct lock *lock, struct error *error)
{
    if (!ensure->stop)
        return 0;
    if (directory_check_to_start(ensure->request.dirfd, ensure->request.runtime_dir, error) < 0 ||
        ensure_turn_take(&ensure->request, lock, error) < 0)
        return (int)error->code;
    if (lock->fd < 0)
        return time_out(ensure, "waiting for its turn", error);
    error->text[0] = '\0'; /* The stop reports what it has done, or has not done. */
    return ensure->stop(ensure->stop_arg);
}

/* The daemon is bound, and left as it is; but the user should know. */
static void warn_of_stalls(const struct ensure *ensure)
{
    char line[256];

    for (size_t i = 0; i < ensure->request.count; i++) {
        const struct instance *instance = &ensure->instances[i];

        if (instance->verdict != STATE_STALLED)
            continue;
        if (instance->page.turned_us == RPD_STATE_RESTS)
            snprintf(line, sizeof line,
                     "%s: stalled: pid %d is stopped or frozen; it is left alone",
                     instance->service, (int)instance->pid);
        else
            snprintf(line, sizeof line,
                     "%s: stalled: the loop of pid %d has not turned for %.1f s; it is left alone",
                     instance->service, (int)instance->pid,
                     (double)(clock_us() - instance->page.turned_us) / 1e6);
        ensure->warn(line);
    }
}

/* It was changed since, or the command line says something else. */
static bool has_difference(const struct ensure *ensure)
{
    const char *theirs = ensure->instances[0].record.config_digest;
    char ours[CONFIG_DIGEST_SIZE];
    struct error error;

    if (!theirs || libjansson_load(&error) < 0)
        return false;
    config_digest(ensure->request.config, ours);
    return strcmp(theirs, ours) != 0;
}

static void warn_of_difference(const struct ensure *ensure)
{
    char line[256];

    if (!has_difference(ensure))
        return;
    snprintf(line, sizeof line,
             "%s: pid %d runs with another configuration than this; to use this one, reload it "
             "(--current), or stop it first (rpdctl stop)",
             ensure->instances[0].service, (int)ensure->instances[0].pid);
    ensure->warn(line);
}

/* The records are those of the new configuration then. */
static void look_again(struct ensure *ensure)
{
    for (size_t i = 0; i < ensure->request.count; i++) {
        instance_finish(&ensure->instances[i]);
        instance_look(ensure->request.dirfd, ensure->request.names[i], &ensure->instances[i]);
    }
}

static int renew(struct ensure *ensure, struct error *error)
{
    int code;

    if (!ensure->renew || !has_difference(ensure))
        return 0;
    code = ensure->renew(&ensure->instances[0]);
    error->text[0] = '\0'; /* it has been reported */
    look_again(ensure);
    return code;
}

int ensure_bound(struct ensure *ensure, struct error *error)
{
    struct lock lock = {.fd = -1};
    int code;

    if (prepare(ensure, error) < 0)
        return (int)error->code;
    code = stop_first(ensure, &lock, error);
    if (!code)
        code = bring_up(ensure, &lock, error);
    lock_release(&lock);
    if (directory_runtime_warning())
        ensure->warn(directory_runtime_warning());
    if (code == 0)
        code = renew(ensure, error);
    if (code == 0) {
        warn_of_stalls(ensure);
        warn_of_difference(ensure);
    }
    return code;
}

/* ---- until it is ready -------------------------------------------------------------------- */

static int ready_one(const struct ensure *ensure, struct instance *instance, struct error *error)
{
    enum instance_outcome outcome;
    struct instance seen;
    int code = 0;

    if (instance->page.phase == RPD_PHASE_READY)
        return 0;
    if (instance_wait_ready(ensure->request.dirfd, instance, ensure->request.deadline_us, &seen,
                            &outcome) < 0) {
        error_set(error, EXIT_SYSTEM, "ensure", instance->service, "cannot wait for it: %s",
                  strerror(errno));
        code = EXIT_SYSTEM;
    } else if (outcome == INSTANCE_TIMED_OUT) {
        code = time_out(ensure, "waiting for it to be ready", error);
    } else if (outcome == INSTANCE_DIED) {
        code = ensure_past_tell_end(&ensure->request, instance, error);
    }
    instance_finish(instance);
    *instance = seen;
    return code;
}

int ensure_ready(struct ensure *ensure, struct error *error)
{
    int code = 0;

    for (size_t i = 0; i < ensure->request.count && code == 0; i++)
        code = ready_one(ensure, &ensure->instances[i], error);
    return code;
}
