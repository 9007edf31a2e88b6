/* What carries over from one start to the next if a service manager starts the daemon repeatedly:
 *
 *   a history that outlives the run-time directory, $RUNTIME_DIRECTORY, which systemd removes at
 *   each stop. Lines are therefore written to $STATE_DIRECTORY, too, and a new run-time directory
 *   begins with them. RuntimeDirectoryPreserve= is no alternative: with DynamicUser= it would hide
 *   the directory from other users.
 *   a pause: a service that has failed repeatedly is not run at once (crash_loop.h). Meanwhile the
 *   endpoints are up, and clients wait. rpdctl ensure, for which a person is waiting, refuses a
 *   start instead.
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

/* Restores what the last stop removed, and records the end of a run that was killed.
 * Returns the open history in $STATE_DIRECTORY, or -1 if there is none. */
int restart_recall(int runtime_dirfd, const char *service);

/* Judges by the service's history. changed_ms: see crash_loop_judge(). */
struct restart restart_judge(int runtime_dirfd, const char *service, uint64_t changed_ms);

/* When the file was last changed, for restart_judge(); 0: the file does not exist. */
uint64_t restart_changed_ms(const char *path);

/* Reports the reason, to the manager as well, and waits until the next start is due or a stop is
 * requested. */
void restart_wait(const struct restart *restart, struct notify *notify);

#endif
