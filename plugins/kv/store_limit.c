/* Samples, and the limit of memory that goes by them. See store.h. */
#include "store_inside.h"

size_t store_memory(const struct store *store)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < STORE_DATABASES; i++)
        bytes += heap_resident(&store->databases[i].heap) + store->databases[i].table_bytes;
    return bytes;
}

size_t store_data(const struct store *store)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < STORE_DATABASES; i++)
        bytes += store->databases[i].heap.bytes + store->databases[i].table_bytes;
    return bytes;
}

/* What a save keeps from being freed does not count: to evict for it would free nothing. */
static size_t deferred_bytes(const struct store *store)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < STORE_DATABASES; i++)
        bytes += store->databases[i].deferred_bytes;
    return bytes;
}

/* xorshift64* : for samples, not for secrets. */
static uint64_t next_random(struct store *store)
{
    store->random ^= store->random >> 12;
    store->random ^= store->random << 25;
    store->random ^= store->random >> 27;
    return store->random * 0x2545f4914f6cdd1dU;
}

/* A slot in use, near a random one. */
static table_slot *random_slot(struct store *store, unsigned database, uint64_t *ret_hash)
{
    const struct database *in = &store->databases[database];
    uint64_t hash = next_random(store);

    while (in->count > 0) {
        const struct table *table = &in->parts[table_part(hash)];
        struct segment *segment = table_segment(table, hash);
        if (segment && segment->count > 0) {
            size_t at = (size_t)(next_random(store) % segment->capacity);
            while (!segment->slots[at])
                at = at + 1 == segment->capacity ? 0 : at + 1;
            *ret_hash = hash;
            return &segment->slots[at];
        }
        hash = segment && table->count > 0 && table_next(segment, hash)
                   ? table_next(segment, hash)
                   : ((uint64_t)table_part(hash) + 1) << (64 - TABLE_PART_BITS);
    }
    return NULL;
}

bool store_random(struct store *store, unsigned database, int tries, struct entry **ret_entry)
{
    uint64_t hash;
    table_slot *slot;

    *ret_entry = NULL;
    while ((slot = random_slot(store, database, &hash))) {
        struct entry *entry = table_entry(*slot);
        if (!store_has_expired(store, entry)) {
            *ret_entry = entry;
            return true;
        }
        if (tries-- == 0)
            return false;
        store_remove_slot(store, database, hash, slot);
        store->expired++;
    }
    return true;
}

enum {
    EVICT_SAMPLES = 8,
    EVICT_MAX = 500, /* a millisecond or less */
    WASTE_SHARE = 10,
    COMPACT_US = 500
};

/* Databases are chosen by how many keys they have. */
static unsigned random_database(struct store *store)
{
    size_t count = 0, chosen;

    for (unsigned i = 0; i < STORE_DATABASES; i++)
        count += store->databases[i].count;
    if (count == 0)
        return STORE_DATABASES;
    chosen = (size_t)(next_random(store) % count);
    for (unsigned i = 0;; i++) {
        if (chosen < store->databases[i].count)
            return i;
        chosen -= store->databases[i].count;
    }
}

/* The least recently used of a sample. */
static bool evict_one(struct store *store)
{
    const unsigned database = random_database(store);
    const uint32_t now = store_use_clock(store);
    uint32_t longest = 0;
    struct entry *victim = NULL;

    if (database == STORE_DATABASES)
        return false;
    for (int i = 0; i < EVICT_SAMPLES; i++) {
        uint64_t hash;
        struct entry *entry = table_entry(*random_slot(store, database, &hash));
        const uint32_t idle = (now - entry_clock(entry)) & ENTRY_CLOCK_MASK;
        if (!victim || idle > longest) {
            victim = entry;
            longest = idle;
        }
    }
    const struct store_key key = store_key(store, entry_key(victim), entry_key_size(victim));
    store_remove_slot(
        store, database, key.hash,
        table_find(store_table(store, database, key.hash), key.hash, key.data, key.size));
    store->evicted++;
    return true;
}

/* What counts against the limit: the data, and a share of the limit for holes, which come and go as
 * entries do. Were they counted as they are, an eviction would make one, and lead to the next.
 * What there is more of them, store_compact() removes. */
static size_t counted(const struct store *store)
{
    return store_data(store) - deferred_bytes(store) + store->limit / WASTE_SHARE;
}

int store_keep_limit(struct store *store)
{
    if (store->limit == 0)
        return 0;
    if (store_memory(store) > store->limit)
        store_compact(store, COMPACT_US);
    for (int i = 0; counted(store) > store->limit; i++) {
        if (i == EVICT_MAX)
            return 1;
        if (!evict_one(store))
            return -1;
    }
    return 0;
}
