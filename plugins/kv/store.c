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

/* Those with a mapping of their own: the others go with the heap. */
static void free_mappings(struct database *database, const struct table *table, uint64_t hash)
{
    const struct segment *segment;

    do {
        segment = table_segment(table, hash);
        for (size_t i = 0; segment && i < segment->capacity; i++)
            if (segment->slots[i]) {
                struct entry *entry = table_entry(segment->slots[i]);
                if (entry_is_apart(entry) || entry_size(entry) > HEAP_RUN_MAX)
                    entry_free(&database->heap, entry);
            }
        hash = segment ? table_next(segment, hash) : 0;
    } while (hash != 0);
}

/* Whether there are more. */
static bool free_deferred(struct database *database, size_t count)
{
    while (count-- > 0 && database->deferred_count > 0) {
        const struct store_deferred *last = &database->deferred[--database->deferred_count];
        database->deferred_bytes -= last->bytes;
        entry_free(&database->heap, last->entry);
    }
    if (database->deferred_count > 0)
        return true;
    free(database->deferred);
    database->deferred = NULL;
    database->deferred_room = 0;
    return false;
}

static void finish_database(struct database *database)
{
    free_deferred(database, SIZE_MAX);
    for (unsigned part = 0; part < TABLE_PARTS; part++) {
        if (database->heap.mappings > 0)
            free_mappings(database, &database->parts[part],
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
    for (unsigned i = 0; i < STORE_DATABASES; i++)
        finish_database(&store->databases[i]);
}

/* ---- the guard --------------------------------------------------------------- */

static inline void touch(struct store *store, unsigned database, uint64_t hash)
{
    if (store->touch)
        store->touch(store, database, hash);
}

static inline void note_change(struct store *store, unsigned database, uint64_t hash)
{
    store->changes++;
    touch(store, database, hash);
}

/* Before anything of a key's segment changes. hash: of any key of it. */
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
static void defer(struct database *in, struct entry *entry)
{
    if (in->deferred_count == in->deferred_room) {
        const size_t room = in->deferred_room ? in->deferred_room * 2 : 1024;
        struct store_deferred *deferred = realloc(in->deferred, room * sizeof *deferred);
        if (!deferred)
            return;
        in->deferred = deferred;
        in->deferred_room = room;
    }
    in->deferred[in->deferred_count++] = (struct store_deferred){entry, entry_memory(entry)};
    in->deferred_bytes += entry_memory(entry);
}

static void free_entry(struct store *store, unsigned database, bool guarded, struct entry *entry)
{
    struct database *in = &store->databases[database];

    if (guarded)
        defer(in, entry);
    else
        entry_free(&in->heap, entry);
}

bool store_free_deferred(struct store *store, size_t count)
{
    for (unsigned i = 0; i < STORE_DATABASES; i++)
        if (store->databases[i].deferred_count > 0 && free_deferred(&store->databases[i], count))
            return true;
    return false;
}

/* ---- entries -------------------------------------------------------------------- */

static uint32_t first_clock(struct store *store)
{
    return store->limit ? store_use_clock(store) : 0;
}

struct entry *store_make(struct store *store, unsigned database, const struct store_key *key,
                         size_t size, int64_t expiry)
{
    struct entry *entry = entry_make(&store->databases[database].heap, key->data, key->size, size,
                                     expiry != STORE_NO_EXPIRY, first_clock(store));

    if (entry && expiry != STORE_NO_EXPIRY)
        entry_set_expiry(entry, expiry);
    return entry;
}

void store_unmake(struct store *store, unsigned database, struct entry *entry)
{
    entry_free(&store->databases[database].heap, entry);
}

/* With the value of that one. */
static struct entry *make_alike(struct store *store, unsigned database, const struct store_key *key,
                                struct entry *other, int64_t expiry)
{
    struct entry *entry = entry_make_alike(&store->databases[database].heap, key->data, key->size,
                                           other, expiry != STORE_NO_EXPIRY, first_clock(store));

    if (entry && expiry != STORE_NO_EXPIRY)
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
    touch(store, database, key->hash);
    before = table->bytes;
    if (table_insert(table, store->seed, key->hash, entry) < 0) {
        entry_free(&in->heap, entry);
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
    touch(store, database, hash);
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
    if (store->touch)
        touch(store, database, siphash(store->seed, entry_key(entry), entry_key_size(entry)));
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

/* No save reads the value, and no other entry has it. */
static bool is_own(struct store *store, unsigned database, uint64_t hash, table_slot slot)
{
    struct entry *entry = table_entry(slot);

    return !is_guarded(store, database, hash, slot) &&
           (!entry_is_apart(entry) || entry_block(entry)->refs == 1);
}

/* The new value fits where the old one is. */
static bool fits(struct store *store, unsigned database, uint64_t hash, table_slot slot,
                 size_t value_size, bool expires)
{
    const struct entry *entry = table_entry(slot);
    const size_t old_value = entry_value_size(entry), old = entry_size(entry);

    if (entry_expires(entry) != expires ||
        entry_size_is_apart(value_size) != entry_is_apart(entry) ||
        !is_own(store, database, hash, slot))
        return false;
    if (entry_is_apart(entry))
        return heap_round(entry_block_size(old_value)) == heap_round(entry_block_size(value_size));
    return heap_round(old) == heap_round(old - old_value + value_size);
}

static table_slot *slot_of(struct store *store, unsigned database, const struct store_key *key)
{
    return table_find(store_table(store, database, key->hash), key->hash, key->data, key->size);
}

int store_put(struct store *store, unsigned database, const struct store_key *key,
              struct entry *entry)
{
    /* One that has expired is overwritten as any other. */
    table_slot *slot = slot_of(store, database, key);

    if (!slot)
        return insert(store, database, key, entry);
    replace(store, database, key->hash, slot, entry);
    return 0;
}

int store_set(struct store *store, unsigned database, const struct store_key *key,
              const char *value, size_t size, int64_t expiry)
{
    table_slot *slot = slot_of(store, database, key);
    struct entry *entry = slot ? table_entry(*slot) : NULL;

    if (entry && fits(store, database, key->hash, *slot, size, expiry != STORE_NO_EXPIRY)) {
        note_change(store, database, key->hash);
        entry_set_value_size(entry, (uint32_t)size);
        memcpy(entry_value(entry), value, size);
        if (expiry != STORE_NO_EXPIRY)
            entry_set_expiry(entry, expiry);
        if (store->limit)
            entry_set_clock(entry, store_use_clock(store));
        return 0;
    }
    entry = store_make(store, database, key, size, expiry);
    if (!entry)
        return -1;
    memcpy(entry_value(entry), value, size);
    if (!slot)
        return insert(store, database, key, entry);
    replace(store, database, key->hash, slot, entry);
    return 0;
}

static int64_t expiry_of(const struct entry *entry)
{
    return entry_expires(entry) ? entry_expiry(entry) : STORE_NO_EXPIRY;
}

/* One that replaces it, with its value as far as there is room. */
static struct entry *copy_entry(struct store *store, unsigned database, const struct store_key *key,
                                table_slot *slot, size_t size, size_t *ret_zero)
{
    struct entry *old = table_entry(*slot);
    struct entry *entry = store_make(store, database, key, size, expiry_of(old));
    const size_t old_size = entry_value_size(old);

    if (!entry)
        return NULL;
    memcpy(entry_value(entry), entry_value(old), old_size < size ? old_size : size);
    replace(store, database, key->hash, slot, entry);
    /* A mapping that is new is zero. */
    *ret_zero = entry_block_size(size) > HEAP_RUN_MAX && old_size < size ? old_size : size;
    return entry;
}

/* A value that lies apart, and stays so, keeps its place or is moved. */
static bool stays_apart(struct store *store, unsigned database, uint64_t hash, table_slot slot,
                        size_t size)
{
    return entry_is_apart(table_entry(slot)) && entry_size_is_apart(size) &&
           is_own(store, database, hash, slot);
}

struct entry *store_resize(struct store *store, unsigned database, const struct store_key *key,
                           struct entry *entry, size_t size, size_t *ret_zero)
{
    table_slot *slot = slot_of(store, database, key);

    *ret_zero = size;
    if (fits(store, database, key->hash, *slot, size, entry_expires(entry)))
        entry_set_value_size(entry, (uint32_t)size);
    else if (!stays_apart(store, database, key->hash, *slot, size))
        return copy_entry(store, database, key, slot, size, ret_zero);
    else if (entry_resize_block(&store->databases[database].heap, entry, size, ret_zero) < 0)
        return NULL;
    note_change(store, database, key->hash);
    return entry;
}

size_t store_resize_copies(struct store *store, unsigned database, const struct store_key *key,
                           struct entry *entry, size_t size)
{
    const table_slot slot = *slot_of(store, database, key);
    const size_t old = entry_value_size(entry);

    if (fits(store, database, key->hash, slot, size, entry_expires(entry)) ||
        (stays_apart(store, database, key->hash, slot, size) &&
         entry_block_size(old) > HEAP_RUN_MAX && entry_block_size(size) > HEAP_RUN_MAX))
        return 0;
    return old < size ? old : size;
}

int store_set_expiry(struct store *store, unsigned database, const struct store_key *key,
                     struct entry *entry, int64_t expiry)
{
    table_slot *slot;

    if (expiry == STORE_NO_EXPIRY && !entry_expires(entry))
        return 0;
    slot = slot_of(store, database, key);
    if (expiry != STORE_NO_EXPIRY && entry_expires(entry) &&
        !is_guarded(store, database, key->hash, *slot)) {
        note_change(store, database, key->hash);
        entry_set_expiry(entry, expiry);
        return 0;
    }
    entry = make_alike(store, database, key, entry, expiry);
    if (!entry)
        return -1;
    replace(store, database, key->hash, slot, entry);
    return 0;
}

int store_alias(struct store *store, unsigned database, struct entry *entry,
                const struct store_key *key)
{
    struct entry *other = make_alike(store, database, key, entry, expiry_of(entry));

    return other ? store_put(store, database, key, other) : -1;
}

bool store_delete(struct store *store, unsigned database, const struct store_key *key)
{
    table_slot *slot = find_slot(store, database, key);

    if (slot)
        store_remove_slot(store, database, key->hash, slot);
    return slot;
}

/* What waits for a save's end goes with it: it is not destroyed before that. */
struct database *store_detach(struct store *store, unsigned database)
{
    struct database *in = &store->databases[database];
    struct database *out = malloc(sizeof *out);

    if (!out)
        return NULL;
    *out = *in;
    heap_init(&out->heap);
    heap_merge(&out->heap, &in->heap);
    memset(in->parts, 0, sizeof in->parts);
    in->count = in->expiring = in->table_bytes = 0;
    in->deferred = NULL;
    in->deferred_count = in->deferred_room = in->deferred_bytes = 0;
    store->changes++;
    return out;
}
