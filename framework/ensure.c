/* Making sure. See ensure.h.
 *
 *     look ──runs──► 0
 *      │ ▲ └─elsewhere─► 75
 *      │ └─ wait ◄─ unsettled (on its way up, or draining)
 *      ▼ nobody is there
 *     queue ──► look again ──► has somebody's start failed meanwhile? its line and code
 *                         └──► is it in a crash loop? its last line and code
 *                         └──► start it, look again
 */
#include "ensure.h"

#include "clock.h"
#include "config_digest.h"
#include "crash_loop.h"
#include "ensure_turn.h"
#include "history_view.h"
#include "instance_wait.h"
#include "libjansson.h"
#include "lock.h"
#include "plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STARTS_MAX = 5, /* of one call: what is killed from outside again and again is told */
    LOOK_AGAIN_MS = 20,
    WAITS_MAX = 100 /* for what takes no time, if all is well */
};

enum picture {
    RUNS,      /* all in one process, bound */
    UNSETTLED, /* one is on its way up or down */
    ELSEWHERE, /* some live, but not as asked for */
    ABSENT
};

/* ---- names -------------------------------------------------------------------------- */

static int inspect(const struct ensure *ensure, size_t index, struct plugin *plugin,
                   struct error *error)
{
    const struct config_service *service = &ensure->request.config->services[index];
    const struct plugin_search search = {.base = service->plugin_base,
                                         .dirs = ensure->request.config->plugin_dirs};

    *plugin = (struct plugin){.fd = -1};
    return plugin_inspect(plugin, service->plugin, &search, error);
}

/* A service without one has its backend's. */
static int find_name(struct ensure *ensure, size_t index, struct error *error)
{
    const char *configured = ensure->request.config->services[index].name;
    struct plugin plugin;
    int failed = 0;

    if (configured) {
        snprintf(ensure->request.names[index], sizeof *ensure->request.names, "%s", configured);
        return 0;
    }
    failed = inspect(ensure, index, &plugin, error);
    if (!failed)
        snprintf(ensure->request.names[index], sizeof *ensure->request.names, "%s",
                 plugin.note.backend);
    plugin_finish(&plugin);
    return failed;
}

