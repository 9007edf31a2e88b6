/* Memory for entries: pieces of like size side by side in slabs, 8 bytes apart and
 * with nothing in between. What is too large for that comes from malloc().
 *
 * A heap belongs to one thread at a time. One that a worker has filled is merged
 * into another in a few steps, however much is in it. */
#ifndef KV_HEAP_H
#define KV_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
    HEAP_STEP = 8,
    HEAP_SMALL = 1024, /* larger ones come from malloc() */
    HEAP_CLASSES = HEAP_SMALL / HEAP_STEP + 1,
    HEAP_SLAB = 64 * 1024,
    HEAP_REGION = 2 * 1024 * 1024
};

struct slab;
TAILQ_HEAD(slab_list, slab);

/* Made by heap_init(). */
struct heap {
    struct slab_list partial[HEAP_CLASSES]; /* those with room */
    struct slab_list unused;                /* of no class */
    size_t resident;                        /* of unused: that still have their memory */
    char **regions;
    size_t region_count, region_room;
    char *fresh, *fresh_end; /* of the last region: never used yet */
    size_t bytes;            /* given out, rounded up */
    size_t large;            /* pieces of malloc's */
};

void heap_init(struct heap *heap);

/* Frees all but what came from malloc(): free those pieces first. */
void heap_finish(struct heap *heap);

/* NULL: there is no memory. */
void *heap_alloc(struct heap *heap, size_t size);

/* size: as it was asked for. */
void heap_free(struct heap *heap, void *piece, size_t size);

/* Both sizes above HEAP_SMALL: the piece gets another size, and perhaps another place, with what
 * was in it. It is seldom copied for that. NULL: no memory, nothing has changed. */
void *heap_resize(struct heap *heap, void *piece, size_t size, size_t new_size);

/* What a piece of this size really takes: one of any other size that rounds to the same may
 * stay where it is. */
size_t heap_round(size_t size);

/* Moves all of from into heap; from is empty then. 0, or -1: no memory, nothing
 * has changed. */
int heap_merge(struct heap *heap, struct heap *from);

#endif
