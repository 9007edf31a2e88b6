/* Saving: a snapshot of the moment at which it begins, written by a worker while the loop
 * goes on. */
#ifndef KV_SAVE_H
#define KV_SAVE_H

#include "kv.h"

/* [loop] Begins, if it is time to. */
void save_tick(struct kv *kv);

/* [loop] Gives the running one up, if there is one. */
void save_cancel(struct kv *kv);

#endif
