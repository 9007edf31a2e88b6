/* What the daemon stands on while it runs, and what a plugin's code, which runs in the same
 * process, may take away: signal mask and handlers of the loop's thread, and the descriptors of
 * listeners, locks and the loop. Looked at once a second. What has changed is named, with
 * the callback that ran last, and put back or made again; where that is impossible the daemon
 * stops (70). Whose callback it was is only certain where there is one service.
 *
 * The loop's epoll descriptor is not among them: that it is closed is seen at once.
 * Without the pulse's timer the loop does not turn, which is the watchdog's business. A
 * descriptor of the same kind in the place of one of the loop's is not noticed. */
#ifndef FRAMEWORK_INTACT_H
#define FRAMEWORK_INTACT_H

#include "control/control.h"
#include "daemon/path_watch.h"
#include "plugin/surroundings.h"
#include "service/service.h"
#include "work/pool.h"

#include <stdbool.h>
#include <stdint.h>

struct intact {
    /* The owner's to set before: */
    struct rpd_service *services;
    size_t service_count;
    struct control *control;
    struct pool *pool;
    struct path_watch *path_watch;
    /* Make again what was closed: 0, or -1 and errno. */
    int (*open_signals)(void *arg);
    int (*watch_paths)(void *arg);
    void *arg;

    struct surroundings saved;
    dev_t anonymous_device; /* of eventfds and the like, which all have one inode */
    ino_t anonymous_inode;
    uint64_t looked_us;
    char told_signals[256];
};

/* [loop] Before any callback. All that is looked at is open. */
void intact_begin(struct intact *intact);
void intact_end(struct intact *intact);

/* [loop] From time to time. signals_only: descriptors are being closed now. */
void intact_look(struct intact *intact, uint64_t now_us, bool signals_only);

/* [loop] What may have done something that is only found afterwards: "/p/kv.so: its on_data, or
 * other code of the last second,". */
void intact_name_suspect(const struct intact *intact, char *ret, size_t size);

#endif