/* Without them nothing can be seen: all would look as if it were about to start. */
static int check_descriptors(int any_fd, struct error *error)
{
    enum { NEEDED = 12 };
    int fds[NEEDED], count = 0, cause = 0;

    while (count < NEEDED && (fds[count] = fcntl(any_fd, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    if (count < NEEDED)
        cause = errno;
    while (count > 0)
        close(fds[--count]);
    return cause ? error_set(error, EXIT_SYSTEM, "ensure", "descriptors",
                             "%s; raise the limit of descriptors", strerror(cause))
                 : 0;
}

static int prepare(struct ensure *ensure, struct error *error)
{
    ensure->request.dirfd = -1;
    ensure->began_ms = clock_wall_ms();
    ensure->request.names = calloc(ensure->request.config->service_count,
                                   sizeof *ensure->request.names);
    ensure->instances = calloc(ensure->request.config->service_count, sizeof *ensure->instances);
    if (!ensure->request.names || !ensure->instances)
        return error_set(error, EXIT_SYSTEM, "ensure", "services", "out of memory; free some");
    ensure->request.count = ensure->request.config->service_count;
    for (size_t i = 0; i < ensure->request.count; i++)
        if (find_name(ensure, i, error) < 0)
            return -1;
    ensure->request.dirfd = directory_open_runtime(ensure->runtime_dir, error);
    return ensure->request.dirfd < 0 ? -1 : check_descriptors(ensure->request.dirfd, error);
}

void ensure_finish(struct ensure *ensure)
{
    for (size_t i = 0; i < ensure->request.count; i++)
        instance_finish(&ensure->instances[i]);
    free(ensure->instances);
    free(ensure->request.names);
    if (ensure->request.dirfd >= 0)
        close(ensure->request.dirfd);
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

/* A process's end, but not for long: what else it may do shows in its page. Closes
 * the pidfd. Whether it has ended. */
static bool wait_for_end(int pidfd, int milliseconds)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    const bool ended = poll(&end, 1, milliseconds) > 0;

    if (pidfd >= 0)
        close(pidfd);
    return ended;
}

/* ---- looking -------------------------------------------------------------------------- */

/* Without the lock of its name it may still have that of a path. */
static bool is_still_ending(const struct instance *instance)
{
    const int pidfd = instance_open_ending(instance);

    if (pidfd >= 0)
        close(pidfd);
    return pidfd >= 0;
}

static bool is_unsettled(const struct instance *instance)
{
    if (instance->verdict == STATE_DEAD)
        return is_still_ending(instance);
    return !*instance->page.magic || instance->page.phase == RPD_PHASE_STARTING ||
           instance->page.phase >= RPD_PHASE_DRAINING;
}

static bool same_text(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

/* It may have several names. */
static bool same_file(const char *one, const char *other)
{
    struct stat first, second;

    return same_text(one, other) ||
           (one && other && stat(one, &first) == 0 && stat(other, &second) == 0 &&
            first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

/* A process that some other file, or another command line, was the start of. */
static bool is_from_elsewhere(const struct ensure *ensure, const struct instance *instance)
{
    return instance->has_record &&
           !same_file(instance->record.config, ensure->request.config->path);
}

static enum picture judge(const struct ensure *ensure)
{
    size_t alive = 0;

    for (size_t i = 0; i < ensure->request.count; i++)
        if (is_unsettled(&ensure->instances[i]))
            return UNSETTLED;
    for (size_t i = 0; i < ensure->request.count; i++)
        alive += ensure->instances[i].verdict != STATE_DEAD;
    if (alive == 0)
        return ABSENT;
    for (size_t i = 0; i < ensure->request.count; i++)
        if (ensure->instances[i].verdict == STATE_DEAD ||
            !instance_is_same(&ensure->instances[i], &ensure->instances[0]) ||
            is_from_elsewhere(ensure, &ensure->instances[i]))
            return ELSEWHERE;
    return RUNS;
}

static enum picture look(struct ensure *ensure)
{
    for (size_t i = 0; i < ensure->request.count; i++) {
        instance_finish(&ensure->instances[i]);
        instance_look(ensure->request.dirfd, ensure->request.names[i], &ensure->instances[i]);
    }
    return judge(ensure);
}

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
    char who[ERROR_TEXT_MAX / 2] = "";
    size_t used = 0;

    for (size_t i = 0; i < ensure->request.count && used < sizeof who; i++) {
        const struct instance *instance = &ensure->instances[i];
        const char *from = instance->record.config ? instance->record.config : "a command line";

        used += (size_t)snprintf(who + used, sizeof who - used, "%s%s", used ? ", " : "",
                                 instance->service);
        if (!lives(instance))
            used += (size_t)snprintf(who + used, used < sizeof who ? sizeof who - used : 0,
                                     " does not run");
        else if (used < sizeof who)
            used += (size_t)snprintf(who + used, sizeof who - used, " runs as pid %d from %s",
                                     (int)instance->pid, instance->has_record ? from : "elsewhere");
    }
    return error_set(error, EXIT_RUNNING, "ensure",
                     ensure->request.config->path ? ensure->request.config->path
                                                  : ensure->request.names[0],
                     "%s; nothing was started; stop what runs first (rpdctl stop)", who);
}

static bool has_no_record(const struct instance *instance)
{
    return !instance->has_record;
}

/* Only the record says where clients connect. */
static int refuse_without_record(const struct ensure *ensure, struct error *error)
{
    const struct instance *instance = first_that(ensure, has_no_record);

    return error_set(error, EXIT_RECORD, "ensure", instance->service,
                     "it runs as pid %d, but its record is gone or cannot be read; free space, or "
                     "stop it first (rpdctl stop)",
                     (int)instance->pid),
           EXIT_RECORD;
}

/* For a moment some services of a process that ends are dead, and others are not. */
static bool is_just_ending(const struct ensure *ensure)
{
    const struct instance *alive = first_that(ensure, lives);
    const int pidfd = alive ? instance_open(ensure->request.dirfd, alive) : -1;

    if (pidfd < 0)
        return alive != NULL;
    return wait_for_end(pidfd, 2 * LOOK_AGAIN_MS);
}

/* One that drains may have to end first, which wakes us; one that somebody else starts
 * is bound in no time. False: it has had all the time that it needs to end. */
static bool wait_until_settled(const struct ensure *ensure, unsigned *waits)
{
    const struct instance *unsettled = first_that(ensure, is_unsettled);

    /* It has ended since we looked. */
    if (!unsettled)
        return true;
    /* (Or somebody has removed the lock of one that is stopped.) */
    if (!lives(unsettled) && ++*waits > WAITS_MAX)
        return false;
    wait_for_end(instance_open_ending(unsettled), LOOK_AGAIN_MS);
    return true;
}

/* ---- what has happened before -------------------------------------------------------------- */

enum { ENTRIES = 32, KILLED = 128 + SIGKILL };

struct past {
    struct history_entry entries[ENTRIES];
    size_t count;
};

static void read_past(const struct ensure *ensure, struct past *ret)
{
    const int count = history_view_read(ensure->request.dirfd, ensure->request.names[0],
                                        ret->entries, ENTRIES);

    ret->count = count > 0 ? (size_t)count : 0;
}

/* One that was killed could not say so. Nobody lives, and it is our turn, so we do. */
static void bury_the_silent(const struct ensure *ensure, struct past *past)
{
    const struct history_entry *last = past->count ? &past->entries[past->count - 1] : NULL;

    if (!last || last->ended)
        return;
    ensure_start_bury(&ensure->request, last, &ensure->instances[0]);
    read_past(ensure, past);
}

static int tell_end(const struct history_entry *end, struct error *error)
{
    error->code = (enum exit_code)end->code;
    if (*end->text)
        snprintf(error->text, sizeof error->text, "%.*s", ERROR_TEXT_MAX - 1, end->text);
    else
        error_set(error, (enum exit_code)end->code, "start", "rpd",
                  "pid %d ended with code %d, without a word", (int)end->pid, end->code);
    return end->code;
}

/* One that was there when we came, and drained, say. */
static bool was_bound_before(const struct past *past, const struct history_entry *end,
                             uint64_t began_ms)
{
    for (size_t i = 0; i < past->count; i++) {
        const struct history_entry *entry = &past->entries[i];

        if (!entry->ended && entry->pid == end->pid && entry->start_time == end->start_time)
            return entry->time_ms < began_ms;
    }
    return false;
}

/* What others have tried while we were waiting for our turn, or what became of
 * our own start once it was bound. (Whoever was killed is started again; and of a clock
 * that was put back nothing can be said.) */
static const struct history_entry *failure_since(const struct past *past, uint64_t began_ms)
{
    const struct history_entry *last = past->count ? &past->entries[past->count - 1] : NULL;

    return last && last->ended && last->code != 0 && last->code != KILLED &&
                   last->time_ms >= began_ms && last->time_ms <= clock_wall_ms() &&
                   !was_bound_before(past, last, began_ms)
               ? last
               : NULL;
}

static uint64_t changed_ms(const char *path)
{
    struct stat status;

    if (!path || stat(path, &status) < 0)
        return 0;
    return (uint64_t)status.st_ctim.tv_sec * 1000u + (uint64_t)status.st_ctim.tv_nsec / 1000000u;
}

/* Of the configuration and the plugins: who mends one need not wait. */
static uint64_t last_change_ms(const struct ensure *ensure)
{
    uint64_t last = changed_ms(ensure->request.config->path);

    for (size_t i = 0; i < ensure->request.count; i++) {
        struct plugin plugin;
        struct error error;
        uint64_t changed = 0;

        if (inspect(ensure, i, &plugin, &error) == 0)
            changed = changed_ms(plugin.path);
        plugin_finish(&plugin);
        if (changed > last)
            last = changed;
    }
    return last;
}

/* 0: go on; else the last code. */
static int refuse_crash_loop(const struct ensure *ensure, const struct past *past,
                             struct error *error)
{
    const uint64_t now_ms = clock_wall_ms();
    const struct crash_loop loop = crash_loop_judge(past->entries, past->count, now_ms,
                                                    last_change_ms(ensure));
    const struct history_entry *last;
    char line[ERROR_TEXT_MAX - 100]; /* what is added must have room, too */
    int code;

    if (loop.left_ms == 0)
        return 0;
    for (last = &past->entries[past->count - 1]; !last->ended || last->code == EXIT_RUNNING; last--)
        continue;
    code = tell_end(last, error);
    snprintf(line, sizeof line, "%.*s", (int)sizeof line - 1, error->text);
    snprintf(error->text, sizeof error->text,
             "%s (failed %u times in a row; not tried again for %llu s)", line, loop.failures,
             (unsigned long long)(loop.left_ms + 999) / 1000);
    return code;
}

/* ---- our turn -------------------------------------------------------------------------------- */

/* Somebody else was faster: a service manager, a person, or a start whose starter is
 * gone. (Who had it may have ended since.) */
static bool is_there_after_all(struct ensure *ensure, unsigned starts)
{
    return starts == 1 || look(ensure) != ABSENT;
}

/* -1: look again. Else the end of it. The turn is over by then. */
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
    if (starts < STARTS_MAX && (result.code == KILLED || (result.code == EXIT_RUNNING &&
                                                          is_there_after_all(ensure, starts))))
        return -1;
    error->code = (enum exit_code)result.code;
    snprintf(error->text, sizeof error->text, "%s", result.text);
    return result.code;
}

/* Nobody is there, and nobody else starts it. -1: look again. */
static int have_turn(struct ensure *ensure, struct lock *lock, unsigned starts, struct error *error)
{
    const struct history_entry *failure;
    struct past *past = calloc(1, sizeof *past);
    int code = 0;

    if (!past)
        return error_set(error, EXIT_SYSTEM, "ensure", "history", "out of memory; free some"),
               EXIT_SYSTEM;
    read_past(ensure, past);
    bury_the_silent(ensure, past);
    failure = ensure_turn_was_anothers(&ensure->request, lock)
                  ? NULL
                  : failure_since(past, ensure->began_ms);
    code = failure ? tell_end(failure, error) : refuse_crash_loop(ensure, past, error);
    free(past);
    return code ? code : start_once(ensure, lock, starts + 1, error);
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

static int settle(struct ensure *ensure, struct lock *lock, struct error *error)
{
    unsigned starts = 0, disagreements = 0, waits = 0;

    do {
        int result = -1;

        switch (look(ensure)) {
        case RUNS:
            if (!first_that(ensure, has_no_record))
                return 0;
            if (++waits > WAITS_MAX)
                return refuse_without_record(ensure, error);
            wait_for_end(-1, LOOK_AGAIN_MS);
            continue;
        case UNSETTLED:
            if (!wait_until_settled(ensure, &waits))
                break;
            continue;
        case ELSEWHERE:
            if (is_just_ending(ensure) && disagreements++ < 10)
                continue;
            refuse_elsewhere(ensure, error);
            return EXIT_RUNNING;
        case ABSENT: break;
        }
        if (lock->fd < 0) {
            result = ensure_turn_take(&ensure->request, ensure->runtime_dir, lock, error);
            if (result < 0)
                return (int)error->code;
            continue;
        }
        if (starts == STARTS_MAX) {
            error_set(error, EXIT_SYSTEM, "ensure", ensure->request.names[0],
                      "started %d times, and gone each time; who ends it? see its log", STARTS_MAX);
            return EXIT_SYSTEM;
        }
        result = have_turn(ensure, lock, starts++, error);
        if (result >= 0)
            return result;
    } while (!is_late(ensure));
    return time_out(ensure, "waiting for it to be bound", error);
}

/* It is bound, and left as it is; but the user should know. */
static void warn_of_stalls(const struct ensure *ensure)
{
    char line[256];

    for (size_t i = 0; i < ensure->request.count; i++) {
        const struct instance *instance = &ensure->instances[i];

        if (instance->verdict != STATE_STALLED)
            continue;
        snprintf(line, sizeof line,
                 "%s: stalled: the loop of pid %d has not turned for %.1f s; it is left alone",
                 instance->service, (int)instance->pid,
                 (double)(clock_us() - instance->page.turned_us) / 1e6);
        ensure->warn(line);
    }
}

/* It was changed since, or the command line says something else. */
static void warn_of_difference(const struct ensure *ensure)
{
    const char *theirs = ensure->instances[0].record.config_digest;
    char ours[CONFIG_DIGEST_SIZE], line[256];

    struct error error;

    if (!theirs || libjansson_load(&error) < 0)
        return;
    config_digest(ensure->request.config, ours);
    if (strcmp(theirs, ours) == 0)
        return;
    snprintf(line, sizeof line,
             "%s: pid %d runs with another configuration than this; to use this one, stop it "
             "first (rpdctl stop)",
             ensure->instances[0].service, (int)ensure->instances[0].pid);
    ensure->warn(line);
}

int ensure_bound(struct ensure *ensure, struct error *error)
{
    struct lock lock = {.fd = -1};
    int code;

    if (prepare(ensure, error) < 0)
        return (int)error->code;
    code = settle(ensure, &lock, error);
    lock_release(&lock);
    if (code == 0) {
        warn_of_stalls(ensure);
        warn_of_difference(ensure);
    }
    return code;
}

/* How it ended instead. */
static int tell_why_not(const struct ensure *ensure, const struct instance *instance,
                        struct error *error)
{
    struct history_entry end;

    if (history_view_end(ensure->request.dirfd, instance->service, instance->pid,
                         instance->start_time, &end)) {
        if (end.code != 0)
            return tell_end(&end, error);
        error_set(error, EXIT_INTERNAL, "ensure", instance->service,
                  "pid %d was stopped before it was ready", (int)instance->pid);
        return EXIT_INTERNAL;
    }
    error_set(error, (enum exit_code)KILLED, "ensure", instance->service,
              "pid %d was gone before it was ready, without a word: killed?; see its log",
              (int)instance->pid);
    return KILLED;
}

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
        code = tell_why_not(ensure, instance, error);
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
