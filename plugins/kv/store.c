/* The databases: what is put in, found, changed, deleted. See store.h. */
#include "store_inside.h"

#include <stdlib.h>
#include <string.h>

void store_init(struct store *store, struct sip_key seed)
{
    *store = (struct store){.seed = seed, .loaded = UINT64_MAX, .random = seed.low | 1};
    kv_clock_init(&store->clock);
    for (unsigned i = 0; i < STORE_DATABASES; i++)
        heap_init(&store->databases[i].heap);
}

/* Those that are malloc's: the others go with the heap. */
static void free_large_entries(struct database *database, const struct table *table, uint64_t hash)
{
    const struct segment *segment;

    do {
        segment = table_segment(table, hash);
        for (size_t i = 0; segment && i < segment->capacity; i++)
            if (segment->slots[i]) {
                struct entry *entry = table_entry(segment->slots[i]);
                if (entry_size(entry) > HEAP_SMALL)
                    heap_free(&database->heap, entry, entry_size(entry));
            }
        hash = segment ? table_next(segment, hash) : 0;
    } while (hash != 0);
}

static void finish_database(struct database *database)
{
    for (unsigned part = 0; part < TABLE_PARTS; part++) {
        if (database->heap.large > 0)
            free_large_entries(database, &database->parts[part],
                               (uint64_t)part << (64 - TABLE_PART_BITS));
        table_finish(&database->parts[part]);
    }
    heap_finish(&database->heap);
}

void database_destroy(struct database *database)
{
    finish_database(database);
    free(database);
}

void store_finish(struct store *store)
{
    while (store_free_deferred(store, 1000))
        continue;
    for (unsigned i = 0; i < STORE_DATABASES; i++)
        finish_database(&store->databases[i]);
    free(store->deferred);
}

/* ---- the guard --------------------------------------------------------------- */

/* Before anything of a key's segment changes. */
static inline void before_change(struct store *store, unsigned database, uint64_t hash)
{
    store->changes++;
    if (store->guard && table_part(hash) >= store->guard->written)
        store->guard->copy(store->guard, database, hash);
}

/* Whether a save may still read the entry of this slot. */
static inline bool is_guarded(struct store *store, unsigned database, uint64_t hash,
                              table_slot slot)
{
    if (!store->guard || table_part(hash) < store->guard->written)
        return false;
    return !(slot & TABLE_SLOT_FRESH) ||
           table_segment(store_table(store, database, hash), hash)->epoch != store->guard->epoch;
}

/* Where there is no memory to note it, it is lost until the end rather than freed
 * under the saver. */
static void defer(struct store *store, unsigned database, struct entry *entry)
{
    if (store->deferred_count == store->deferred_room) {
        const size_t room = store->deferred_room ? store->deferred_room * 2 : 1024;
        struct store_deferred *deferred = realloc(store->deferred, room * sizeof *deferred);
        if (!deferred)
            return;
        store->deferred = deferred;
        store->deferred_room = room;
    }
    store->deferred[store->deferred_count++] = (struct store_deferred){entry, database};
    store->deferred_bytes += heap_round(entry_size(entry));
}

static void free_entry(struct store *store, unsigned database, bool guarded, struct entry *entry)
{
    if (guarded)
        defer(store, database, entry);
    else
        heap_free(&store->databases[database].heap, entry, entry_size(entry));
}

bool store_free_deferred(struct store *store, size_t count)
{
    while (count-- > 0 && store->deferred_count > 0) {
        const struct store_deferred *last = &store->deferred[--store->deferred_count];
        const size_t size = entry_size(last->entry);
        store->deferred_bytes -= heap_round(size);
        heap_free(&store->databases[last->database].heap, last->entry, size);
    }
    if (store->deferred_count > 0)
        return true;
    free(store->deferred);
    store->deferred = NULL;
    store->deferred_room = 0;
    return false;
}

/* ---- entries -------------------------------------------------------------------- */

/* Room for a value of this size, which is not filled in. */
static struct entry *make_entry(struct store *store, unsigned database, const struct store_key *key,
                                size_t value_size, int64_t expiry)
{
    const bool expires = expiry != STORE_NO_EXPIRY;
    const size_t size = entry_header_size(expires, key->size) + key->size + value_size;
    struct entry *entry = heap_alloc(&store->databases[database].heap, size);

    if (!entry)
        return NULL;
    entry_init(entry, key->data, key->size, value_size, expires,
               store->limit ? store_use_clock(store) : 0);
    if (expires)
        entry_set_expiry(entry, expiry);
    return entry;
}

