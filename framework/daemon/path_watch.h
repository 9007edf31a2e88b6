/* Watching the directories of our lock files and sockets, so that one that is
 * removed or replaced is noticed at once, without a timer that wakes an idle
 * daemon. Where the kernel has no watch left for us a timer does it, each
 * half second. */
#ifndef FRAMEWORK_PATH_WATCH_H
#define FRAMEWORK_PATH_WATCH_H

#include "library/libevent.h"

struct event;
struct event_base;

/* [loop] A file of this name was removed, renamed or put in place, in one of
 * the directories; NULL: anything may have happened. */
typedef void (*path_watch_fn)(void *arg, const char *name);

struct path_watch {
    int fd;
    struct event *event;
    path_watch_fn changed;
    void *arg;
};

/* [loop] dirfds: the directories; some may be the same. 0, or -1 without memory. */
int path_watch_start(struct path_watch *watch, struct event_base *base, const int *dirfds,
                     size_t count, path_watch_fn changed, void *arg);
void path_watch_stop(struct path_watch *watch);

#endif
