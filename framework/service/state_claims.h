/* State claims: the files and directories that a backend has claimed for its service's life
 * (rpd/service.h), each by a lock file of the same kind as a unix path has:
 *
 *     a file /srv/x.snap       .x.snap.lock beside it
 *     a directory /srv/index   .rpd.lock in it
 *
 * Two services with one state file would each save over the other's. What is
 * claimed stays so until the service has unloaded. Several workers may claim at
 * once; the claims are few, and a mutex guards them. */
#ifndef FRAMEWORK_STATE_CLAIMS_H
#define FRAMEWORK_STATE_CLAIMS_H

#include "base/error.h"

#include <pthread.h>
#include <stdbool.h>

struct state_claim;

struct state_claims {
    pthread_mutex_t mutex;
    struct state_claim *list;
    struct error *error; /* why the last one that failed did; NULL: none has, or it was taken */
};

/* [start] */
void state_claims_init(struct state_claims *claims);

/* [start][worker] Waits a moment for an owner that is about to end. 0: it is ours, perhaps since
 * long. 75 names its holder. */
int state_claims_take(struct state_claims *claims, const char *path, const char *identity,
                      struct error *error);

/* [worker] Whether it still is: no other owner has come where the lock file or the
 * directory was removed. One that was only removed is taken again. */
bool state_claims_hold(struct state_claims *claims, const char *path);

/* [start][loop] The error of one that has failed, once. False: there is none. */
bool state_claims_failure(struct state_claims *claims, struct error *ret);

/* [start] When no worker runs any more. Legal at any time after init. */
void state_claims_release(struct state_claims *claims);

#endif
