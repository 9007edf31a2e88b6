/* Moving. See moving.h. */
#include "daemon/moving.h"

#include "base/clock.h"
#include "base/directory.h"
#include "base/log.h"
#include "guard/outcome.h"
#include "library/libevent.h"
#include "publish/history.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A program that removes a directory often makes it again at once, and would be in our way.
 * Together with a beat of the pulse the rest is less than a second. */
enum { MAKE_AFTER_US = 200000, LOST_MAX_US = 700000 };

/* ---- where they are ------------------------------------------------------------------- */

/* The array is in the order of the directories, but for those that have moved. */
static bool same_directory(const struct claim *one, const struct claim *other)
{
    return one->dirfd == other->dirfd || strcmp(one->directory, other->directory) == 0;
}

static const struct claim *find_displaced(const struct moving *moving)
{
    for (size_t i = 0; i < moving->claim_count; i++) {
        const struct claim *claim = moving->claims[i];

        if ((i == 0 || !same_directory(claim, moving->claims[i - 1])) && claim_is_displaced(claim))
            return claim;
    }
    return NULL;
}

/* ---- the move ----------------------------------------------------------------------------- */

static int refuse_own_bind(const struct rpd_service *service, struct error *error)
{
    return error_set(error, EXIT_RUNNING, "claim", service->name,
                     "the directory of its socket is gone, and only its backend could make the "
                     "socket again; start it again");
}

/* The new run-time directory; *ret_fd is -1 where the old one is still there. */
static int find_runtime(struct moving *moving, int *ret_fd)
{
    int found;

    *ret_fd = -1;
    if (directory_is_at(moving->runtime_dir, moving->runtime_dirfd))
        return 0;
    if (moving->may_make) {
        *ret_fd = directory_open_at(moving->runtime_dir, &moving->error);
        return *ret_fd < 0 ? -1 : 0;
    }
    found = directory_find_at(moving->runtime_dir, ret_fd, &moving->error);
    return found > 0 ? error_set(&moving->error, EXIT_RECORD, "claim", moving->runtime_dir,
                                 "it was not made again")
                     : found;
}

static int move_claims(struct moving *moving)
{
    int fresh_fd, moved;

    FOR_EACH_SERVICE(moving, service)
        if (service_cannot_move(service))
            return refuse_own_bind(service, &moving->error);
    if (find_runtime(moving, &fresh_fd) < 0)
        return -1;
    if (fresh_fd >= 0)
        directory_keep(fresh_fd);
    moved = claim_move(moving->claims, moving->claim_count, moving->runtime_dirfd, fresh_fd,
                       &moving->error);
    if (fresh_fd >= 0)
        close(fresh_fd);
    return moved;
}

static void move_history(const struct moving *moving, const char *service)
{
    const int fd = history_move(outcome_history(service), moving->runtime_dirfd, service);

    if (fd >= 0)
        outcome_replace_history(service, fd);
    else
        log_line(RPD_LOG_WARNING, service,
                 "cannot open %s/%s.history: %s; its end will not be recorded", moving->runtime_dir,
                 service, strerror(errno));
}

/* What others read comes with the locks, so that they see it alive as soon as it is. */
static void move_files(struct moving *moving, bool runtime_moved)
{
    FOR_EACH_SERVICE(moving, service) {
        if (runtime_moved)
            move_history(moving, service->name);
        service_move(service);
    }
    control_move(moving->control);
    claim_settled(moving->claims, moving->claim_count);
}

static int move(struct moving *moving)
{
    const bool runtime_moves = !directory_is_at(moving->runtime_dir, moving->runtime_dirfd);

    if (move_claims(moving) < 0)
        return -1;
    move_files(moving, runtime_moves);
    return 0;
}

/* ---- while it is lost ---------------------------------------------------------------------- */

static void await(struct event *event, uint64_t us)
{
    const struct timeval left = {.tv_usec = (suseconds_t)us};

    event_add(event, &left);
}

static void begin_lost(struct moving *moving, const struct claim *claim)
{
    moving->lost_us = clock_us();
    log_line(RPD_LOG_WARNING, NULL,
             "%s: the directory is no longer there: removed, moved or mounted over; moves into the "
             "one that is there now",
             claim->directory);
    await(moving->make, MAKE_AFTER_US);
    await(moving->deadline, LOST_MAX_US);
}

static enum moving_result end_lost(struct moving *moving)
{
    log_line(RPD_LOG_INFO, NULL, "its directories are all there again, after %.3f s",
             (double)(clock_us() - moving->lost_us) / 1e6);
    moving->lost_us = 0;
    moving->may_make = moving->is_due = false;
    event_del(moving->make);
    event_del(moving->deadline);
    return MOVING_MOVED;
}

static void give_up(struct moving *moving, const struct claim *displaced)
{
    struct error error;

    moving->gave_up = true;
    event_del(moving->make);
    event_del(moving->deadline);
    error_set(&error, EXIT_RUNNING, "claim", displaced->directory,
              "the directory is gone, and this daemon cannot move into another: %s",
              moving->error.text);
    moving->failed(moving->arg, &error);
}

/* Of another owner there is nothing to wait for. */
static bool is_final(const struct error *error)
{
    return error->code == EXIT_RUNNING || error->code == EXIT_CONFIG;
}

enum moving_result moving_look(struct moving *moving)
{
    const struct claim *displaced = moving->gave_up ? NULL : find_displaced(moving);

    if (moving->gave_up)
        return MOVING_LOST;
    if (!displaced)
        return moving->lost_us > 0 ? end_lost(moving) : MOVING_AT_HOME;
    if (moving->lost_us == 0)
        begin_lost(moving, displaced);
    if (move(moving) == 0)
        return end_lost(moving);
    if (moving->is_due || is_final(&moving->error))
        give_up(moving, displaced);
    return MOVING_LOST;
}

/* ---- what wakes it --------------------------------------------------------------------------- */

static void on_mounts(evutil_socket_t fd, short what, void *arg)
{
    const struct moving *moving = arg;

    (void)fd;
    (void)what;
    moving->look(moving->arg);
}

static void on_make(evutil_socket_t fd, short what, void *arg)
{
    struct moving *moving = arg;

    (void)fd;
    (void)what;
    moving->may_make = true;
    moving->look(moving->arg);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct moving *moving = arg;

    (void)fd;
    (void)what;
    moving->may_make = moving->is_due = true;
    moving->look(moving->arg);
}

/* The file is always readable: what is waited for is the edge, which comes with each change.
 * Without /proc the pulse has to do. */
static int watch_mounts(struct moving *moving, struct event_base *base)
{
    moving->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (moving->mounts_fd < 0)
        return 0;
    moving->mounts = event_new(base, moving->mounts_fd, EV_READ | EV_ET | EV_PERSIST, on_mounts,
                               moving);
    return moving->mounts ? event_add(moving->mounts, NULL) : -1;
}

bool moving_may_rest(const struct moving *moving)
{
    return moving->mounts_fd >= 0 && moving->lost_us == 0 && !moving->gave_up;
}

int moving_start(struct moving *moving, struct event_base *base)
{
    moving->mounts_fd = -1;
    moving->make = evtimer_new(base, on_make, moving);
    moving->deadline = evtimer_new(base, on_deadline, moving);
    return moving->make && moving->deadline ? watch_mounts(moving, base) : -1;
}

static void free_event(struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
}

void moving_stop(struct moving *moving)
{
    free_event(&moving->mounts);
    free_event(&moving->deadline);
    free_event(&moving->make);
    if (moving->mounts_fd > 0)
        close(moving->mounts_fd);
    moving->mounts_fd = -1;
}
