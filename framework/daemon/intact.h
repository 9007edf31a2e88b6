/* Checks, once a second, the resources that the daemon depends on while it runs and that a
 * plugin's code in the same process can damage: the signal mask and handlers of the loop's thread,
 * and the descriptors of listeners, locks and the loop. The daemon reports each change together
 * with the callback that ran last, and restores or recreates what was changed. If that is
 * impossible, the daemon stops with 70. The callback is certain to be the cause only if there is
 * a single service.
 *
 * The loop's epoll descriptor is not checked, because the daemon notices at once when it is closed.
 * Without the pulse's timer the loop does not turn; the watchdog handles that. The check does not
 * notice a descriptor of the same kind in the place of one of the loop's. */
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
    /* The owner sets these first: */
    struct rpd_service *services;
    size_t service_count;
    struct control *control;
    struct pool *pool;
    struct path_watch *path_watch;
    /* Recreate what was closed. They return 0, or -1 and set errno. */
    int (*open_signals)(void *arg);
    int (*watch_paths)(void *arg);
    void *arg;

    struct surroundings saved;
    dev_t anonymous_device; /* of eventfds and the like, which all have one inode */
    ino_t anonymous_inode;
    uint64_t looked_us;
    char told_signals[256];
};

/* [loop] Call before any callback. Everything that is checked must be open. */
void intact_begin(struct intact *intact);
void intact_end(struct intact *intact);

/* [loop] Call from time to time. signals_only: descriptors are being closed now. */
void intact_look(struct intact *intact, uint64_t now_us, bool signals_only);

/* [loop] Names the code that may have caused damage that is found only afterwards:
 * "/p/kv.so: its on_data, or other code of the last second,". */
void intact_name_suspect(const struct intact *intact, char *ret, size_t size);

#endif
