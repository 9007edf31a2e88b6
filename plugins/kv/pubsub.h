/* Channels, patterns, and who listens to them. */
#ifndef KV_PUBSUB_H
#define KV_PUBSUB_H

#include "kv.h"

/* [loop] All that the session listens to. */
void pubsub_forget(struct kv *kv, struct session *session);

/* [loop] Whether it listens to anything: in RESP2 it may ask for little else then. */
bool pubsub_is_on(const struct session *session);

/* [loop] How many channels, or patterns, have subscribers. */
size_t pubsub_count(const struct kv *kv, bool is_pattern);

/* At the end. */
void pubsub_finish(struct kv *kv);

#endif
