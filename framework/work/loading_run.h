/* What the two halves of loading.h share, and no other file sees: loading.c, which begins and ends
 * runs, and loading_pulse.c, which measures them. */
#ifndef FRAMEWORK_LOADING_RUN_H
#define FRAMEWORK_LOADING_RUN_H

#include "library/libevent.h"
#include "work/load_progress.h"
#include "work/loading.h"

#include <stddef.h>

/* One run: of load() itself, or of a part. It is kept until the end, to be seen
 * in the state page. */
struct rpd_load {
    struct job job; /* first: the pool's view of it */
    struct loading *loading;
    bool is_root;
    rpd_load_fn load;
    void (*attach)(void *state, void *part);
    void (*discard)(void *part);
    void *arg;
    void *result;
    bool failed;                 /* by rpd_load_fail() */
    char *failure;               /* NULL: there was no memory for it */
    struct rpd_state_part *part; /* its place in the state page, or own_part */
    struct rpd_state_part own_part;
    struct load_meter meter;
    uint64_t *took; /* the metric */
    uint64_t began_us;
    uint64_t cpu_us;     /* its worker's, when last looked at */
    uint64_t stalled_us; /* since it was cancelled for want of progress */
    unsigned retry_s;
    struct event retry;
    TAILQ_ENTRY(rpd_load) link;
    TAILQ_HEAD(added_parts, rpd_load) added; /* by the root's run, until it is done */
};
_Static_assert(offsetof(struct rpd_load, job) == 0, "the one is found by a pointer to the other");

static inline enum rpd_part_state state_of(const struct rpd_load *run)
{
    return (enum rpd_part_state)__atomic_load_n(&run->part->state, __ATOMIC_RELAXED);
}

static inline void set_state(struct rpd_load *run, enum rpd_part_state state)
{
    __atomic_store_n(&run->part->state, (uint32_t)state, __ATOMIC_RELAXED);
}

static inline bool is_optional(const struct rpd_load *run)
{
    return run->part->flags & RPD_PART_OPTIONAL;
}

/* [loop] Does with the run what was declared for a failure. hopeless: its worker does not come
 * back. */
void loading_fail(struct rpd_load *run, const char *cause, bool hopeless);

#endif
