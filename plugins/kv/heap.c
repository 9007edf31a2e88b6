/* Slabs. See heap.h.
 *
 * A slab begins at a multiple of its size, so a piece says by its address in which
 * one it is. The first to be given out are those at the lowest addresses that were never
 * used; then those that were freed. */
#include "heap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    RESIDENT_MAX = 32, /* unused slabs that keep their memory */
    MALLOC_WORD = 8,   /* what malloc() adds */
    MALLOC_STEP = 16,
    GROWTH_BITS = 5 /* a piece has room for up to 1/32 more: values that grow stay where they are */
};

struct slab {
    TAILQ_ENTRY(slab) link;
    void *freed;         /* a list through the pieces */
    uint32_t piece_size; /* 0: of no class */
    uint32_t used;       /* pieces */
    uint32_t fresh;      /* offset of the first piece that was never given out */
    bool is_full;        /* and so in no list */
};

static struct slab *slab_of(void *piece)
{
    return (struct slab *)((uintptr_t)piece & ~(uintptr_t)(HEAP_SLAB - 1));
}

static size_t class_of(size_t size)
{
    return (size + HEAP_STEP - 1) / HEAP_STEP;
}

size_t heap_round(size_t size)
{
    size_t step = MALLOC_STEP;

    if (size <= HEAP_SMALL)
        return class_of(size) * HEAP_STEP;
    while (step << (GROWTH_BITS + 1) <= size)
        step *= 2;
    return (size + MALLOC_WORD + step - 1) / step * step;
}

void heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
    for (size_t i = 0; i < HEAP_CLASSES; i++)
        TAILQ_INIT(&heap->partial[i]);
    TAILQ_INIT(&heap->unused);
}

void heap_finish(struct heap *heap)
{
    for (size_t i = 0; i < heap->region_count; i++)
        munmap(heap->regions[i], HEAP_REGION);
    free(heap->regions);
    heap_init(heap);
}

/* ---- slabs -------------------------------------------------------------------- */

static int reserve_regions(struct heap *heap, size_t more)
{
    size_t room = heap->region_room;
    char **regions;

    while (heap->region_count + more > room)
        room = room ? room * 2 : 8;
    if (room == heap->region_room)
        return 0;
    regions = realloc(heap->regions, room * sizeof *regions);
    if (!regions)
        return -1;
    heap->regions = regions;
    heap->region_room = room;
    return 0;
}

