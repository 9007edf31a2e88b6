/* Watching the directories of our lock files and sockets, so that one that is
 * removed or replaced is noticed at once, without a timer that wakes an idle
 * daemon: its files, and the directory itself. Where the kernel has no watch left
 * for us a timer does it, each half second.
 *
 * A directory that is held open reports nothing of its own removal, so the one that
 * holds it is watched, too; but not where any user may write, as in /tmp, where
 * the files of all others would wake us: there the pulse has to do (moving.h), which runs since
 * our files in it went before. That any directory on the way is renamed is reported in any case. */
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
    bool is_runtime; /* there are state pages in it: a write to one ends the loop's rest */
};

struct path_watch {
    int fd;
    struct event *event;
    struct path_watched *watched;
    size_t count;
    unsigned starts;  /* so far */
    bool is_complete; /* nothing can happen to a directory that is not reported, but in /tmp and the
                         like */
    path_watch_fn changed;
    void *arg;
};

/* [loop] Some of the directories may be the same. *watch is all zero, or was stopped. 0, or -1
 * without memory. */
int path_watch_start(struct path_watch *watch, struct event_base *base,
                     const struct path_watch_directory *directories, size_t count,
                     path_watch_fn changed, void *arg);
void path_watch_stop(struct path_watch *watch);

#endif
