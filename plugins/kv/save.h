/* Saving: a snapshot of the moment at which the save begins, written by a worker while the
 * loop goes on.
 *
 * The loop hands over one part of the store after the other: a list of its entries, which the
 * worker reads where they lie. What the file must still show is kept from changing by a guard
 * (store.h): entries that are replaced or deleted meanwhile are freed when the save is over, and
 * segments of parts that have not been handed over are copied before they change. */
#ifndef KV_SAVE_H
#define KV_SAVE_H

#include "kv.h"

/* [loop] Begins one, if it is time to. */
void save_tick(struct kv *kv);

/* [loop] Gives the running one up, if there is one. */
void save_cancel(struct kv *kv);

/* [worker] Saves at the stop, when no other thread uses the store: the changes since the last save,
 * if the configuration wants that. */
void save_at_stop(struct kv *kv);

#endif