static int insert(struct store *store, unsigned database, const struct store_key *key,
                  struct entry *entry)
{
    struct database *in = &store->databases[database];
    struct table *table = store_table(store, database, key->hash);
    size_t before;

    before_change(store, database, key->hash);
    before = table->bytes;
    if (table_insert(table, store->seed, key->hash, entry) < 0) {
        heap_free(&in->heap, entry, entry_size(entry));
        return -1;
    }
    in->table_bytes += table->bytes - before;
    in->count++;
    in->expiring += entry_expires(entry);
    return 0;
}

static void replace(struct store *store, unsigned database, uint64_t hash, table_slot *slot,
                    struct entry *entry)
{
    struct database *in = &store->databases[database];
    struct entry *old = table_entry(*slot);
    bool guarded;

    before_change(store, database, hash);
    guarded = is_guarded(store, database, hash, *slot);
    in->expiring += (size_t)entry_expires(entry) - (size_t)entry_expires(old);
    table_replace(slot, entry);
    free_entry(store, database, guarded, old);
}

void store_remove_slot(struct store *store, unsigned database, uint64_t hash, table_slot *slot)
{
    struct database *in = &store->databases[database];
    struct table *table = store_table(store, database, hash);
    struct entry *entry = table_entry(*slot);
    const size_t before = table->bytes;
    bool guarded;

    before_change(store, database, hash);
    guarded = is_guarded(store, database, hash, *slot);
    in->count--;
    in->expiring -= entry_expires(entry);
    table_remove(table, hash, slot);
    in->table_bytes += table->bytes - before;
    free_entry(store, database, guarded, entry);
}

/* ---- what commands do ------------------------------------------------------------- */

static table_slot *find_slot(struct store *store, unsigned database, const struct store_key *key)
{
    table_slot *slot = table_find(store_table(store, database, key->hash), key->hash, key->data,
                                  key->size);

    if (slot && (*slot & TABLE_SLOT_EXPIRES) && store_has_expired(store, table_entry(*slot))) {
        store_remove_slot(store, database, key->hash, slot);
        store->expired++;
        return NULL;
    }
    return slot;
}

struct entry *store_find(struct store *store, unsigned database, const struct store_key *key)
{
    table_slot *slot = find_slot(store, database, key);

    return slot ? table_entry(*slot) : NULL;
}

struct entry *store_use(struct store *store, unsigned database, const struct store_key *key)
{
    struct entry *entry = store_find(store, database, key);

    if (!entry) {
        store->misses++;
        return NULL;
    }
    store->hits++;
    if (store->limit)
        entry_set_clock(entry, store_use_clock(store));
    return entry;
}

/* The new value fits where the old one is, and nobody else reads it. */
static bool fits(struct store *store, unsigned database, uint64_t hash, table_slot slot,
                 size_t value_size, bool expires)
{
    const struct entry *entry = table_entry(slot);
    const size_t old = entry_size(entry);
    const size_t new = old - entry_value_size(entry) + value_size;

    return entry_expires(entry) == expires && heap_round(old) == heap_round(new) &&
           !is_guarded(store, database, hash, slot);
}

int store_set(struct store *store, unsigned database, const struct store_key *key,
              const char *value, size_t size, int64_t expiry)
{
    /* (One that has expired is overwritten as any other.) */
    table_slot *slot = table_find(store_table(store, database, key->hash), key->hash, key->data,
                                  key->size);
    struct entry *entry = slot ? table_entry(*slot) : NULL;

    if (entry && fits(store, database, key->hash, *slot, size, expiry != STORE_NO_EXPIRY)) {
        store->changes++;
        entry_set_value_size(entry, (uint32_t)size);
        memcpy(entry_value(entry), value, size);
        if (expiry != STORE_NO_EXPIRY)
            entry_set_expiry(entry, expiry);
        if (store->limit)
            entry_set_clock(entry, store_use_clock(store));
        return 0;
    }
    entry = make_entry(store, database, key, size, expiry);
    if (!entry)
        return -1;
    memcpy(entry_value(entry), value, size);
    if (!slot)
        return insert(store, database, key, entry);
    replace(store, database, key->hash, slot, entry);
    return 0;
}

