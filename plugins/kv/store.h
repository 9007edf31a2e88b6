/* The databases: keys, values, expiry, and the limit of memory.
 *
 * All of it is the loop's. Each database is split by the key's hash into
 * TABLE_PARTS parts, which is how a snapshot is split, too: parts are loaded one by
 * one, and keys of those that are not there yet are not to be asked for.
 *
 * While a save runs, a guard keeps what it has not written: entries are neither
 * changed nor freed, and segments are copied before they change. Entries that are made
 * meanwhile are changed and freed as ever. See save.h. */
#ifndef KV_STORE_H
#define KV_STORE_H

#include "clock.h"
#include "heap.h"
#include "table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_DATABASES = 16 };

#define STORE_NO_EXPIRY 0 /* else milliseconds of the store's clock, above 0 */

struct database {
    struct table parts[TABLE_PARTS];
    struct heap heap;
    size_t count, expiring; /* keys */
    size_t table_bytes;
};

/* What a running save asks for. */
struct store_guard {
    uint32_t epoch;           /* segments of this epoch need no copy */
    unsigned handed, written; /* parts below are copied; and written */
    /* Copies the segment of this hash, if it must. What becomes fresh in it then is none of the
     * save's. */
    void (*copy)(struct store_guard *guard, unsigned database, uint64_t hash);
};

/* An entry that is no longer in a table, and that a save may still read. */
struct store_deferred {
    struct entry *entry;
    unsigned database;
};

struct store {
    struct sip_key seed;
    struct database databases[STORE_DATABASES];
    struct kv_clock clock;
    uint64_t loaded;           /* a bit for each part */
    size_t limit;              /* of memory; 0: none */
    struct store_guard *guard; /* NULL: no save */
    struct store_deferred *deferred;
    size_t deferred_count, deferred_room, deferred_bytes;
    uint64_t random;
    /* Where the search for what has expired is. */
    unsigned expire_database;
    uint64_t expire_hash;
    uint64_t changes; /* so far */
    uint64_t expired, evicted, hits, misses;
};

struct store_key {
    const char *data;
    size_t size;
    uint64_t hash;
};

void store_init(struct store *store, struct sip_key seed);
void store_finish(struct store *store);

static inline struct store_key store_key(const struct store *store, const char *data, size_t size)
{
    return (struct store_key){data, size, siphash(store->seed, data, size)};
}

static inline bool store_is_loaded(const struct store *store, const struct store_key *key)
{
    return store->loaded >> table_part(key->hash) & 1;
}

/* The entry; NULL: there is none, or it has expired and is deleted. Valid until the next change. */
struct entry *store_find(struct store *store, unsigned database, const struct store_key *key);

/* As find, and counts hit or miss, and the use. */
struct entry *store_use(struct store *store, unsigned database, const struct store_key *key);

/* Sets the value, and with it the expiry. An old entry is overwritten. 0, or -1: no memory. */
int store_set(struct store *store, unsigned database, const struct store_key *key,
              const char *value, size_t size, int64_t expiry);

/* The entry's value gets this size; what it had stays, the rest is for the caller to fill in. The
 * entry may be another one then. NULL: no memory, nothing has changed. */
struct entry *store_resize(struct store *store, unsigned database, const struct store_key *key,
                           struct entry *entry, size_t size);

/* 0, or -1: no memory. */
int store_set_expiry(struct store *store, unsigned database, const struct store_key *key,
                     struct entry *entry, int64_t expiry);

/* Whether it was there. */
bool store_delete(struct store *store, unsigned database, const struct store_key *key);

/* NULL: the database is empty. */
struct entry *store_random(struct store *store, unsigned database);

/* Bytes that count against the limit. */
size_t store_memory(const struct store *store);

/* Evicts what was not used for long, until the limit is kept, or this turn has done
 * enough. 0; 1: it is not kept yet; -1: there is nothing left to evict. */
int store_keep_limit(struct store *store);

/* Deletes some of what has expired, for at most so long. Whether there was much. */
bool store_expire_some(struct store *store, int64_t budget_us);

/* After a save: frees at most so many of what it had kept from being freed. Whether
 * there are more. */
bool store_free_deferred(struct store *store, size_t count);

/* Takes a database out, with all that is in it: to be finished elsewhere. 0, or -1: no memory. */
struct database *store_detach(struct store *store, unsigned database);

/* [worker] Frees it. */
void database_destroy(struct database *database);

#endif
