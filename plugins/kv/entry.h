/* One key with its value, as it lies in memory:
 *
 *     clock 24 bits, key size 8 | value size 30, flags 2 | [expiry] [key size] key value
 *
 * Eight bytes, then 8 of the expiry if it has one, then 4 of the key's size if
 * that does not fit into 8 bits, then the key and the value.
 *
 * A value above ENTRY_INLINE_MAX lies apart, in a block, and the entry has the block's address:
 * so an entry can get another key or another expiry, and none of its value is copied. Entries
 * share a block until the value of one of them changes.
 *
 * A saver may read an entry on a worker while the loop changes its clock: so the
 * first word is only touched atomically. */
#ifndef KV_ENTRY_H
#define KV_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    ENTRY_KEY_IN_WORD = 255, /* longer ones have a size of their own */
    ENTRY_VALUE_BITS = 30,
    ENTRY_INLINE_MAX = 64 * 1024, /* bytes of value */
    ENTRY_CLOCK_MASK = 0xffffff
};

#define ENTRY_EXPIRES (1U << 30)
#define ENTRY_LONG_KEY (1U << 31)
#define ENTRY_VALUE_MAX ((1U << ENTRY_VALUE_BITS) - 1)

struct entry {
    uint32_t first, second;
};

static inline uint32_t entry_first(const struct entry *entry)
{
    return __atomic_load_n(&entry->first, __ATOMIC_RELAXED);
}

static inline bool entry_expires(const struct entry *entry)
{
    return entry->second & ENTRY_EXPIRES;
}

static inline uint32_t entry_value_size(const struct entry *entry)
{
    return entry->second & ENTRY_VALUE_MAX;
}

static inline size_t entry_header_size(bool expires, size_t key_size)
{
    return sizeof(struct entry) + (expires ? 8 : 0) + (key_size > ENTRY_KEY_IN_WORD ? 4 : 0);
}

static inline uint32_t entry_key_size(const struct entry *entry)
{
    uint32_t size = entry_first(entry) >> 24;

    if (entry->second & ENTRY_LONG_KEY)
        memcpy(&size, (const char *)(entry + 1) + (entry_expires(entry) ? 8 : 0), sizeof size);
    return size;
}

static inline char *entry_key(struct entry *entry)
{
    return (char *)(entry + 1) + (entry_expires(entry) ? 8 : 0) +
           (entry->second & ENTRY_LONG_KEY ? 4 : 0);
}

/* A value that lies apart. refs is the loop's alone. */
struct entry_block {
    uint64_t refs; /* entries that have it */
    char bytes[];
};

static inline bool entry_size_is_apart(size_t value_size)
{
    return value_size > ENTRY_INLINE_MAX;
}

static inline bool entry_is_apart(const struct entry *entry)
{
    return entry_size_is_apart(entry_value_size(entry));
}

static inline size_t entry_block_size(size_t value_size)
{
    return sizeof(struct entry_block) + value_size;
}

/* Only of one that is apart. */
static inline struct entry_block *entry_block(struct entry *entry)
{
    struct entry_block *block;

    /* Its address is what is meant. NOLINTNEXTLINE(bugprone-sizeof-expression) */
    memcpy(&block, entry_key(entry) + entry_key_size(entry), sizeof block);
    return block;
}

static inline void entry_set_block(struct entry *entry, struct entry_block *block)
{
    /* Likewise. NOLINTNEXTLINE(bugprone-sizeof-expression) */
    memcpy(entry_key(entry) + entry_key_size(entry), &block, sizeof block);
}

static inline char *entry_value(struct entry *entry)
{
    return entry_is_apart(entry) ? entry_block(entry)->bytes
                                 : entry_key(entry) + entry_key_size(entry);
}

/* What of the value lies in the entry itself. */
static inline size_t entry_inline_size(size_t value_size)
{
    return entry_size_is_apart(value_size) ? sizeof(struct entry_block *) : value_size;
}

/* Without a block. */
static inline size_t entry_size(const struct entry *entry)
{
    const uint32_t key_size = entry_key_size(entry);

    return entry_header_size(entry_expires(entry), key_size) + key_size +
           entry_inline_size(entry_value_size(entry));
}

/* Milliseconds; only of one that expires. */
static inline int64_t entry_expiry(const struct entry *entry)
{
    int64_t expiry;

    memcpy(&expiry, entry + 1, sizeof expiry);
    return expiry;
}

static inline void entry_set_expiry(struct entry *entry, int64_t expiry)
{
    memcpy(entry + 1, &expiry, sizeof expiry);
}

static inline void entry_set_value_size(struct entry *entry, uint32_t size)
{
    entry->second = (entry->second & ~ENTRY_VALUE_MAX) | size;
}

static inline uint32_t entry_clock(const struct entry *entry)
{
    return entry_first(entry) & ENTRY_CLOCK_MASK;
}

static inline void entry_set_clock(struct entry *entry, uint32_t clock)
{
    const uint32_t first = entry_first(entry);

    if ((first & ENTRY_CLOCK_MASK) != clock)
        __atomic_store_n(&entry->first, (first & ~(uint32_t)ENTRY_CLOCK_MASK) | clock,
                         __ATOMIC_RELAXED);
}

/* All but expiry, which is only given room, and value. */
static inline void entry_init(struct entry *entry, const char *key, size_t key_size,
                              size_t value_size, bool expires, uint32_t clock)
{
    const bool is_long = key_size > ENTRY_KEY_IN_WORD;
    const uint32_t size = (uint32_t)key_size;

    __atomic_store_n(&entry->first, clock | (is_long ? 0 : size) << 24, __ATOMIC_RELAXED);
    entry->second = (uint32_t)value_size | (expires ? ENTRY_EXPIRES : 0) |
                    (is_long ? ENTRY_LONG_KEY : 0);
    if (is_long)
        memcpy((char *)(entry + 1) + (expires ? 8 : 0), &size, sizeof size);
    memcpy(entry_key(entry), key, key_size);
}

static inline bool entry_has_key(struct entry *entry, const char *key, size_t size)
{
    return entry_key_size(entry) == size && memcmp(entry_key(entry), key, size) == 0;
}

#endif
