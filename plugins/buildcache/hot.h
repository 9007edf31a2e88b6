/* Small objects that were read lately, in memory: they are sent without a worker, and without the
 * disk. On the loop. Bounded in bytes; the least recently used make room. */
#ifndef BUILDCACHE_HOT_H
#define BUILDCACHE_HOT_H

#include "object.h"

#include <sys/queue.h>

enum { HOT_OBJECT_MAX = 128 * 1024, HOT_BUCKETS = 8192 };

struct hot_object {
    TAILQ_ENTRY(hot_object) used;
    struct hot_object *next; /* of a bucket */
    struct object_id id;
    uint32_t size; /* of the body */
    uint16_t key_size;
    char *body, *key; /* key: in the same block as the struct */
};

struct hot {
    TAILQ_HEAD(hot_objects, hot_object) objects; /* the least recently used first */
    struct hot_object **buckets;                 /* NULL: nothing is kept */
    size_t bytes, limit;
};

/* limit in bytes; 0: nothing is kept. Without memory nothing is kept either. */
void hot_init(struct hot *hot, size_t limit);
void hot_finish(struct hot *hot);

/* NULL: it is not there. Valid until the next call. */
const struct hot_object *hot_find(struct hot *hot, struct object_id id,
                                  const struct object_key *key);

/* take_body: from malloc(), freed here. An object that is there already is replaced. */
void hot_add(struct hot *hot, struct object_id id, const struct object_key *key, char *take_body,
             size_t size);

/* It was written anew, or removed. */
void hot_remove(struct hot *hot, struct object_id id);

#endif
