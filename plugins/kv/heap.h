/* Memory for entries and values, which says what it really takes:
 *
 *     up to 16 KiB     pieces of like size side by side in slabs, with nothing in between
 *     up to 1 MiB      runs of pages; see heap_runs.h
 *     beyond           mappings of their own, which grow and move without being copied
 *
 * What is freed goes back to the system: an empty slab, the pages of a run, a mapping. Slabs that
 * are nearly empty do not, until what is in them is moved: heap_thinnest() names them.
 *
 * A heap belongs to one thread at a time. One that a worker has filled is merged
 * into another in a few steps, however much is in it. */
#ifndef KV_HEAP_H
#define KV_HEAP_H

#include "heap_runs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
    HEAP_STEP = 8,
    HEAP_SMALL = 1024, /* up to here sizes differ by HEAP_STEP, then by a 16th to a 32nd */
    HEAP_SLAB_MAX = 16 * 1024,
    HEAP_CLASSES = HEAP_SMALL / HEAP_STEP + 1 + 4 * 16,
    HEAP_SLAB = 64 * 1024,
    HEAP_REGION = 2 * 1024 * 1024,
    HEAP_SLABS = HEAP_REGION / HEAP_SLAB, /* of a region */
    HEAP_SLAB_PIECES = HEAP_SLAB / HEAP_STEP
};

struct slab;
TAILQ_HEAD(slab_list, slab);
struct region;
TAILQ_HEAD(region_list, region);

/* A mapping that is to be given back. */
struct heap_mapping {
    struct heap_mapping *next;
    size_t size;
};

/* Made by heap_init(). */
struct heap {
    struct slab_list partial[HEAP_CLASSES]; /* those with room */
    size_t spare[HEAP_CLASSES];             /* bytes that are free in slabs of the class */
    struct region_list open, full;          /* regions with unused slabs, and without */
    struct heap_runs runs;
    struct heap_mapping *discarded; /* large mappings: to unmap them takes long */
    size_t discarded_bytes;
    size_t bytes;      /* given out, rounded up */
    size_t resident;   /* of slabs and mappings: what they have of the machine's memory, at most */
    size_t mappings;   /* pieces that are mappings of their own */
    struct slab *kept; /* an unused slab that has its memory still, or NULL */
};

void heap_init(struct heap *heap);

/* Frees all but pieces above HEAP_RUN_MAX: free those first. */
void heap_finish(struct heap *heap);

/* NULL: there is no memory. */
void *heap_alloc(struct heap *heap, size_t size);

/* size: as it was asked for. */
void heap_free(struct heap *heap, void *piece, size_t size);

/* The piece gets another size, and perhaps another place, with what was in it. Above HEAP_RUN_MAX
 * nothing is copied for that, and the bytes from *ret_zero on are zero. NULL: no memory, nothing
 * has changed. */
void *heap_resize(struct heap *heap, void *piece, size_t size, size_t new_size, size_t *ret_zero);

/* Gives back what it keeps for what comes next. */
void heap_trim(struct heap *heap);

/* What a piece of this size really takes: one of any other size that rounds to the same may
 * stay where it is. */
size_t heap_round(size_t size);

/* Bytes of the machine's memory that it has, at most. Of these, so many could be given back. */
size_t heap_resident(const struct heap *heap);
size_t heap_waste(const struct heap *heap);

/* Moves all of from into heap; from is empty then. */
void heap_merge(struct heap *heap, struct heap *from);

/* ---- emptying slabs ------------------------------------------------------------- */

/* A slab that is worth emptying, taken out of use: nothing is put into it until it is empty, or
 * given back by heap_keep_slab(). NULL: there is none. */
struct slab *heap_thinnest(struct heap *heap);

/* The pieces in use. Returns how many. */
size_t heap_slab_pieces(const struct slab *slab, void *pieces[HEAP_SLAB_PIECES]);

/* It is used again: not all that is in it could be moved. */
void heap_keep_slab(struct heap *heap, struct slab *slab);

/* ---- mappings that were freed ----------------------------------------------------- */

/* Takes them off the heap. */
struct heap_mapping *heap_take_discarded(struct heap *heap);

/* [any] Gives them back to the system. */
void heap_unmap(struct heap_mapping *first);

#endif
