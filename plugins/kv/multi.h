/* Transactions: MULTI queues requests, EXEC runs them at one moment, unless a key that was watched
 * has changed. */
#ifndef KV_MULTI_H
#define KV_MULTI_H

#include "kv.h"

/* [loop] The call's request waits for EXEC, which has been answered; or there is no room for it. */
void multi_queue(struct call *call);

/* [loop] A request was refused between MULTI and EXEC: EXEC will run none. */
void multi_fail(struct session *session);

/* [loop] What there is of a transaction, and of watched keys, is dropped. */
void multi_discard(struct kv *kv, struct session *session);

/* [loop] How many requests wait; -1: there was no MULTI. */
int multi_count(const struct session *session);

/* ---- watch.c -------------------------------------------------------------------- */

/* [loop] 0; -1: no memory; 1: too many. */
int watch_key(struct kv *kv, struct session *session, const struct store_key *key);

/* [loop] All that the session watches. */
void watch_forget(struct kv *kv, struct session *session);

/* [loop] Whether one of the session's keys has changed, or expired. */
bool watch_has_lost(struct kv *kv, struct session *session);

/* [loop] These databases are going to be flushed. */
void watch_flush(struct kv *kv, unsigned first, unsigned last);

/* At the end. */
void watch_finish(struct kv *kv);

#endif
