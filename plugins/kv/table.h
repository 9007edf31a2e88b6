/* A table of entries by the hash of their key: extendible hashing.
 *
 * The hash's first bits choose a segment, through a directory; in the segment
 * there is linear probing. A segment holds 448 entries at the most: then it is split into two,
 * which is all that an insert can cost; and it is as large as it must be, so that an
 * entry has some 10 bytes of table, whatever the number of them. Segments are in
 * the order of the hash, and so is a walk through them: what is put in and taken
 * out meanwhile does not disturb it.
 *
 * A table holds one part of a database: the hash's first TABLE_PART_BITS bits have
 * chosen it. */
#ifndef KV_TABLE_H
#define KV_TABLE_H

#include "entry.h"
#include "siphash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TABLE_PART_BITS = 6,
    TABLE_PARTS = 1 << TABLE_PART_BITS,
    TABLE_TAG_BITS = 18,
    TABLE_POINTER_BITS = 44 /* of an address, without its lowest three */
};

/* A slot: the hash's last bits, whether the entry was put in since the segment forgot what is
 * fresh, whether it expires, its address. 0: empty. */
typedef uint64_t table_slot;

#define TABLE_SLOT_EXPIRES ((table_slot)1 << TABLE_POINTER_BITS)
#define TABLE_SLOT_FRESH (TABLE_SLOT_EXPIRES << 1)

struct segment {
    uint32_t count;
    uint32_t epoch;    /* of the save that has a copy; see save.h */
    uint16_t capacity; /* of slots */
    uint8_t depth;     /* bits of the hash behind the part's that all in it share */
    table_slot slots[];
};

/* Zeroed, it is empty and costs nothing. */
struct table {
    uint64_t *directory; /* capacity and address of segments; 2^depth of them */
    uint8_t depth;
    uint32_t epoch; /* of the first segment, when it is made */
    size_t count;
    size_t bytes; /* of directory and segments */
};

static inline struct entry *table_entry(table_slot slot)
{
    return (struct entry *)(uintptr_t)((slot & (TABLE_SLOT_EXPIRES - 1)) << 3);
}

static inline unsigned table_part(uint64_t hash)
{
    return (unsigned)(hash >> (64 - TABLE_PART_BITS));
}

/* NULL: it is not there. The slot is valid until the next insert or remove. */
table_slot *table_find(const struct table *table, uint64_t hash, const char *key, size_t size);

/* Fetches the slot that a find will look at, and, where that has come, the entry. */
void table_prefetch_slot(const struct table *table, uint64_t hash);
void table_prefetch_entry(const struct table *table, uint64_t hash);

/* The key must not be there. 0, or -1: no memory, and nothing has changed. key: of the hashes. */
int table_insert(struct table *table, struct sip_key key, uint64_t hash, struct entry *entry);

/* Another entry with the same key. */
void table_replace(table_slot *slot, struct entry *entry);

/* The same entry at another place. */
void table_move(table_slot *slot, const struct entry *entry);

void table_remove(struct table *table, uint64_t hash, table_slot *slot);

/* From now on only what is put in or replaced is fresh. */
void segment_forget_fresh(struct segment *segment);

/* Makes room for a number of entries that are going to come. */
int table_reserve(struct table *table, size_t count);

/* The segment in which a hash is or would be; NULL where the table is empty. */
struct segment *table_segment(const struct table *table, uint64_t hash);

/* The first hash behind those of that segment; 0: there is none in this table. */
uint64_t table_next(const struct segment *segment, uint64_t hash);

/* Frees the table, not the entries. */
void table_finish(struct table *table);

#endif
