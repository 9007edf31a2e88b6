/* See entry_heap.h. */
#include "entry_heap.h"

static struct entry *make_piece(struct heap *heap, const char *key, size_t key_size,
                                size_t value_size, bool expires, uint32_t clock)
{
    const size_t size = entry_header_size(expires, key_size) + key_size +
                        entry_inline_size(value_size);
    struct entry *entry = heap_alloc(heap, size);

    if (entry)
        entry_init(entry, key, key_size, value_size, expires, clock);
    return entry;
}

struct entry *entry_make(struct heap *heap, const char *key, size_t key_size, size_t value_size,
                         bool expires, uint32_t clock)
{
    struct entry *entry = make_piece(heap, key, key_size, value_size, expires, clock);
    struct entry_block *block;

    if (!entry || !entry_size_is_apart(value_size))
        return entry;
    block = heap_alloc(heap, entry_block_size(value_size));
    if (!block) {
        heap_free(heap, entry, entry_size(entry));
        return NULL;
    }
    block->refs = 1;
    entry_set_block(entry, block);
    return entry;
}

struct entry *entry_make_alike(struct heap *heap, const char *key, size_t key_size,
                               struct entry *other, bool expires, uint32_t clock)
{
    const size_t value_size = entry_value_size(other);
    struct entry *entry = make_piece(heap, key, key_size, value_size, expires, clock);

    if (!entry)
        return NULL;
    if (entry_is_apart(other)) {
        entry_block(other)->refs++;
        entry_set_block(entry, entry_block(other));
    } else {
        memcpy(entry_value(entry), entry_value(other), value_size);
    }
    return entry;
}

int entry_resize_block(struct heap *heap, struct entry *entry, size_t value_size, size_t *ret_zero)
{
    struct entry_block *block = heap_resize(heap, entry_block(entry),
                                            entry_block_size(entry_value_size(entry)),
                                            entry_block_size(value_size), ret_zero);

    if (!block)
        return -1;
    entry_set_block(entry, block);
    entry_set_value_size(entry, (uint32_t)value_size);
    *ret_zero -= sizeof *block;
    return 0;
}

void entry_free(struct heap *heap, struct entry *entry)
{
    if (entry_is_apart(entry) && --entry_block(entry)->refs == 0)
        heap_free(heap, entry_block(entry), entry_block_size(entry_value_size(entry)));
    heap_free(heap, entry, entry_size(entry));
}

size_t entry_memory(struct entry *entry)
{
    size_t size = heap_round(entry_size(entry));

    if (entry_is_apart(entry) && entry_block(entry)->refs == 1)
        size += heap_round(entry_block_size(entry_value_size(entry)));
    return size;
}
