/* What objects there are, and in which order they were used. In memory, on the loop.
 *
 * The index has a shard for each folder of objects/. A shard is a hash table of entries, which are
 * also in a list, the most recently used first. The oldest object of all is the oldest of one of
 * the shards. A shard is loaded when its folder has been read; until then the shard has what was
 * found or written in the meantime, and says nothing about the rest.
 *
 * Entries are numbers in an array of the shard: 40 bytes each, and 4 to 8 of the table.
 *
 * Times are in ticks of 0.1 s; entries of one tick keep their order within their shard. Entries
 * that were used since index_take_unnoted() are the first of their shard's list. */
#ifndef BUILDCACHE_INDEX_H
#define BUILDCACHE_INDEX_H

#include "object.h"

enum { INDEX_NONE = UINT32_MAX };

struct index_entry {
    struct object_id id;
    uint32_t next;         /* of a bucket, or of the free ones */
    uint32_t newer, older; /* of the list */
    uint32_t used;         /* ticks */
    uint32_t blocks : 31;  /* bytes of disk, in 4 KiB */
    uint32_t is_noted : 1; /* on disk, when it was last used */
    uint32_t mark;         /* of the file whose body was checked; 0: of none */
};

struct index_shard {
    struct index_entry *entries;
    uint32_t *buckets;
    uint32_t room, filled, free, bucket_count; /* filled: entries that were ever used */
    uint32_t newest, oldest;
    uint32_t count, unnoted;
    uint32_t changes; /* a number that changes with each object that is written or removed */
    bool is_loaded;
    uint64_t bytes;
};

struct index {
    struct index_shard shards[OBJECT_FOLDERS];
    uint64_t count, bytes;
    uint32_t loaded; /* shards */
};

void index_init(struct index *index);
void index_finish(struct index *index);
void index_shard_init(struct index_shard *shard);
void index_shard_finish(struct index_shard *shard);

/* Valid until the next call that adds. NULL: none; whether that says that there is no such object
 * is up to is_loaded. */
struct index_entry *index_find(struct index *index, struct object_id id);

/* Adds an object, or gives one that is there another size; it becomes the most recently used. 0, or
 * -1: no memory. */
int index_put(struct index *index, struct object_id id, uint64_t disk_bytes, uint32_t used);

/* It is used now. */
void index_use(struct index *index, struct index_entry *entry, uint32_t used);

void index_remove(struct index *index, struct index_entry *entry);

/* The least recently used of all; NULL: there is none. */
struct index_entry *index_oldest(struct index *index);

/* ---- loading ----------------------------------------------------------------------------------
 */

/* [worker] Adds one behind the last: the objects of a folder, most recently used first. 0, or -1:
 * no memory. */
int index_shard_append(struct index_shard *shard, struct object_id id, uint64_t disk_bytes,
                       uint32_t used);

/* A folder has been read. Its objects join those that the shard has already, and are older than
 * these. What loaded has becomes the index's. 0, or -1: no memory, and nothing is changed. */
int index_attach(struct index *index, unsigned folder, struct index_shard *loaded);

/* ---- what is to be noted on disk ----------------------------------------------------------------
 */

struct index_note {
    struct object_id id;
    uint64_t used; /* microseconds since tick 0, in the order of the list */
};

/* The entries of a shard that were used since the last call, at most room of them. Their number. */
size_t index_take_unnoted(struct index *index, unsigned folder, struct index_note *notes,
                          size_t room);

#endif
