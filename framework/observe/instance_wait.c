/* Waiting for instances. See instance_wait.h.
 *
 * What is waited for stands in the page and the lock. No event reports a store to
 * memory, so each of these wakes us to look again:
 *   - inotify on the run-time directory: a page or record has got its name; a lock
 *     file was written (by a start that has just taken the lock) or closed by a process that
 *     could write it (the holder of a lock lets go of it by that)
 *   - the process's pidfd: it has ended
 *   - its control socket, asked to report each change of phase. What it says is not
 *     read: the page says it, too
 * Where one of them cannot be had, it is looked at every 50 ms instead. */
#include "observe/instance_wait.h"

#include "base/clock.h"
#include "observe/history_view.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    TICK_US = 50000,       /* where nothing wakes us */
    SLOW_TICK_US = 1000000 /* where an event should: the kernel may have dropped events */
};

struct waiting {
    int runtime_dirfd;
    const char *service;
    uint64_t began_ms; /* of CLOCK_REALTIME */
    int inotify, pidfd, control;
    struct instance now; /* what is there */
    pid_t pid;           /* whose pidfd and control are watched */
    unsigned long long start_time;
    bool has_control; /* or has been tried */
    bool is_pinned;   /* and the end of that process ends the wait */
    bool is_blind;    /* it cannot be watched: its lock says when it ends */
    bool is_locked;
    bool was_bare;   /* a lock without a page, which no process held that we knew */
    bool was_signed; /* a start has taken the lock since we began */
    bool heard;      /* the control socket has just said something */
};

/* ---- time ------------------------------------------------------------------------- */

static uint64_t sooner(uint64_t deadline_us, uint64_t in_us)
{
    const uint64_t then_us = clock_us() + in_us;

    return then_us < deadline_us ? then_us : deadline_us;
}

static bool has_passed(uint64_t deadline_us)
{
    return deadline_us != INSTANCE_FOR_EVER && clock_us() >= deadline_us;
}

/* ---- what wakes us ------------------------------------------------------------------ */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void watch_directory(struct waiting *waiting)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", waiting->runtime_dirfd);
    waiting->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (waiting->inotify >= 0 &&
        inotify_add_watch(waiting->inotify, path,
                          IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE | IN_ONLYDIR) < 0)
        close_fd(&waiting->inotify);
}

/* A socket that is asked to report each change of phase; -1: there is none. */
static int open_control(const struct instance *instance)
{
    static const char request[] = "{\"v\":1,\"id\":1,\"do\":\"watch\"}\n";
    const char *path = instance->has_record ? instance->record.control : NULL;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (!path || *path != '/' || strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 &&
        (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
         send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1))
        close_fd(&fd);
    return fd;
}

/* Whether it is about our service; notes that its lock was signed. */
static bool concerns_us(struct waiting *waiting, const struct inotify_event *event)
{
    const size_t size = strlen(waiting->service);
    const char *suffix = event->name + size;

    if (event->mask & IN_Q_OVERFLOW)
        return true;
    if (event->len <= size || strncmp(event->name, waiting->service, size) != 0)
        return false;
    if (strcmp(suffix, ".lock") != 0)
        return strcmp(suffix, ".json") == 0 || strcmp(suffix, ".state") == 0;
    waiting->was_signed |= (event->mask & IN_MODIFY) != 0;
    return true;
}

static bool read_directory_events(struct waiting *waiting)
{
    _Alignas(struct inotify_event) char events[8192];
    ssize_t size;
    bool concerned = false;

    while ((size = read(waiting->inotify, events, sizeof events)) > 0)
        for (ssize_t at = 0; at < size;) {
            const struct inotify_event *event = (const struct inotify_event *)(events + at);

            concerned |= concerns_us(waiting, event);
            at += (ssize_t)(sizeof *event + event->len);
        }
    return concerned;
}

static void read_control(struct waiting *waiting)
{
    char room[4096];
    ssize_t got;

    while ((got = recv(waiting->control, room, sizeof room, 0)) > 0)
        waiting->heard = true;
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(&waiting->control);
}

