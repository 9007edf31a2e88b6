/* Thin slabs are emptied: what is in them moves to others of the same class. See store.h. */
#include "store_inside.h"

enum { WORTH_WHILE = HEAP_SLAB / 2, AHEAD = 8, PART_SHARE = 12 /* of what is resident */ };

static uint64_t hash_of(const struct store *store, struct entry *entry)
{
    return siphash(store->seed, entry_key(entry), entry_key_size(entry));
}

/* Whether it has moved: what is in no table stays. */
static bool move(struct store *store, struct database *in, struct entry *entry)
{
    const uint64_t hash = hash_of(store, entry);
    table_slot *slot = table_find(&in->parts[table_part(hash)], hash, entry_key(entry),
                                  entry_key_size(entry));
    const size_t size = entry_size(entry);
    struct entry *moved;

    if (!slot || table_entry(*slot) != entry)
        return false;
    moved = heap_alloc(&in->heap, size);
    if (!moved)
        return false;
    memcpy(moved, entry, size);
    table_move(slot, moved);
    heap_free(&in->heap, entry, size);
    return true;
}

/* Whether it has been emptied. */
static bool empty(struct store *store, struct database *in, struct slab *slab)
{
    void *pieces[HEAP_SLAB_PIECES];
    const size_t count = heap_slab_pieces(slab, pieces);
    size_t moved = 0;

    for (size_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            __builtin_prefetch(pieces[i + AHEAD]);
        moved += move(store, in, pieces[i]);
    }
    if (moved < count)
        heap_keep_slab(&in->heap, slab);
    return moved == count;
}

static bool is_wasteful(const struct heap *heap)
{
    return heap_waste(heap) > WORTH_WHILE && heap_waste(heap) > heap_resident(heap) / PART_SHARE;
}

/* NULL: there is none worth it. */
static struct slab *choose(struct store *store, struct database **ret_in)
{
    for (unsigned i = 0; i < STORE_DATABASES; i++) {
        struct database *in = &store->databases[i];
        struct slab *slab = NULL;
        if (in->deferred_count == 0 && is_wasteful(&in->heap))
            heap_trim(&in->heap);
        if (in->deferred_count == 0 && is_wasteful(&in->heap))
            slab = heap_thinnest(&in->heap);
        if (!slab)
            continue;
        *ret_in = in;
        return slab;
    }
    return NULL;
}

bool store_compact(struct store *store, int64_t budget_us)
{
    const int64_t until = kv_clock_monotonic_us() + budget_us;
    struct database *in = NULL;
    struct slab *slab;

    while (!store->guard && (slab = choose(store, &in))) {
        if (!empty(store, in, slab))
            return false;
        if (kv_clock_monotonic_us() >= until)
            return true;
    }
    return false;
}
