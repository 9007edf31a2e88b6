/* Making sure that a configuration runs: looks, waits for its turn, starts it if no other caller
 * has, and says why if that cannot be.
 *
 * Callers queue on NAME.ensure.lock, a lock of their own: the first starts the
 * daemon, the others are woken when that is over, and find it there, or find in the
 * service's history why it is not. The daemon's own locks are only asked. */
#ifndef FRAMEWORK_ENSURE_H
#define FRAMEWORK_ENSURE_H

#include "base/error.h"
#include "observe/instance_wait.h"
#include "rpdctl/ensure/request.h"

#include <stdbool.h>
#include <stdint.h>

enum { ENSURE_TIMED_OUT = 1 }; /* beside rpd's exit codes */

struct ensure {
    struct ensure_request request;     /* arguments, config and the deadline are the caller's */
    void (*warn)(const char *line);    /* what the user should know, and is no failure */
    void (*pass_on)(const char *line); /* an error of rpd's before the last, as it says it */
    /* Of a restart, else NULL: stops what runs. Called once, in our turn: a caller that ensures
     * meanwhile waits, and finds what is started then. 0, or the exit code: the end. */
    int (*stop)(void *arg);
    void *stop_arg;
    /* If the configuration that runs differs: has it taken anew. 0, or the exit code: the end.
     * NULL: the user is warned. */
    int (*renew)(const struct instance *instance);
    /* The result: */
    struct instance *instances; /* of the services, in their order */
    bool started;               /* by this call */
    /* Private: */
    uint64_t began_ms; /* of CLOCK_REALTIME */
};

/* All services live in one process, and are bound: 0. Else the exit code that rpd
 * had, or would have, and its line; or ENSURE_TIMED_OUT. */
int ensure_bound(struct ensure *ensure, struct error *error);

/* After that: waits until all are ready. */
int ensure_ready(struct ensure *ensure, struct error *error);

void ensure_finish(struct ensure *ensure);

#endif