/* Until the page may say something new, or something may have ended, or the deadline. */
static int sleep_until(struct waiting *waiting, bool needs_tick, uint64_t deadline_us)
{
    const uint64_t until_us = sooner(deadline_us, needs_tick ? TICK_US : SLOW_TICK_US);
    struct pollfd fds[] = {{.fd = waiting->inotify, .events = POLLIN},
                           {.fd = waiting->pidfd, .events = POLLIN},
                           {.fd = waiting->control, .events = POLLIN}};

    waiting->heard = false;
    for (;;) {
        const int ready = poll(fds, 3, clock_ms_until(until_us));

        if (ready < 0 && errno != EINTR)
            return -1;
        if (ready < 0)
            continue;
        if (fds[2].revents)
            read_control(waiting);
        if (ready == 0 || fds[1].revents || fds[2].revents || read_directory_events(waiting))
            return 0;
    }
}

static void begin(struct waiting *waiting, int runtime_dirfd, const char *service)
{
    *waiting = (struct waiting){.runtime_dirfd = runtime_dirfd,
                                .service = service,
                                .inotify = -1,
                                .pidfd = -1,
                                .control = -1};
    waiting->began_ms = clock_wall_ms();
    watch_directory(waiting);
}

static void finish(struct waiting *waiting)
{
    const int cause = errno;

    close_fd(&waiting->inotify);
    close_fd(&waiting->pidfd);
    close_fd(&waiting->control);
    instance_finish(&waiting->now);
    errno = cause;
}

/* ---- the end ------------------------------------------------------------------------- */

static int await_process(int pidfd, uint64_t deadline_us)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    for (;;) {
        const int ready = poll(&end, 1, clock_ms_until(deadline_us));

        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -1;
        if (has_passed(deadline_us)) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
}

/* Another process has the service now. */
static bool is_taken_over(const struct waiting *waiting, const struct instance *before)
{
    struct instance now;
    bool taken;

    instance_look(waiting->runtime_dirfd, waiting->service, &now);
    taken = now.verdict != STATE_DEAD && *now.page.magic && !instance_is_same(&now, before);
    instance_finish(&now);
    return taken;
}

/* A child that it has left, or another thread of its, may hold the lock for longer. */
static int await_lock(struct waiting *waiting, const struct instance *before, uint64_t deadline_us)
{
    while (state_view_is_locked(waiting->runtime_dirfd, waiting->service) &&
           !is_taken_over(waiting, before)) {
        if (has_passed(deadline_us)) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (sleep_until(waiting, waiting->inotify < 0, deadline_us) < 0)
            return -1;
    }
    return 0;
}

int instance_wait_end(int runtime_dirfd, const struct instance *instance, int pidfd,
                      uint64_t deadline_us)
{
    struct waiting waiting;
    int failed = pidfd >= 0 ? await_process(pidfd, deadline_us) : 0;

    if (failed)
        return -1;
    begin(&waiting, runtime_dirfd, instance->service);
    failed = await_lock(&waiting, instance, deadline_us);
    finish(&waiting);
    return failed;
}

/* One without a page is on its way from the lock to it, or back. */
static bool is_there(const struct instance *instance)
{
    return instance->verdict != STATE_DEAD && *instance->page.magic;
}

static void look(struct waiting *waiting)
{
    instance_finish(&waiting->now);
    instance_look(waiting->runtime_dirfd, waiting->service, &waiting->now);
    waiting->is_locked = state_view_is_locked(waiting->runtime_dirfd, waiting->service);
}

/* Only the page says whose end it is. */
static int await_page(struct waiting *waiting, uint64_t deadline_us)
{
    for (;;) {
        look(waiting);
        if (is_there(&waiting->now) || !waiting->is_locked)
            return 0;
        if (has_passed(deadline_us)) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (sleep_until(waiting, waiting->inotify < 0, deadline_us) < 0)
            return -1;
    }
}

