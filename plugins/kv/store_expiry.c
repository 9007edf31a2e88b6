/* The search for what has expired: segment by segment, a little at a time. See store.h. */
#include "store_inside.h"

/* Of one segment. */
static size_t expire_segment(struct store *store, unsigned database, uint64_t hash)
{
    const struct table *table = store_table(store, database, hash);
    struct segment *segment = table_segment(table, hash);
    size_t found = 0;

    for (size_t i = 0; segment && i < segment->capacity;) {
        table_slot *slot = &segment->slots[i];
        if (!(*slot & TABLE_SLOT_EXPIRES) || !store_has_expired(store, table_entry(*slot))) {
            i++;
            continue;
        }
        store_remove_slot(store, database, hash, slot);
        store->expired++;
        found++;
        if (table_segment(table, hash) != segment) { /* it shrank */
            segment = table_segment(table, hash);
            i = 0;
        }
    }
    return found;
}

static void go_to_next_database(struct store *store)
{
    store->expire_database = (store->expire_database + 1) % STORE_DATABASES;
    store->expire_hash = 0;
}

/* Whether the database has no more. */
static bool go_on_expiring(struct store *store)
{
    const struct table *table = store_table(store, store->expire_database, store->expire_hash);
    const struct segment *segment = table_segment(table, store->expire_hash);
    uint64_t next = segment ? table_next(segment, store->expire_hash) : 0;

    if (next == 0)
        next = ((uint64_t)table_part(store->expire_hash) + 1) << (64 - TABLE_PART_BITS);
    store->expire_hash = next;
    return next == 0;
}

bool store_expire_some(struct store *store, int64_t budget_us)
{
    const int64_t until = kv_clock_monotonic_us() + budget_us;
    size_t found = 0;

    for (unsigned seen = 0; seen <= STORE_DATABASES;) {
        const unsigned database = store->expire_database;
        bool is_over = store->databases[database].expiring == 0;
        if (!is_over) {
            found += expire_segment(store, database, store->expire_hash);
            is_over = go_on_expiring(store);
        }
        if (is_over) {
            go_to_next_database(store);
            seen++;
        }
        if (kv_clock_monotonic_us() >= until)
            return found > 100;
    }
    return false;
}
