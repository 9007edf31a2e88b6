/* Whether the loop may rest (guard/rest.h), and for how long: when all that the pulse looks at is
 * either reported by an event, or can wait. There is no client and nothing is under way; each
 * service is READY; changes of files and directories are reported (path_watch.h, moving.h); and
 * neither an idle exit, nor the manager's watchdog, nor a line of the log is due sooner. */
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
    /* The owner's to set before: */
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

/* [loop] When a rest that begins now must end, if nothing ends it before; 0: there must be none. */
uint64_t resting_until(const struct resting *resting, uint64_t now_us);

#endif