/* The process that is there. -1 and errno only if that may be otherwise soon, or never. */
static int watch_process(struct waiting *waiting, const struct instance *instance)
{
    waiting->pidfd = instance_open(waiting->runtime_dirfd, instance);
    waiting->is_blind = waiting->pidfd < 0 && (errno == EXDEV || errno == EPERM || errno == ENOSYS);
    return waiting->pidfd >= 0 || waiting->is_blind || errno == ESRCH ? 0 : -1;
}

static int wait_for_end(struct waiting *waiting, uint64_t deadline_us)
{
    int failed = await_page(waiting, deadline_us);

    if (failed || !is_there(&waiting->now))
        return failed;
    if (watch_process(waiting, &waiting->now) < 0)
        return -1;
    return instance_wait_end(waiting->runtime_dirfd, &waiting->now, waiting->pidfd, deadline_us);
}

/* ---- bound, and ready ------------------------------------------------------------------ */

static bool has_reached(const struct instance *instance, enum instance_goal goal)
{
    if (!is_there(instance) || instance_is_draining(instance))
        return false;
    return goal == INSTANCE_BOUND ? instance->has_record : instance->page.phase == RPD_PHASE_READY;
}

/* The pidfd and the control socket are of the process that is there, until one is
 * pinned: one that does not drain. */
static void follow(struct waiting *waiting)
{
    const struct instance *now = &waiting->now;

    if (!is_there(now)) {
        waiting->was_bare |= waiting->is_locked &&
                             (waiting->pidfd < 0 || instance_has_ended(waiting->pidfd));
        return;
    }
    if (waiting->is_pinned && (now->pid != waiting->pid || now->start_time != waiting->start_time))
        return;
    if (now->pid != waiting->pid || now->start_time != waiting->start_time) {
        close_fd(&waiting->pidfd);
        close_fd(&waiting->control);
        waiting->has_control = false;
        waiting->pid = now->pid;
        waiting->start_time = now->start_time;
    }
    waiting->is_pinned |= !instance_is_draining(now);
    if (waiting->pidfd < 0)
        watch_process(waiting, now);
    if (now->has_record && !waiting->has_control) {
        waiting->control = open_control(now);
        waiting->has_control = true;
    }
}

/* Whether a change could come that no event would wake us for. */
static bool needs_tick(const struct waiting *waiting)
{
    return waiting->inotify < 0 || waiting->heard ||
           (is_there(&waiting->now) && (waiting->pidfd < 0 || waiting->control < 0));
}

/* What was on its way back from its page to its lock says so in its history. */
static bool has_just_ended(const struct waiting *waiting)
{
    struct history_entry end;

    return history_view_end(waiting->runtime_dirfd, waiting->service, 0, 0, &end) &&
           end.time_ms >= waiting->began_ms;
}

static bool has_died(const struct waiting *waiting)
{
    const struct instance *now = &waiting->now;
    const bool is_same = now->pid == waiting->pid && now->start_time == waiting->start_time;

    if (waiting->is_pinned && is_there(now))
        return !is_same;
    /* Without its page it may be on its way out: its last word is still to come. */
    if (waiting->is_pinned && waiting->is_blind)
        return !waiting->is_locked;
    if (waiting->is_pinned)
        return waiting->pidfd < 0 || instance_has_ended(waiting->pidfd);
    if (is_there(now) || waiting->is_locked)
        return false;
    return waiting->was_signed || (waiting->was_bare && !has_just_ended(waiting));
}

static int wait_for_phase(struct waiting *waiting, enum instance_goal goal, uint64_t deadline_us,
                          enum instance_outcome *ret_outcome)
{
    for (;;) {
        look(waiting);
        follow(waiting);
        *ret_outcome = has_died(waiting) ? INSTANCE_DIED : INSTANCE_REACHED;
        if (*ret_outcome == INSTANCE_DIED || has_reached(&waiting->now, goal))
            return 0;
        if (has_passed(deadline_us)) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (sleep_until(waiting, needs_tick(waiting), deadline_us) < 0)
            return -1;
    }
}

