/* Extendible hashing. See table.h. */
#include "table.h"

#include <stdlib.h>

enum {
    CAPACITY_MIN = 8,
    CAPACITY_STEP = 64, /* from there on */
    CAPACITY_MAX = 512,
    DEPTH_MAX = 32, /* more than any two hashes share; then segments grow beyond CAPACITY_MAX */
    CAPACITY_LAST = 0x8000,
    ADDRESS_BITS = 48,
    ARENA_STEP = 120 * 1024 /* less than what malloc() maps, or gives back to the system */
};

#define ADDRESS_MASK (((uint64_t)1 << ADDRESS_BITS) - 1)
#define TAG_MASK (((uint64_t)1 << TABLE_TAG_BITS) - 1)

static inline table_slot make_slot(uint64_t tag, const struct entry *entry)
{
    return tag << (64 - TABLE_TAG_BITS) | TABLE_SLOT_FRESH |
           (entry_expires(entry) ? TABLE_SLOT_EXPIRES : 0) | (uint64_t)(uintptr_t)entry >> 3;
}

static inline uint64_t tag_of(table_slot slot)
{
    return slot >> (64 - TABLE_TAG_BITS);
}

/* Where a tag's probing begins. */
static inline size_t home(uint64_t tag, size_t capacity)
{
    return (tag * capacity) >> TABLE_TAG_BITS;
}

static inline size_t after(size_t at, size_t capacity)
{
    return at + 1 == capacity ? 0 : at + 1;
}

/* Capacity and address in one word: a find needs no line of memory more. */
static inline uint64_t make_reference(struct segment *segment)
{
    return (uint64_t)segment->capacity << ADDRESS_BITS | (uint64_t)(uintptr_t)segment;
}

static inline struct segment *segment_of(uint64_t reference)
{
    return (struct segment *)(uintptr_t)(reference & ADDRESS_MASK);
}

static inline size_t index_of(const struct table *table, uint64_t hash)
{
    const uint64_t bits = hash << TABLE_PART_BITS;

    return table->depth ? bits >> (64 - table->depth) : 0;
}

/* ---- finding ------------------------------------------------------------------- */

table_slot *table_find(const struct table *table, uint64_t hash, const char *key, size_t size)
{
    const uint64_t tag = hash & TAG_MASK;
    uint64_t reference;
    size_t capacity, at;
    table_slot *slots;

    if (!table->directory)
        return NULL;
    reference = table->directory[index_of(table, hash)];
    capacity = reference >> ADDRESS_BITS;
    slots = segment_of(reference)->slots;
    for (at = home(tag, capacity); slots[at]; at = after(at, capacity))
        if (tag_of(slots[at]) == tag && entry_has_key(table_entry(slots[at]), key, size))
            return &slots[at];
    return NULL;
}

void table_prefetch_slot(const struct table *table, uint64_t hash)
{
    uint64_t reference;

    if (!table->directory)
        return;
    reference = table->directory[index_of(table, hash)];
    __builtin_prefetch(
        &segment_of(reference)->slots[home(hash & TAG_MASK, reference >> ADDRESS_BITS)]);
}

void table_prefetch_entry(const struct table *table, uint64_t hash)
{
    const uint64_t tag = hash & TAG_MASK;
    uint64_t reference;
    const table_slot *slots;
    size_t capacity, at;

    if (!table->directory)
        return;
    reference = table->directory[index_of(table, hash)];
    capacity = reference >> ADDRESS_BITS;
    slots = segment_of(reference)->slots;
    for (at = home(tag, capacity); slots[at]; at = after(at, capacity))
        if (tag_of(slots[at]) == tag) {
            const char *entry = (const char *)table_entry(slots[at]);
            __builtin_prefetch(entry, 1);
            __builtin_prefetch(entry + 64, 1);
            return;
        }
}

struct segment *table_segment(const struct table *table, uint64_t hash)
{
    return table->directory ? segment_of(table->directory[index_of(table, hash)]) : NULL;
}

uint64_t table_next(const struct segment *segment, uint64_t hash)
{
    const unsigned bits = TABLE_PART_BITS + segment->depth;
    const uint64_t next = ((hash >> (64 - bits)) + 1) << (64 - bits);

    return table_part(next) == table_part(hash) ? next : 0;
}

/* ---- segments -------------------------------------------------------------------- */

static size_t segment_bytes(size_t capacity)
{
    return sizeof(struct segment) + capacity * sizeof(table_slot);
}

