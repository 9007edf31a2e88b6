/* Runs of pages. See heap_runs.h.
 *
 * A region is 2 MiB of address space, at a multiple of that; its first page says which of the
 * others are in use. A run is the first that fits, of the first regions that may have one. */
#include "heap_runs.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

enum {
    REGION = 2 * 1024 * 1024,
    PAGES = REGION / HEAP_PAGE,
    WORDS = PAGES / 64,
    TRIED = 32 /* regions, before a new one is made */
};

struct run_region {
    TAILQ_ENTRY(run_region) link;
    uint64_t used[WORDS]; /* a bit for each page */
    uint32_t pages;       /* given out */
    uint32_t longest;     /* no free run is longer */
};

void *heap_map_aligned(size_t size)
{
    char *const mapped = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before;

    if (mapped == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)mapped & (size - 1);
    if (before > 0)
        munmap(mapped, before);
    munmap(mapped + before + size, size - before);
    return mapped + before;
}

void heap_runs_init(struct heap_runs *runs)
{
    *runs = (struct heap_runs){.pages = 0};
    TAILQ_INIT(&runs->regions);
}

void heap_runs_finish(struct heap_runs *runs)
{
    struct run_region *region;

    while ((region = TAILQ_FIRST(&runs->regions))) {
        TAILQ_REMOVE(&runs->regions, region, link);
        munmap(region, REGION);
    }
    heap_runs_init(runs);
}

/* ---- a region ------------------------------------------------------------------- */

static bool is_used(const struct run_region *region, uint32_t page)
{
    return region->used[page / 64] >> (page % 64) & 1;
}

static void mark(struct run_region *region, uint32_t first, uint32_t count, bool used)
{
    for (uint32_t page = first; page < first + count; page++) {
        const uint64_t bit = (uint64_t)1 << (page % 64);
        if (used)
            region->used[page / 64] |= bit;
        else
            region->used[page / 64] &= ~bit;
    }
}

/* The first page of so many free ones; 0: there are not so many side by side. */
static uint32_t find(struct run_region *region, uint32_t count)
{
    uint32_t length = 0, longest = 0;

    for (uint32_t page = 1; page < PAGES; page++) {
        if (page % 64 == 0 && region->used[page / 64] == UINT64_MAX) {
            length = 0;
            page += 63;
            continue;
        }
        length = is_used(region, page) ? 0 : length + 1;
        if (length == count)
            return page + 1 - count;
        longest = length > longest ? length : longest;
    }
    region->longest = longest;
    return 0;
}

static struct run_region *add_region(struct heap_runs *runs)
{
    struct run_region *region = heap_map_aligned(REGION);

    if (!region)
        return NULL;
    madvise(region, REGION, MADV_NOHUGEPAGE); /* pages are counted, and given back, one by one */
    region->used[0] = 1;
    region->longest = PAGES - 1;
    TAILQ_INSERT_HEAD(&runs->regions, region, link);
    runs->count++;
    return region;
}

/* ---- runs ------------------------------------------------------------------------- */

static uint32_t pages_of(size_t size)
{
    return (uint32_t)((size + HEAP_PAGE - 1) / HEAP_PAGE);
}

static void *take(struct heap_runs *runs, struct run_region *region, uint32_t first, uint32_t count)
{
    mark(region, first, count, true);
    region->pages += count;
    runs->pages += count;
    return (char *)region + (size_t)first * HEAP_PAGE;
}

/* What was tried in vain is tried last the next time. */
void *heap_runs_alloc(struct heap_runs *runs, size_t size)
{
    const uint32_t count = pages_of(size);
    struct run_region *region;

    for (int tried = 0; tried < TRIED && (region = TAILQ_FIRST(&runs->regions)); tried++) {
        const uint32_t first = region->longest >= count ? find(region, count) : 0;
        if (first > 0)
            return take(runs, region, first, count);
        TAILQ_REMOVE(&runs->regions, region, link);
        TAILQ_INSERT_TAIL(&runs->regions, region, link);
    }
    region = add_region(runs);
    return region ? take(runs, region, 1, count) : NULL;
}

void heap_runs_free(struct heap_runs *runs, void *run, size_t size)
{
    struct run_region *region = (struct run_region *)((uintptr_t)run & ~(uintptr_t)(REGION - 1));
    const uint32_t count = pages_of(size);

    mark(region, (uint32_t)(((char *)run - (char *)region) / HEAP_PAGE), count, false);
    region->pages -= count;
    runs->pages -= count;
    region->longest = PAGES - 1; /* it is looked at again */
    TAILQ_REMOVE(&runs->regions, region, link);
    if (region->pages == 0 && TAILQ_FIRST(&runs->regions)) {
        munmap(region, REGION);
        runs->count--;
        return;
    }
    madvise(run, (size_t)count * HEAP_PAGE, MADV_DONTNEED);
    TAILQ_INSERT_HEAD(&runs->regions, region, link);
}

void heap_runs_merge(struct heap_runs *runs, struct heap_runs *from)
{
    TAILQ_CONCAT(&runs->regions, &from->regions, link);
    runs->pages += from->pages;
    runs->count += from->count;
    heap_runs_init(from);
}

size_t heap_runs_resident(const struct heap_runs *runs)
{
    return (runs->pages + runs->count) * HEAP_PAGE;
}