/* The process that died may not be the one that is there now. */
static void say_who_died(const struct waiting *waiting, struct instance *ret)
{
    ret->verdict = STATE_DEAD;
    ret->pid = waiting->is_pinned ? waiting->pid : 0;
    ret->start_time = waiting->is_pinned ? waiting->start_time : 0;
}

static int conclude(struct waiting *waiting, int failed, struct instance *ret,
                    enum instance_outcome *ret_outcome)
{
    if (failed && errno == ETIMEDOUT) {
        *ret_outcome = INSTANCE_TIMED_OUT;
        failed = 0;
    }
    *ret = waiting->now;
    if (*ret_outcome == INSTANCE_DIED)
        say_who_died(waiting, ret);
    waiting->now.record = (struct record_view){0};
    finish(waiting);
    return failed;
}

int instance_wait(int runtime_dirfd, const char *service, enum instance_goal goal,
                  uint64_t deadline_us, struct instance *ret, enum instance_outcome *ret_outcome)
{
    struct waiting waiting;
    int failed;

    begin(&waiting, runtime_dirfd, service);
    *ret_outcome = INSTANCE_REACHED;
    failed = goal == INSTANCE_ENDED ? wait_for_end(&waiting, deadline_us)
                                    : wait_for_phase(&waiting, goal, deadline_us, ret_outcome);
    return conclude(&waiting, failed, ret, ret_outcome);
}

int instance_wait_ready(int runtime_dirfd, const struct instance *instance, uint64_t deadline_us,
                        struct instance *ret, enum instance_outcome *ret_outcome)
{
    struct waiting waiting;
    int failed;

    begin(&waiting, runtime_dirfd, instance->service);
    waiting.is_pinned = true;
    waiting.pid = instance->pid;
    waiting.start_time = instance->start_time;
    watch_process(&waiting, instance);
    failed = wait_for_phase(&waiting, INSTANCE_READY, deadline_us, ret_outcome);
    return conclude(&waiting, failed, ret, ret_outcome);
}

/* ---- a directory that is not there yet ---------------------------------------------------- */

/* The nearest one above that is there is watched: 0, or -1 and errno. */
static int watch_above(int inotify, const char *path)
{
    char above[PATH_MAX];

    snprintf(above, sizeof above, "%s", path);
    for (;;) {
        char *slash = strrchr(above, '/');

        if (!slash) {
            errno = ENOENT;
            return -1;
        }
        slash[slash == above] = '\0';
        if (inotify_add_watch(inotify, above,
                              IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF) >= 0)
            return 0;
        if ((errno != ENOENT && errno != ENOTDIR) || slash == above)
            return -1;
    }
}

static int await_path(int inotify, const char *path, uint64_t deadline_us)
{
    struct pollfd change = {.fd = inotify, .events = POLLIN};
    char events[8192];
    struct stat status;

    for (;;) {
        if (watch_above(inotify, path) < 0)
            return -1;
        if (stat(path, &status) == 0)
            return 0;
        if (has_passed(deadline_us)) {
            errno = ETIMEDOUT;
            return -1;
        }
        poll(&change, 1, clock_ms_until(sooner(deadline_us, SLOW_TICK_US)));
        while (read(inotify, events, sizeof events) > 0)
            continue;
    }
}

/* Where nothing can be watched it is looked at again and again. */
static int poll_path(const char *path, uint64_t deadline_us)
{
    struct stat status;

    while (stat(path, &status) < 0) {
        if (errno != ENOENT)
            return -1;
        if (has_passed(deadline_us)) {
            errno = ETIMEDOUT;
            return -1;
        }
        poll(NULL, 0, clock_ms_until(sooner(deadline_us, TICK_US)));
    }
    return 0;
}

int instance_wait_directory(const char *path, uint64_t deadline_us)
{
    int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    const int failed = inotify < 0 ? poll_path(path, deadline_us)
                                   : await_path(inotify, path, deadline_us);
    const int cause = errno;

    close_fd(&inotify);
    errno = cause;
    return failed;
}
