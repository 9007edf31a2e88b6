/* One running instance of a service, seen from outside: by its lock, its state
 * page and its record. Nothing here asks the service, waits, or takes its lock. libc
 * only: readers that are no part of the daemon are built with it, too. */
#ifndef FRAMEWORK_INSTANCE_H
#define FRAMEWORK_INSTANCE_H

#include "observe/record_view.h"
#include "observe/state_view.h"

#include <stdbool.h>
#include <sys/types.h>

struct instance {
    char service[64];
    enum state_verdict verdict;
    enum state_place place; /* of its page */
    bool has_page;   /* else page is all zero, but for the first 64 bytes of another layout */
    bool has_record; /* and it is of the same process as the page */
    pid_t pid;       /* 0: not known: on its way from the lock to the page, or dead and gone */
    unsigned long long start_time;
    struct rpd_state_page page;
    struct record_view record;
};

/* [any] There is a verdict in any case; without a name that a service can have it is
 * dead. instance_finish() is due. */
void instance_look(int runtime_dirfd, const char *service, struct instance *ret);
void instance_finish(struct instance *instance);

/* [any] Whether it takes no new clients any more. */
bool instance_is_draining(const struct instance *instance);

/* [any] A pidfd of that very process, and of no other that got its number since:
 * of this boot, with its start time, and while the service's lock is held. -1 and
 * errno:
 *   ESRCH   it is gone
 *   EXDEV   it is elsewhere: see its place
 *   EPERM   the process that its page names is not of the user that its lock belongs to
 *   ENOSYS  it is there, but no pidfd can be had (a sandbox denies it)
 * or what pidfd_open() says. */
int instance_open(int runtime_dirfd, const struct instance *instance);

/* [any] The same of one that may have lost the lock of its name already: a process that
 * dies loses its locks one after the other, and not before the last of its threads ends.
 * errno as above, but for EPERM. */
int instance_open_ending(const struct instance *instance);

/* [any] Sends it a signal by its pidfd; where that is -1 as none can be had, by its number, after
 * a second look at it. 0, or -1 and errno: ESRCH if it is gone, or as above. */
int instance_signal(int runtime_dirfd, const struct instance *instance, int pidfd, int number);

/* [any] Whether the process of a pidfd has ended, all threads of it. */
bool instance_has_ended(int pidfd);

/* [any] Whether an endpoint is a unix path at which there is no socket, seen from here. */
bool instance_is_path_lost(const char *endpoint);

/* [any] The first endpoint of one that lives that cannot be reached, as that is; NULL: there is
 * none. Of one that drains no path is expected. */
const char *instance_unreachable(const struct instance *instance);

/* [any] Whether it is the same process that was seen both times. */
bool instance_is_same(const struct instance *one, const struct instance *other);

#endif
