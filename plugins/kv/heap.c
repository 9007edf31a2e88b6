/* Slabs, and what is too large for them. See heap.h.
 *
 * Slabs lie in regions, which are address space at a multiple of their size: a piece says by its
 * address in which slab it is. A region's first page has what is to be known of its slabs, so
 * that nothing of an unused slab is resident. */
#include "heap.h"

#include <string.h>
#include <sys/mman.h>

enum {
    BIG_STEPS = 16,
    SMALL_CLASSES = HEAP_SMALL / HEAP_STEP + 1,
    MAPPING_STEP = 256 * 1024,
    UNMAP_AT_ONCE = 4 * 1024 * 1024, /* less takes no time worth a worker's */
    LOOKED_AT = 32                   /* slabs, for one that is thin */
};

struct slab {
    TAILQ_ENTRY(slab) link;
    void *freed;         /* a list through the pieces */
    uint32_t piece_size; /* 0: of no class */
    uint32_t used;       /* pieces */
    uint32_t fresh;      /* offset of the first piece that was never given out */
    uint32_t touched;    /* up to here it has memory */
    bool is_full;        /* and so in no list */
    bool is_closed;      /* being emptied: in no list either */
    uint16_t class;
};

struct region {
    TAILQ_ENTRY(region) link;
    uint32_t unused; /* a bit for each slab of no class */
    struct slab slabs[HEAP_SLABS];
};

_Static_assert(sizeof(struct region) <= HEAP_PAGE, "the first page has it");

static struct region *region_of(const void *piece)
{
    return (struct region *)((uintptr_t)piece & ~(uintptr_t)(HEAP_REGION - 1));
}

static struct slab *slab_of(const void *piece)
{
    return &region_of(piece)->slabs[((uintptr_t)piece & (HEAP_REGION - 1)) / HEAP_SLAB];
}

static char *base_of(const struct slab *slab)
{
    struct region *region = region_of(slab);

    return (char *)region + (size_t)(slab - region->slabs) * HEAP_SLAB;
}

/* The first one's first page is the region's. */
static uint32_t first_offset(const struct slab *slab)
{
    return slab == region_of(slab)->slabs ? HEAP_PAGE : 0;
}

/* ---- sizes ---------------------------------------------------------------------- */

/* Of sizes above HEAP_SMALL: a power of two is cut into 16. */
static size_t big_step(size_t size)
{
    return (size_t)HEAP_SMALL / BIG_STEPS << (63 - __builtin_clzll((size - 1) / HEAP_SMALL));
}

static size_t class_of(size_t size)
{
    size_t step, doublings;

    if (size <= HEAP_SMALL)
        return (size + HEAP_STEP - 1) / HEAP_STEP;
    step = big_step(size);
    doublings = (size_t)__builtin_ctzll(step / (HEAP_SMALL / BIG_STEPS));
    return SMALL_CLASSES + doublings * BIG_STEPS + (size - 1) / step - BIG_STEPS;
}

size_t heap_round(size_t size)
{
    size_t step;

    if (size <= HEAP_SMALL)
        return (size + HEAP_STEP - 1) / HEAP_STEP * HEAP_STEP;
    if (size > HEAP_RUN_MAX)
        step = MAPPING_STEP;
    else if (size > HEAP_SLAB_MAX)
        step = HEAP_PAGE;
    else
        step = big_step(size);
    return (size + step - 1) / step * step;
}

void heap_init(struct heap *heap)
{
    memset(heap, 0, sizeof *heap);
    for (size_t i = 0; i < HEAP_CLASSES; i++)
        TAILQ_INIT(&heap->partial[i]);
    TAILQ_INIT(&heap->open);
    TAILQ_INIT(&heap->full);
    heap_runs_init(&heap->runs);
}

static void unmap_regions(struct region_list *regions)
{
    struct region *region;

    while ((region = TAILQ_FIRST(regions))) {
        TAILQ_REMOVE(regions, region, link);
        munmap(region, HEAP_REGION);
    }
}

void heap_finish(struct heap *heap)
{
    unmap_regions(&heap->open);
    unmap_regions(&heap->full);
    heap_runs_finish(&heap->runs);
    heap_unmap(heap->discarded);
    heap_init(heap);
}