/* Address space at a multiple of HEAP_REGION; its memory comes as it is used. */
static char *map_region(void)
{
    char *const mapped = mmap(NULL, (size_t)2 * HEAP_REGION, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before;

    if (mapped == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)mapped & (HEAP_REGION - 1);
    if (before > 0)
        munmap(mapped, before);
    munmap(mapped + before + HEAP_REGION, HEAP_REGION - before);
    return mapped + before;
}

static int add_region(struct heap *heap)
{
    char *region;

    if (reserve_regions(heap, 1) < 0)
        return -1;
    region = map_region();
    if (!region)
        return -1;
    heap->regions[heap->region_count++] = region;
    heap->fresh = region;
    heap->fresh_end = region + HEAP_REGION;
    return 0;
}

static struct slab *take_slab(struct heap *heap)
{
    struct slab *slab = TAILQ_FIRST(&heap->unused);

    if (slab) {
        TAILQ_REMOVE(&heap->unused, slab, link);
        if (heap->resident > 0)
            heap->resident--;
        return slab;
    }
    if (heap->fresh == heap->fresh_end && add_region(heap) < 0)
        return NULL;
    slab = (struct slab *)(void *)heap->fresh;
    heap->fresh += HEAP_SLAB;
    return slab;
}

/* Those with memory stand in front. Of the others only the first page is left. */
static void give_slab_back(struct heap *heap, struct slab *slab)
{
    slab->piece_size = 0;
    if (heap->resident < RESIDENT_MAX) {
        heap->resident++;
        TAILQ_INSERT_HEAD(&heap->unused, slab, link);
        return;
    }
    madvise((char *)slab + 4096, HEAP_SLAB - 4096, MADV_DONTNEED);
    TAILQ_INSERT_TAIL(&heap->unused, slab, link);
}

static struct slab *add_slab(struct heap *heap, size_t class)
{
    struct slab *slab = take_slab(heap);

    if (!slab)
        return NULL;
    *slab = (struct slab){.piece_size = (uint32_t)(class * HEAP_STEP),
                          .fresh = sizeof(struct slab)};
    TAILQ_INSERT_HEAD(&heap->partial[class], slab, link);
    return slab;
}

/* ---- pieces ------------------------------------------------------------------- */

static bool has_room(const struct slab *slab)
{
    return slab->freed || slab->fresh + slab->piece_size <= HEAP_SLAB;
}

static void *take_piece(struct slab *slab)
{
    void *piece = slab->freed;

    if (piece) {
        slab->freed = *(void **)piece;
    } else {
        piece = (char *)slab + slab->fresh;
        slab->fresh += slab->piece_size;
    }
    slab->used++;
    return piece;
}

void *heap_alloc(struct heap *heap, size_t size)
{
    const size_t class = class_of(size);
    struct slab *slab;
    void *piece;

    if (size > HEAP_SMALL) {
        piece = malloc(heap_round(size) - MALLOC_WORD);
        if (!piece)
            return NULL;
        heap->bytes += heap_round(size);
        heap->large++;
        return piece;
    }
    slab = TAILQ_FIRST(&heap->partial[class]);
    if (!slab)
        slab = add_slab(heap, class);
    if (!slab)
        return NULL;
    piece = take_piece(slab);
    heap->bytes += slab->piece_size;
    if (!has_room(slab)) {
        slab->is_full = true;
        TAILQ_REMOVE(&heap->partial[class], slab, link);
    }
    return piece;
}

void heap_free(struct heap *heap, void *piece, size_t size)
{
    const size_t class = class_of(size);
    struct slab *slab;

    heap->bytes -= heap_round(size);
    if (size > HEAP_SMALL) {
        free(piece);
        heap->large--;
        return;
    }
    slab = slab_of(piece);
    *(void **)piece = slab->freed;
    slab->freed = piece;
    slab->used--;
    if (slab->is_full) {
        slab->is_full = false;
        TAILQ_INSERT_HEAD(&heap->partial[class], slab, link);
    }
    if (slab->used == 0) {
        TAILQ_REMOVE(&heap->partial[class], slab, link);
        give_slab_back(heap, slab);
    }
}

/* (realloc() moves pages of what is large, and no bytes.) */
void *heap_resize(struct heap *heap, void *piece, size_t size, size_t new_size)
{
    void *moved = realloc(piece, heap_round(new_size) - MALLOC_WORD);

    if (moved)
        piece = moved;
    else if (new_size > size)
        return NULL;
    heap->bytes += heap_round(new_size) - heap_round(size);
    return piece;
}

/* What is left of from's last region becomes unused slabs: without memory, but for
 * the page that their heads are on. */
static void spare_fresh(struct heap *from)
{
    for (; from->fresh < from->fresh_end; from->fresh += HEAP_SLAB) {
        struct slab *slab = (struct slab *)(void *)from->fresh;
        *slab = (struct slab){0};
        TAILQ_INSERT_TAIL(&from->unused, slab, link);
    }
}

int heap_merge(struct heap *heap, struct heap *from)
{
    if (reserve_regions(heap, from->region_count) < 0)
        return -1;
    spare_fresh(from);
    for (size_t i = 0; i < HEAP_CLASSES; i++)
        TAILQ_CONCAT(&heap->partial[i], &from->partial[i], link);
    TAILQ_CONCAT(&heap->unused, &from->unused, link);
    for (size_t i = 0; i < from->region_count; i++)
        heap->regions[heap->region_count++] = from->regions[i];
    heap->bytes += from->bytes;
    heap->large += from->large;
    free(from->regions);
    heap_init(from);
    return 0;
}