/* One that replaces it, with its value as far as there is room. */
static struct entry *copy_entry(struct store *store, unsigned database, const struct store_key *key,
                                table_slot *slot, size_t size, int64_t expiry)
{
    struct entry *old = table_entry(*slot);
    struct entry *entry = make_entry(store, database, key, size, expiry);
    const size_t old_size = entry_value_size(old);

    if (!entry)
        return NULL;
    memcpy(entry_value(entry), entry_value(old), old_size < size ? old_size : size);
    replace(store, database, key->hash, slot, entry);
    return entry;
}

/* Of a large one, which stays large: nothing is copied. */
static struct entry *resize_large(struct store *store, unsigned database, table_slot *slot,
                                  size_t size)
{
    struct entry *entry = table_entry(*slot);
    const size_t old = entry_size(entry);

    entry = heap_resize(&store->databases[database].heap, entry, old,
                        old - entry_value_size(entry) + size);
    if (!entry)
        return NULL;
    table_replace(slot, entry);
    return entry;
}

struct entry *store_resize(struct store *store, unsigned database, const struct store_key *key,
                           struct entry *entry, size_t size)
{
    const size_t old = entry_size(entry);
    const bool stays_large = old > HEAP_SMALL && old - entry_value_size(entry) + size > HEAP_SMALL;
    table_slot *slot = table_find(store_table(store, database, key->hash), key->hash, key->data,
                                  key->size);

    if (!fits(store, database, key->hash, *slot, size, entry_expires(entry))) {
        if (!stays_large || is_guarded(store, database, key->hash, *slot))
            return copy_entry(store, database, key, slot, size,
                              entry_expires(entry) ? entry_expiry(entry) : STORE_NO_EXPIRY);
        entry = resize_large(store, database, slot, size);
        if (!entry)
            return NULL;
    }
    store->changes++;
    entry_set_value_size(entry, (uint32_t)size);
    return entry;
}

int store_set_expiry(struct store *store, unsigned database, const struct store_key *key,
                     struct entry *entry, int64_t expiry)
{
    table_slot *slot;

    if (expiry == STORE_NO_EXPIRY && !entry_expires(entry))
        return 0;
    slot = table_find(store_table(store, database, key->hash), key->hash, key->data, key->size);
    if (expiry != STORE_NO_EXPIRY && entry_expires(entry) &&
        !is_guarded(store, database, key->hash, *slot)) {
        store->changes++;
        entry_set_expiry(entry, expiry);
        return 0;
    }
    return copy_entry(store, database, key, slot, entry_value_size(entry), expiry) ? 0 : -1;
}

bool store_delete(struct store *store, unsigned database, const struct store_key *key)
{
    table_slot *slot = find_slot(store, database, key);

    if (slot)
        store_remove_slot(store, database, key->hash, slot);
    return slot;
}

/* Of what waits for a save's end, small entries go with their heap. Large ones are
 * freed as ever, through the database's new heap: returns what that must know. */
struct large {
    size_t count, bytes;
};

static struct large forget_deferred(struct store *store, unsigned database)
{
    struct large large = {0};
    size_t kept = 0;

    for (size_t i = 0; i < store->deferred_count; i++) {
        const struct store_deferred deferred = store->deferred[i];
        const size_t size = entry_size(deferred.entry);
        if (deferred.database == database && size <= HEAP_SMALL) {
            store->deferred_bytes -= heap_round(size);
            continue;
        }
        if (deferred.database == database) {
            large.bytes += heap_round(size);
            large.count++;
        }
        store->deferred[kept++] = deferred;
    }
    store->deferred_count = kept;
    return large;
}

struct database *store_detach(struct store *store, unsigned database)
{
    struct database *in = &store->databases[database];
    struct database *out = malloc(sizeof *out);
    struct large large;

    if (!out)
        return NULL;
    heap_init(&out->heap);
    if (heap_merge(&out->heap, &in->heap) < 0) {
        free(out);
        return NULL;
    }
    memcpy(out->parts, in->parts, sizeof out->parts);
    memset(in->parts, 0, sizeof in->parts);
    in->count = in->expiring = in->table_bytes = 0;
    large = forget_deferred(store, database);
    out->heap.bytes -= large.bytes;
    out->heap.large -= large.count;
    in->heap.bytes += large.bytes;
    in->heap.large += large.count;
    store->changes++;
    return out;
}
