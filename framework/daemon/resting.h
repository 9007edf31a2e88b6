/* Decides whether the loop may rest (guard/rest.h), and for how long. The loop may rest if an event
 * reports everything that the pulse checks, or if the check can wait. This requires that there is
 * no client and no operation in progress; that each service is READY; that changes of files and
 * directories are reported (path_watch.h, moving.h); and that no idle exit, no message to the
 * manager's watchdog and no line of the log is due sooner. */
#ifndef FRAMEWORK_RESTING_H
#define FRAMEWORK_RESTING_H

#include "control/control.h"
#include "daemon/moving.h"
#include "daemon/notify.h"
#include "daemon/orphans.h"
#include "daemon/path_watch.h"
#include "service/service.h"

#include <stdint.h>

struct resting {
    /* The owner sets these first: */
    const struct rpd_service *services;
    size_t service_count;
    const struct control *control;
    const struct moving *moving;
    const struct notify *notify;
    const struct orphans *orphans;
    const struct path_watch *path_watch;
    const struct place_pool *place_pool;

    uint64_t woken_us; /* the end of the last rest */
};

/* [loop] When a rest that begins now must end, unless something ends it earlier; 0: the loop must
 * not rest. */
uint64_t resting_until(const struct resting *resting, uint64_t now_us);

#endif
