/* Entries in a heap: made, shared, freed. */
#ifndef KV_ENTRY_HEAP_H
#define KV_ENTRY_HEAP_H

#include "entry.h"
#include "heap.h"

/* Room for a value of this size, and for an expiry; neither is filled in. NULL: no memory. */
struct entry *entry_make(struct heap *heap, const char *key, size_t key_size, size_t value_size,
                         bool expires, uint32_t clock);

/* Another entry with the value of that one; a value that lies apart is shared. The expiry is not
 * filled in. NULL: no memory. */
struct entry *entry_make_alike(struct heap *heap, const char *key, size_t key_size,
                               struct entry *other, bool expires, uint32_t clock);

/* The value that lies apart, and that no other entry has, gets another size. As heap_resize(). */
int entry_resize_block(struct heap *heap, struct entry *entry, size_t value_size, size_t *ret_zero);

void entry_free(struct heap *heap, struct entry *entry);

/* What entry_free() would free. */
size_t entry_memory(struct entry *entry);

#endif