/* ---- slabs ---------------------------------------------------------------------- */

static struct region *add_region(struct heap *heap)
{
    struct region *region = heap_map_aligned(HEAP_REGION);

    if (!region)
        return NULL;
    madvise(region, HEAP_REGION, MADV_NOHUGEPAGE); /* pages are counted one by one */
    region->unused = UINT32_MAX;
    heap->resident += HEAP_PAGE;
    TAILQ_INSERT_HEAD(&heap->open, region, link);
    return region;
}

static void use_slab(struct heap *heap, struct slab *slab)
{
    struct region *region = region_of(slab);

    region->unused &= ~((uint32_t)1 << (slab - region->slabs));
    if (region->unused > 0)
        return;
    TAILQ_REMOVE(&heap->open, region, link);
    TAILQ_INSERT_TAIL(&heap->full, region, link);
}

/* One that is kept is none of its region's unused ones. */
static struct slab *take_slab(struct heap *heap)
{
    struct region *region = TAILQ_FIRST(&heap->open);
    struct slab *slab = heap->kept;

    heap->kept = NULL;
    if (slab)
        return slab;
    if (!region)
        region = add_region(heap);
    if (!region)
        return NULL;
    slab = &region->slabs[__builtin_ctz(region->unused)];
    use_slab(heap, slab);
    return slab;
}

/* Its memory goes back to the system. */
static void release_slab(struct heap *heap, struct slab *slab)
{
    const uint32_t first = first_offset(slab);

    if (slab->touched > first)
        madvise(base_of(slab) + first, slab->touched - first, MADV_DONTNEED);
    heap->resident -= slab->touched > first ? slab->touched - first : 0;
    slab->touched = 0;
}

static void drop_region(struct heap *heap, struct region *region)
{
    heap->resident -= HEAP_PAGE;
    TAILQ_REMOVE(&heap->open, region, link);
    munmap(region, HEAP_REGION);
}

static void give_slab_back(struct heap *heap, struct slab *slab)
{
    struct region *region = region_of(slab);

    release_slab(heap, slab);
    if (region->unused == 0) {
        TAILQ_REMOVE(&heap->full, region, link);
        TAILQ_INSERT_TAIL(&heap->open, region, link);
    }
    region->unused |= (uint32_t)1 << (slab - region->slabs);
    if (region->unused == UINT32_MAX && TAILQ_FIRST(&heap->open) != region)
        drop_region(heap, region); /* The only one stays, for what comes next. */
}

void heap_trim(struct heap *heap)
{
    if (heap->kept)
        give_slab_back(heap, heap->kept);
    heap->kept = NULL;
}

static void empty_slab(struct heap *heap, struct slab *slab)
{
    heap->spare[slab->class] -= (size_t)(HEAP_SLAB - first_offset(slab)) / slab->piece_size *
                                slab->piece_size;
    slab->piece_size = 0;
    slab->is_closed = false;
    if (heap->kept)
        give_slab_back(heap, slab);
    else
        heap->kept = slab;
}

static struct slab *add_slab(struct heap *heap, size_t class, size_t piece_size)
{
    struct slab *slab = take_slab(heap);

    if (!slab)
        return NULL;
    slab->freed = NULL;
    slab->piece_size = (uint32_t)piece_size;
    slab->used = 0;
    slab->fresh = first_offset(slab);
    slab->class = (uint16_t) class;
    slab->is_full = slab->is_closed = false;
    heap->spare[class] += (HEAP_SLAB - slab->fresh) / piece_size * piece_size;
    TAILQ_INSERT_HEAD(&heap->partial[class], slab, link);
    return slab;
}

/* ---- pieces ---------------------------------------------------------------------- */

static bool has_room(const struct slab *slab)
{
    return slab->freed || slab->fresh + slab->piece_size <= HEAP_SLAB;
}

static void touch(struct heap *heap, struct slab *slab)
{
    const uint32_t first = first_offset(slab);
    const uint32_t from = slab->touched > first ? slab->touched : first;

    slab->touched = (slab->fresh + HEAP_PAGE - 1) / HEAP_PAGE * HEAP_PAGE;
    heap->resident += slab->touched - from;
}

