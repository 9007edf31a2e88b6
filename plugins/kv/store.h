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
#include "entry_heap.h"
#include "heap.h"
#include "table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_DATABASES = 16 };

#define STORE_NO_EXPIRY 0 /* else milliseconds of the store's clock, above 0 */

/* An entry that is no longer in a table, and that a save may still read. */
struct store_deferred {
    struct entry *entry;
    size_t bytes;
};

struct database {
    struct table parts[TABLE_PARTS];
    struct heap heap;
    size_t count, expiring; /* keys */
    size_t table_bytes;
    struct store_deferred *deferred; /* freed when no save reads them */
    size_t deferred_count, deferred_room, deferred_bytes;
};

/* What a running save asks for. */
struct store_guard {
    uint32_t epoch;           /* segments of this epoch need no copy */
    unsigned handed, written; /* parts below are copied; and written */
    /* Copies the segment of this hash, if it must. What becomes fresh in it then is none of the
     * save's. */
    void (*copy)(struct store_guard *guard, unsigned database, uint64_t hash);
};

struct store {
    struct sip_key seed;
    struct database databases[STORE_DATABASES];
    struct kv_clock clock;
    uint64_t loaded;           /* a bit for each part */
    size_t limit;              /* of memory; 0: none */
    struct store_guard *guard; /* NULL: no save */
    uint64_t random;
    /* Where the search for what has expired is. */
    unsigned expire_database;
    uint64_t expire_hash;
    uint64_t changes; /* so far */
    /* NULL, or is told of each key that changes, by its hash, before or after it does. */
    void (*touch)(struct store *store, unsigned database, uint64_t hash);
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

/* In two steps, so that a large value can be filled in little by little: an entry that is in no
 * table yet, and whose value is the caller's to fill in (NULL: no memory); then it is put in, and
 * an old one is freed. 0, or -1: no memory; then it is freed, as by store_unmake(). */
struct entry *store_make(struct store *store, unsigned database, const struct store_key *key,
                         size_t size, int64_t expiry);
int store_put(struct store *store, unsigned database, const struct store_key *key,
              struct entry *entry);
void store_unmake(struct store *store, unsigned database, struct entry *entry);

/* The entry's value gets this size; what it had stays, the rest is for the caller to fill in. The
 * entry may be another one then. From *ret_zero on the value is zero. NULL: no memory, nothing has
 * changed. */
struct entry *store_resize(struct store *store, unsigned database, const struct store_key *key,
                           struct entry *entry, size_t size, size_t *ret_zero);

/* Bytes that store_resize() would copy. */
size_t store_resize_copies(struct store *store, unsigned database, const struct store_key *key,
                           struct entry *entry, size_t size);

/* 0, or -1: no memory. */
int store_set_expiry(struct store *store, unsigned database, const struct store_key *key,
                     struct entry *entry, int64_t expiry);

/* Another key of the same database gets the entry's value and expiry; what it had is freed. A
 * large value is shared. 0, or -1: no memory. */
int store_alias(struct store *store, unsigned database, struct entry *entry,
                const struct store_key *key);

/* Whether it was there. */
bool store_delete(struct store *store, unsigned database, const struct store_key *key);

/* A random entry, or NULL: the database is empty. False: so many were tried, and all had expired.
 */
bool store_random(struct store *store, unsigned database, int tries, struct entry **ret_entry);

/* Bytes that the process has for keys and values. */
size_t store_memory(const struct store *store);

/* Of these: bytes that keys and values take. */
size_t store_data(const struct store *store);

/* Moves what is in thin slabs together, for at most so long. Whether there is more to do. Not
 * while a save reads entries where they lie. */
bool store_compact(struct store *store, int64_t budget_us);

/* Evicts what was not used for long, until the limit is kept, or this turn has done
 * enough. 0; 1: it is not kept yet; -1: there is nothing left to evict. */
int store_keep_limit(struct store *store);

/* Deletes some of what has expired, for at most so long. Whether there was much. */
bool store_expire_some(struct store *store, int64_t budget_us);

/* After a save: frees at most so many of what it had kept from being freed. Whether
 * there are more. */
bool store_free_deferred(struct store *store, size_t count);

/* Takes a database out, with all that is in it: to be finished elsewhere. NULL: no memory. */
struct database *store_detach(struct store *store, unsigned database);

/* [worker] Frees it. */
void database_destroy(struct database *database);

#endif
