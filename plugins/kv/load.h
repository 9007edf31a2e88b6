/* The state's beginning and end: the load of a snapshot, part by part. */
#ifndef KV_LOAD_H
#define KV_LOAD_H

#include "kv.h"

/* [worker] As in struct rpd_backend. */
void *load_begin(struct rpd_load *load);
void load_unload(void *state);

/* [loop] All parts are there, or given up. */
void load_finished(struct kv *kv);

#endif
