/* What a start owes to those before it, where a service manager starts the daemon again and again:
 *
 *   a history that outlives the run-time directory. systemd removes that ($RUNTIME_DIRECTORY) with
 *   each stop; so lines go to $STATE_DIRECTORY, too, and a new directory begins with them
 *   (with DynamicUser= RuntimeDirectoryPreserve= would hide the directory from other users)
 *   a pause: what has failed again and again is not run at once (crash_loop.h). The endpoints are
 *   up meanwhile, and clients wait. (rpdctl ensure, which has a person waiting in front of it,
 *   refuses a start instead.)
 *
 * All of it is [start], under the lock of the service. */
#ifndef FRAMEWORK_RESTART_H
#define FRAMEWORK_RESTART_H

#include "daemon/notify.h"

#include <stdint.h>

struct restart {
    unsigned failures; /* in a row */
    uint64_t left_ms;  /* until the next is due; 0: now */
};

/* What the last stop removed is there again, and a run that was killed is noted as ended.
 * Returns the open history in $STATE_DIRECTORY, or -1: there is none. */
int restart_recall(int runtime_dirfd, const char *service);

/* By the service's history. changed_ms: as of crash_loop_judge(). */
struct restart restart_judge(int runtime_dirfd, const char *service, uint64_t changed_ms);

/* When the file was last changed, for restart_judge(); 0: it is not there. */
uint64_t restart_changed_ms(const char *path);

/* Says why, to the manager, too, and waits until the next start is due; or a stop is asked for. */
void restart_wait(const struct restart *restart, struct notify *notify);

#endif