static void *take_piece(struct heap *heap, struct slab *slab)
{
    void *piece = slab->freed;

    if (piece) {
        slab->freed = *(void **)piece;
    } else {
        piece = base_of(slab) + slab->fresh;
        slab->fresh += slab->piece_size;
        if (slab->fresh > slab->touched)
            touch(heap, slab);
    }
    slab->used++;
    return piece;
}

static void *alloc_piece(struct heap *heap, size_t size)
{
    const size_t class = class_of(size);
    struct slab *slab = TAILQ_FIRST(&heap->partial[class]);
    void *piece;

    if (!slab)
        slab = add_slab(heap, class, heap_round(size));
    if (!slab)
        return NULL;
    piece = take_piece(heap, slab);
    heap->spare[class] -= slab->piece_size;
    if (!has_room(slab)) {
        slab->is_full = true;
        TAILQ_REMOVE(&heap->partial[class], slab, link);
    }
    return piece;
}

static void *map_piece(struct heap *heap, size_t size)
{
    void *piece = mmap(NULL, heap_round(size), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (piece == MAP_FAILED)
        return NULL;
    heap->resident += heap_round(size);
    heap->mappings++;
    return piece;
}

void *heap_alloc(struct heap *heap, size_t size)
{
    void *piece;

    size += size == 0;
    piece = size <= HEAP_SLAB_MAX  ? alloc_piece(heap, size)
            : size <= HEAP_RUN_MAX ? heap_runs_alloc(&heap->runs, size)
                                   : map_piece(heap, size);

    if (piece)
        heap->bytes += heap_round(size);
    return piece;
}

static void free_piece(struct heap *heap, void *piece)
{
    struct slab *slab = slab_of(piece);

    *(void **)piece = slab->freed;
    slab->freed = piece;
    slab->used--;
    heap->spare[slab->class] += slab->piece_size;
    if (slab->is_full) {
        slab->is_full = false;
        TAILQ_INSERT_HEAD(&heap->partial[slab->class], slab, link);
    }
    if (slab->used > 0)
        return;
    if (!slab->is_closed)
        TAILQ_REMOVE(&heap->partial[slab->class], slab, link);
    empty_slab(heap, slab);
}

/* What is long to unmap is left to the heap's owner. */
static void discard(struct heap *heap, struct heap_mapping *mapping, size_t size)
{
    heap->mappings--;
    heap->resident -= size;
    if (size < UNMAP_AT_ONCE) {
        munmap(mapping, size);
        return;
    }
    mapping->next = heap->discarded;
    mapping->size = size;
    heap->discarded = mapping;
    heap->discarded_bytes += size;
}

void heap_free(struct heap *heap, void *piece, size_t size)
{
    size += size == 0;
    heap->bytes -= heap_round(size);
    if (size <= HEAP_SLAB_MAX)
        free_piece(heap, piece);
    else if (size <= HEAP_RUN_MAX)
        heap_runs_free(&heap->runs, piece, size);
    else
        discard(heap, piece, heap_round(size));
}

static void *resize_mapping(struct heap *heap, void *piece, size_t size, size_t new_size)
{
    const size_t old = heap_round(size), new = heap_round(new_size);
    void *moved = mremap(piece, old, new, MREMAP_MAYMOVE);

    if (moved == MAP_FAILED)
        return NULL;
    heap->bytes += new - old;
    heap->resident += new - old;
    return moved;
}

void *heap_resize(struct heap *heap, void *piece, size_t size, size_t new_size, size_t *ret_zero)
{
    void *moved;

    *ret_zero = new_size;
    if (heap_round(size) == heap_round(new_size))
        return piece;
    if (size > HEAP_RUN_MAX && new_size > HEAP_RUN_MAX) {
        *ret_zero = heap_round(size);
        return resize_mapping(heap, piece, size, new_size);
    }
    moved = heap_alloc(heap, new_size);
    if (!moved)
        return NULL;
    memcpy(moved, piece, size < new_size ? size : new_size);
    heap_free(heap, piece, size);
    if (new_size > HEAP_RUN_MAX)
        *ret_zero = size;
    return moved;
}

size_t heap_resident(const struct heap *heap)
{
    return heap->resident + heap_runs_resident(&heap->runs);
}

size_t heap_waste(const struct heap *heap)
{
    const size_t resident = heap_resident(heap);

    return resident > heap->bytes ? resident - heap->bytes : 0;
}

void heap_merge(struct heap *heap, struct heap *from)
{
    heap_trim(from);
    for (size_t i = 0; i < HEAP_CLASSES; i++) {
        TAILQ_CONCAT(&heap->partial[i], &from->partial[i], link);
        heap->spare[i] += from->spare[i];
    }
    TAILQ_CONCAT(&heap->open, &from->open, link);
    TAILQ_CONCAT(&heap->full, &from->full, link);
    heap_runs_merge(&heap->runs, &from->runs);
    heap->bytes += from->bytes;
    heap->resident += from->resident;
    heap->mappings += from->mappings;
    while (from->discarded) {
        struct heap_mapping *mapping = from->discarded;
        from->discarded = mapping->next;
        mapping->next = heap->discarded;
        heap->discarded = mapping;
        heap->discarded_bytes += mapping->size;
    }
    heap_init(from);
}

/* ---- emptying slabs ---------------------------------------------------------------- */

/* The class of which most could be given back. */
static size_t widest_class(const struct heap *heap)
{
    size_t widest = 0;

    for (size_t i = 1; i < HEAP_CLASSES; i++)
        if (heap->spare[i] > heap->spare[widest])
            widest = i;
    return widest;
}

/* The thinnest of some. What was looked at in vain is filled first from now on. */
struct slab *heap_thinnest(struct heap *heap)
{
    const size_t class = widest_class(heap);
    struct slab_list *list = &heap->partial[class];
    struct slab *slab = TAILQ_LAST(list, slab_list), *thinnest = NULL;

    if (heap->spare[class] <= HEAP_SLAB || !slab || slab == TAILQ_FIRST(list))
        return NULL;
    for (int i = 0; i < LOOKED_AT && slab; i++) {
        struct slab *before = TAILQ_PREV(slab, slab_list, link);
        if (!thinnest || slab->used < thinnest->used)
            thinnest = slab;
        TAILQ_REMOVE(list, slab, link);
        TAILQ_INSERT_HEAD(list, slab, link);
        slab = before;
    }
    TAILQ_REMOVE(list, thinnest, link);
    thinnest->is_closed = true;
    return thinnest;
}

static void mark_free(const struct slab *slab, uint64_t *marks)
{
    const char *base = base_of(slab);

    for (void *piece = slab->freed; piece; piece = *(void **)piece) {
        const size_t at = (size_t)((char *)piece - base) / HEAP_STEP;
        marks[at / 64] |= (uint64_t)1 << (at % 64);
    }
}

size_t heap_slab_pieces(const struct slab *slab, void *pieces[HEAP_SLAB_PIECES])
{
    uint64_t marks[HEAP_SLAB_PIECES / 64] = {0};
    char *base = base_of(slab);
    size_t count = 0;

    mark_free(slab, marks);
    for (uint32_t at = first_offset(slab); at < slab->fresh; at += slab->piece_size) {
        const size_t step = at / HEAP_STEP;
        if (!(marks[step / 64] >> (step % 64) & 1))
            pieces[count++] = base + at;
    }
    return count;
}

void heap_keep_slab(struct heap *heap, struct slab *slab)
{
    slab->is_closed = false;
    if (has_room(slab))
        TAILQ_INSERT_TAIL(&heap->partial[slab->class], slab, link);
    else
        slab->is_full = true;
}

/* ---- mappings that were freed -------------------------------------------------------- */

struct heap_mapping *heap_take_discarded(struct heap *heap)
{
    struct heap_mapping *first = heap->discarded;

    heap->discarded = NULL;
    heap->discarded_bytes = 0;
    return first;
}

void heap_unmap(struct heap_mapping *first)
{
    while (first) {
        struct heap_mapping *next = first->next;
        munmap(first, first->size);
        first = next;
    }
}
