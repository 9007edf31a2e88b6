/* Declarations shared by store.c, store_limit.c and store_expiry.c only. See store.h. */
#ifndef KV_STORE_INSIDE_H
#define KV_STORE_INSIDE_H

#include "store.h"

enum { STORE_CLOCK_TICK_MS = 100 };

/* What an entry notes of when it was used: see entry_set_clock(). */
static inline uint32_t store_use_clock(struct store *store)
{
    return (uint32_t)(kv_clock_now(&store->clock) / STORE_CLOCK_TICK_MS) & ENTRY_CLOCK_MASK;
}

static inline struct table *store_table(struct store *store, unsigned database, uint64_t hash)
{
    return &store->databases[database].parts[table_part(hash)];
}

static inline bool store_has_expired(struct store *store, const struct entry *entry)
{
    return entry_expires(entry) && entry_expiry(entry) <= kv_clock_now(&store->clock);
}

/* Deletes the entry of this hash. Its segment may be another one then, and the slot is gone. */
void store_remove_slot(struct store *store, unsigned database, uint64_t hash, table_slot *slot);

#endif
