/* Moving: what a daemon does when a path no longer leads to the directory that holds its locks and
 * sockets, because the directory was removed, moved away, unmounted or mounted over. Clients can
 * no longer find the daemon there, and another daemon could be started beside it.
 *
 * The daemon moves into the directory that is there now, unless another owner holds it. It takes
 * the locks first, all or none, by the protocol of every start. Then it creates the files that
 * others read, and the sockets. If nothing else recreates a run-time directory, the daemon does.
 * If the daemon cannot move within a second of the loss, it must end with 75.
 *
 * Three sources wake it: the directories and their parents, through path_watch.h; the mount table,
 * because no other event reports a mount over a path; and the loop's pulse, for changes without an
 * event, such as a directory that is mounted in another namespace. Everything here is [loop]. */
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
    int runtime_dirfd;       /* the number stays the same; the directory may change */
    void (*look)(void *arg); /* something may have happened */
    void (*failed)(void *arg, const struct error *error); /* it cannot move, and must end */
    void *arg;
    /* Private: */
    int mounts_fd;
    struct event *mounts, *deadline, *make;
    uint64_t lost_us;   /* when a directory was lost; 0: none is */
    bool may_make;      /* nothing has recreated the run-time directory */
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

/* [loop] No directory is lost, and, together with a complete path_watch, an event reports every
 * move of a directory. */
bool moving_may_rest(const struct moving *moving);

#endif
