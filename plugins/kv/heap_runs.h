/* Runs of pages, for pieces of middle size. A run's pages go back to the system when it is freed:
 * so what is given out is what is resident. See heap.h. */
#ifndef KV_HEAP_RUNS_H
#define KV_HEAP_RUNS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum { HEAP_PAGE = 4096, HEAP_RUN_MAX = 1024 * 1024 };

struct run_region;
TAILQ_HEAD(run_regions, run_region);

struct heap_runs {
    struct run_regions regions;
    size_t pages; /* given out */
    size_t count; /* of regions */
};

void heap_runs_init(struct heap_runs *runs);
void heap_runs_finish(struct heap_runs *runs);

/* size: at most HEAP_RUN_MAX. NULL: there is no memory. */
void *heap_runs_alloc(struct heap_runs *runs, size_t size);
void heap_runs_free(struct heap_runs *runs, void *run, size_t size);

void heap_runs_merge(struct heap_runs *runs, struct heap_runs *from);

/* Bytes of the machine's memory. */
size_t heap_runs_resident(const struct heap_runs *runs);

/* Address space at a multiple of size, which is a power of two; its memory comes as it is used.
 * NULL: there is none. */
void *heap_map_aligned(size_t size);

#endif
