/* What the files of the store share. See store.h. All [loop]. */
#ifndef BUILDCACHE_STORE_INSIDE_H
#define BUILDCACHE_STORE_INSIDE_H

#include "store.h"

static inline struct session *store_session(struct rpd_conn *conn)
{
    return rpd_conn_data(conn);
}

static inline struct index_shard *store_shard(struct store *store, struct object_id id)
{
    return &store->index.shards[id.bytes[0]];
}

/* A request, of which this histogram gets the time; and its answer is written, so that another may
 * follow. */
void store_begin(struct rpd_conn *conn, enum number time);
void store_answered(struct rpd_conn *conn);

/* Whole answers: not now; there is no such object. */
void store_fail(struct rpd_conn *conn);
void store_miss(struct rpd_conn *conn);

/* An object is used. */
void store_use(struct store *store, struct index_entry *entry);

/* It was written or removed: what jobs have seen before no longer counts. */
void store_change(struct store *store, struct object_id id);

/* It is on disk. */
void store_add(struct store *store, const struct object_key *key, struct object_id id,
               uint64_t body_size);

/* NULL: all is well again. */
void store_set_degraded(struct store *store, const char *reason);

#endif
