/* Whose turn it is to start a configuration: callers of ensure queue on NAME.ensure.lock, a lock of
 * their own. The file records which configuration was started last, and since when no other was. */
#ifndef FRAMEWORK_ENSURE_TURN_H
#define FRAMEWORK_ENSURE_TURN_H

#include "base/error.h"
#include "base/lock.h"
#include "rpdctl/ensure/request.h"

#include <stdbool.h>

/* Waits in the queue. 0: it is the caller's turn; 1: the deadline has passed; -1. */
int ensure_turn_take(const struct ensure_request *request, struct lock *lock, struct error *error);

/* Notes in the lock that this configuration is started now. */
void ensure_turn_sign(const struct ensure_request *request, const struct lock *lock);

/* Since when (CLOCK_REALTIME) no other configuration of this name was started: now, if the last one
 * was another; 0: whether one ever was is not known. */
uint64_t ensure_turn_since_ms(const struct ensure_request *request, const struct lock *lock);

/* Whether the last start was that of another configuration whose first service has the same name:
 * how that start went does not concern this caller. */
bool ensure_turn_was_anothers(const struct ensure_request *request, const struct lock *lock);

#endif