static struct segment *make_segment(struct table *table, size_t capacity, uint8_t depth,
                                    uint32_t epoch)
{
    struct segment *segment = calloc(1, segment_bytes(capacity));

    if (!segment)
        return NULL;
    segment->capacity = (uint16_t)capacity;
    segment->depth = depth;
    segment->epoch = epoch;
    table->bytes += segment_bytes(capacity);
    return segment;
}

static void free_segment(struct table *table, struct segment *segment)
{
    table->bytes -= segment_bytes(segment->capacity);
    free(segment);
}

static void put(struct segment *segment, table_slot slot)
{
    size_t at = home(tag_of(slot), segment->capacity);

    while (segment->slots[at])
        at = after(at, segment->capacity);
    segment->slots[at] = slot;
    segment->count++;
}

/* At all places of the directory that belong to a segment of this depth. */
static void refer(struct table *table, uint64_t hash, struct segment *segment)
{
    const unsigned spare = (unsigned)(table->depth - segment->depth);
    const size_t first = index_of(table, hash) >> spare << spare;

    for (size_t i = 0; i < (size_t)1 << spare; i++)
        table->directory[first + i] = make_reference(segment);
}

static size_t larger(size_t capacity)
{
    return capacity < CAPACITY_STEP ? capacity * 2 : capacity + CAPACITY_STEP;
}

/* So that an eighth is free. */
static size_t capacity_for(size_t count)
{
    size_t capacity = CAPACITY_MIN;

    while (count > capacity - capacity / 8)
        capacity = larger(capacity);
    return capacity;
}

static int resize(struct table *table, uint64_t hash, struct segment *old, size_t capacity)
{
    struct segment *segment = make_segment(table, capacity, old->depth, old->epoch);

    if (!segment)
        return -1;
    for (size_t i = 0; i < old->capacity; i++)
        if (old->slots[i])
            put(segment, old->slots[i]);
    refer(table, hash, segment);
    free_segment(table, old);
    return 0;
}

static int double_directory(struct table *table)
{
    const size_t count = (size_t)1 << table->depth;
    uint64_t *directory = realloc(table->directory, 2 * count * sizeof *directory);

    if (!directory)
        return -1;
    for (size_t i = count; i-- > 0;)
        directory[2 * i] = directory[2 * i + 1] = directory[i];
    table->directory = directory;
    table->depth++;
    table->bytes += count * sizeof *directory;
    return 0;
}

static void prefetch_entries(const struct segment *segment)
{
    for (size_t i = 0; i < segment->capacity; i++)
        if (segment->slots[i])
            __builtin_prefetch(table_entry(segment->slots[i]));
}

/* By the next bit of the hash, which the slots do not have: the entries are read. */
static int split(struct table *table, struct sip_key key, uint64_t hash, struct segment *old)
{
    const unsigned bit = 63U - TABLE_PART_BITS - old->depth;
    const uint8_t depth = (uint8_t)(old->depth + 1);
    const uint64_t low = hash & ~((uint64_t)1 << bit), high = hash | (uint64_t)1 << bit;
    struct segment *halves[2];

    if (old->depth == table->depth && double_directory(table) < 0)
        return -1;
    halves[0] = make_segment(table, old->capacity, depth, old->epoch);
    halves[1] = make_segment(table, old->capacity, depth, old->epoch);
    if (!halves[0] || !halves[1]) {
        for (size_t i = 0; i < 2; i++)
            if (halves[i])
                free_segment(table, halves[i]);
        return -1;
    }
    prefetch_entries(old);
    for (size_t i = 0; i < old->capacity; i++) {
        if (!old->slots[i])
            continue;
        struct entry *entry = table_entry(old->slots[i]);
        const uint64_t its = siphash(key, entry_key(entry), entry_key_size(entry));
        put(halves[its >> bit & 1], old->slots[i]);
    }
    refer(table, low, halves[0]);
    refer(table, high, halves[1]);
    free_segment(table, old);
    /* Where there is no memory for smaller ones, they stay large. */
    for (size_t i = 0; i < 2; i++)
        if (capacity_for(halves[i]->count) < halves[i]->capacity)
            resize(table, i ? high : low, halves[i], capacity_for(halves[i]->count));
    return 0;
}

static int make_first(struct table *table)
{
    struct segment *segment;

    table->directory = malloc(sizeof *table->directory);
    if (!table->directory)
        return -1;
    table->depth = 0;
    table->bytes = sizeof *table->directory;
    segment = make_segment(table, CAPACITY_MIN, 0, table->epoch);
    if (!segment) {
        free(table->directory);
        table->directory = NULL;
        table->bytes = 0;
        return -1;
    }
    table->directory[0] = make_reference(segment);
    return 0;
}

