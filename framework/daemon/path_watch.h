/* Watches the directories of our lock files and sockets, to notice at once when the directory or
 * a file in it is removed or replaced, without a timer that wakes an idle daemon. If the kernel has
 * no watch left for us, a timer checks every half second.
 *
 * A directory that is held open does not report its own removal, so its parent is watched, too.
 * A parent that any user may write to, such as /tmp, is not watched, because the files of all other
 * users would wake us. There the pulse must suffice (moving.h); it runs, because our files in the
 * directory were removed first. The renaming of any directory on the path is always reported. */
#ifndef FRAMEWORK_PATH_WATCH_H
#define FRAMEWORK_PATH_WATCH_H

#include "library/libevent.h"

#include <stdbool.h>
#include <stddef.h>

struct event;
struct event_base;

/* [loop] A file of this name was removed, renamed or put in place, in one of
 * the directories; NULL: anything may have happened. */
typedef void (*path_watch_fn)(void *arg, const char *name);

struct path_watch_directory {
    int fd;
    const char *path;
    bool is_runtime; /* it holds state pages: a write to one ends the loop's rest */
};

struct path_watch {
    int fd;
    struct event *event;
    struct path_watched *watched;
    size_t count;
    unsigned starts;  /* so far */
    bool is_complete; /* every change of a directory is reported, except in /tmp and the
                         like */
    path_watch_fn changed;
    void *arg;
};

/* [loop] Some of the directories may be the same. *watch must be all zero, or stopped. Returns 0,
 * or -1 without memory. */
int path_watch_start(struct path_watch *watch, struct event_base *base,
                     const struct path_watch_directory *directories, size_t count,
                     path_watch_fn changed, void *arg);
void path_watch_stop(struct path_watch *watch);

#endif
