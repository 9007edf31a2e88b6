/* Waiting for what a service does: woken by the kernel and by the daemon's control
 * socket, not by looking again and again. Nothing here starts or ends anything. libc
 * only: readers that are no part of the daemon are built with it, too. */
#ifndef FRAMEWORK_INSTANCE_WAIT_H
#define FRAMEWORK_INSTANCE_WAIT_H

#include "observe/instance.h"

#include <stdint.h>

#define INSTANCE_FOR_EVER UINT64_MAX /* a deadline: none */

enum instance_goal {
    INSTANCE_BOUND, /* its endpoints are up, and its record is there */
    INSTANCE_READY, /* loaded, be it degraded */
    INSTANCE_ENDED  /* it is gone, and its lock is free, or another's */
};

enum instance_outcome {
    INSTANCE_REACHED,
    INSTANCE_DIED, /* before it was bound, or ready */
    INSTANCE_TIMED_OUT
};

/* [any] Waits, and fills *ret with what was seen last of the process that was waited
 * for; instance_finish() is due in any case. deadline_us: of CLOCK_MONOTONIC; it is looked at
 * least once.
 *
 * For BOUND and READY that is the process that is there and does not drain, else the
 * next one; when it dies, nothing more is waited for. One that died on its way to
 * its page has the pid 0. For ENDED it is the one that is there; if there is none, it
 * has ended.
 *
 * -1 and errno if it cannot be waited for (no descriptors, say). */
int instance_wait(int runtime_dirfd, const char *service, enum instance_goal goal,
                  uint64_t deadline_us, struct instance *ret, enum instance_outcome *ret_outcome);

/* [any] READY, of the very process that was looked at: if that is gone, it has died. */
int instance_wait_ready(int runtime_dirfd, const struct instance *instance, uint64_t deadline_us,
                        struct instance *ret, enum instance_outcome *ret_outcome);

/* [any] The end of one that was looked at, by its pidfd (from instance_open(); -1 if
 * it is gone), and then for its lock to be free, or another's. 0, or -1 and errno:
 * ETIMEDOUT at the deadline. */
int instance_wait_end(int runtime_dirfd, const struct instance *instance, int pidfd,
                      uint64_t deadline_us);

/* [any] For a directory to be there. 0, or -1 and errno as above. */
int instance_wait_directory(const char *path, uint64_t deadline_us);

#endif