/* ---- changing --------------------------------------------------------------------- */

static int make_room(struct table *table, struct sip_key key, uint64_t hash)
{
    struct segment *segment = table_segment(table, hash);

    while (segment->count + 1U > segment->capacity - segment->capacity / 8U) {
        const bool splits = segment->capacity >= CAPACITY_MAX && segment->depth < DEPTH_MAX;
        if (!splits && segment->capacity >= CAPACITY_LAST)
            return -1;
        if ((splits ? split(table, key, hash, segment)
                    : resize(table, hash, segment, larger(segment->capacity))) < 0)
            return -1;
        segment = table_segment(table, hash);
    }
    return 0;
}

int table_insert(struct table *table, struct sip_key key, uint64_t hash, struct entry *entry)
{
    if ((!table->directory && make_first(table) < 0) || make_room(table, key, hash) < 0)
        return -1;
    put(table_segment(table, hash), make_slot(hash & TAG_MASK, entry));
    table->count++;
    return 0;
}

void table_replace(table_slot *slot, struct entry *entry)
{
    *slot = make_slot(tag_of(*slot), entry);
}

void table_move(table_slot *slot, const struct entry *entry)
{
    *slot = (*slot & ~(TABLE_SLOT_EXPIRES - 1)) | (uint64_t)(uintptr_t)entry >> 3;
}

void segment_forget_fresh(struct segment *segment)
{
    for (size_t i = 0; i < segment->capacity; i++)
        segment->slots[i] &= ~TABLE_SLOT_FRESH;
}

/* Those that follow move up, where that brings them nearer to where their probing
 * begins. */
static void close_gap(struct segment *segment, size_t gap)
{
    const size_t capacity = segment->capacity;
    table_slot *slots = segment->slots;

    for (size_t at = after(gap, capacity); slots[at]; at = after(at, capacity)) {
        const size_t wanted = home(tag_of(slots[at]), capacity);
        const size_t from_home = (at + capacity - wanted) % capacity;
        const size_t from_gap = (at + capacity - gap) % capacity;
        if (from_home >= from_gap) {
            slots[gap] = slots[at];
            gap = at;
        }
    }
    slots[gap] = 0;
}

void table_remove(struct table *table, uint64_t hash, table_slot *slot)
{
    struct segment *segment = table_segment(table, hash);

    close_gap(segment, (size_t)(slot - segment->slots));
    segment->count--;
    table->count--;
    if (segment->capacity > CAPACITY_MIN && segment->count < segment->capacity / 4U)
        resize(table, hash, segment, capacity_for(segment->count * 3 / 2));
}

/* malloc() makes a worker's arena larger by what is asked for, rounded up to a page: each time
 * with a system call during which no other thread of the process gets a page, nor the loop. So it
 * is asked for many segments at once; what is given back stays in the arena. */
static void widen_arena(void)
{
    void *volatile piece = malloc(ARENA_STEP);

    free(piece);
}

/* By splitting empty segments, which costs nothing. */
int table_reserve(struct table *table, size_t count)
{
    size_t capacity;

    if (count == 0 || table->count > 0)
        return 0;
    if (!table->directory && make_first(table) < 0)
        return -1;
    free_segment(table, segment_of(table->directory[0]));
    while (table->depth < DEPTH_MAX - 1 && count >> table->depth > (size_t)CAPACITY_MAX * 3 / 4)
        if (double_directory(table) < 0)
            break;
    capacity = capacity_for(count >> table->depth);
    for (size_t i = 0; i < (size_t)1 << table->depth; i++) {
        struct segment *segment;

        if (i % (ARENA_STEP / segment_bytes(capacity)) == 0)
            widen_arena();
        segment = make_segment(table, capacity, table->depth, 0);
        if (!segment) {
            for (size_t j = 0; j < i; j++)
                free_segment(table, segment_of(table->directory[j]));
            free(table->directory);
            *table = (struct table){0};
            return -1;
        }
        table->directory[i] = make_reference(segment);
    }
    return 0;
}

void table_finish(struct table *table)
{
    uint64_t *directory = table->directory;
    const size_t count = directory ? (size_t)1 << table->depth : 0;

    for (size_t i = 0; i < count;) {
        struct segment *segment = segment_of(directory[i]);
        i += (size_t)1 << (table->depth - segment->depth);
        free(segment);
    }
    free(directory);
    *table = (struct table){0};
}
