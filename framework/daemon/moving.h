/* Moving: what a daemon does when a directory of its locks and sockets is no longer where its path
 * leads, because it was removed, moved away, unmounted or mounted over. No client finds the daemon
 * there any more, and another could be started beside it.
 *
 * It moves into the directory that is there now, if no other owner is: the locks first, all or
 * none, by the protocol of every start; then what others read, and the sockets. A run-time
 * directory that is not made again it makes itself. Where it cannot move within a second of the
 * loss it must end, with 75.
 *
 * What wakes it: the directories themselves and those that hold them (path_watch.h), the table of
 * mounts, as no other event reports a mount over a path, and the loop's pulse, for what has no
 * event, such as a directory that is mounted in another namespace. All of it is [loop]. */
#ifndef FRAMEWORK_MOVING_H
#define FRAMEWORK_MOVING_H

#include "base/error.h"
#include "control/control.h"
#include "service/service.h"

struct event;
struct event_base;

struct moving {
    /* Set by the owner: */
    struct rpd_service *services;
    size_t service_count;
    struct claim **claims;
    size_t claim_count;
    struct control *control;
    const char *runtime_dir;
    int runtime_dirfd;       /* the number stays, the directory may become another */
    void (*look)(void *arg); /* something may have happened */
    void (*failed)(void *arg, const struct error *error); /* it cannot move, and must end */
    void *arg;
    /* Private: */
    int mounts_fd;
    struct event *mounts, *deadline, *make;
    uint64_t lost_us;   /* since when a directory is lost; 0: none is */
    bool may_make;      /* the run-time directory has not been made again */
    bool is_due;        /* the time is over */
    bool gave_up;       /* failed was called */
    struct error error; /* why it could not move, when it last tried */
};

/* 0, or -1 without memory. moving_stop() is legal at any time. */
int moving_start(struct moving *moving, struct event_base *base);
void moving_stop(struct moving *moving);

enum moving_result {
    MOVING_AT_HOME, /* nothing is lost */
    MOVING_MOVED,   /* something was, and is there again */
    MOVING_LOST     /* something is: nothing can be made there */
};

/* Looks where the directories are, and moves. */
enum moving_result moving_look(struct moving *moving);

/* [loop] Nothing is lost, and whatever moves a directory is an event, together with a path_watch
 * that is complete. */
bool moving_may_rest(const struct moving *moving);

#endif
