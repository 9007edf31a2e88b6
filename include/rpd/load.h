/* The third part of the contract: load. It creates the state on worker
 * threads, while clients are already connected.
 *
 * A small backend's load does everything and returns the state. A larger one
 * may find out how much there is to do, return an empty state, and leave the
 * rest to parts, which load in parallel:
 *
 *     load ──► state ──► on the loop ──┬─ part ─► attach ─┐
 *     [worker]                         ├─ part ─► attach ─┼─► READY
 *                                      └─ part ─► attach ─┘
 *                                       [worker]   [loop]
 *
 * What a load or part creates belongs to it alone until it returns; then it
 * belongs to the loop. Nothing is shared in between, so nothing needs a lock. */
#ifndef RPD_LOAD_H
#define RPD_LOAD_H

#include <rpd/base.h>

RPD_BEGIN

/* The outcome of a part, for on_part of the descriptor. */
enum rpd_part_outcome {
    RPD_PART_IS_ATTACHED,
    RPD_PART_IS_TRIED_AGAIN, /* it failed, and runs again after a pause */
    RPD_PART_IS_MISSING      /* it failed: the service continues without it, or the process ends */
};

/* One run of load or of a part. rpd owns it; it is valid until the function
 * that was given it returns. */
struct rpd_load;

/* [worker] Returns what was loaded, which is not NULL; or NULL after
 * rpd_load_fail(), or when it was cancelled. May take minutes and may block. */
typedef void *(*rpd_load_fn)(struct rpd_load *load);

/* This struct is passed without its size, so it never grows: another function would add parts that
 * can do more. See RPD_ABI. */
struct rpd_load_part {
    const char *name;                        /* copied; for messages */
    rpd_load_fn load;                        /* [worker] */
    void (*attach)(void *state, void *part); /* [loop] puts the part into the state; short */
    void (*discard)(void *part);             /* [worker] frees a part that was never attached */
    void *arg;                               /* rpd_load_arg(); lives as long as the state */
    bool optional;                           /* READY does not wait for it */
};

/* [worker] Adds a part, from within load. Parts start in this order when load has returned its
 * state and the loop has it; each is attached as soon as it is loaded. The service is READY when
 * all parts that are not optional are attached. If a part fails, and on_load_failure says so, rpd
 * tries that part alone again: its load runs again, the other parts stay. An optional part never
 * ends the process. Returns 0, or -1 if out of memory, or if this is not the run of load itself. */
RPD_API int rpd_load_add_part(struct rpd_load *load,
                              const struct rpd_load_part *part) RPD_MUST_CHECK;

/* [worker] The part's arg; NULL in load itself. */
RPD_API void *rpd_load_arg(const struct rpd_load *load);

/* [worker] Reports how far this run has come: done of total, in units ("keys", "MB"). total 0:
 * unknown so far. unit: at most 15 bytes are shown. Costs a few stores; call it as often as you
 * like. The state page, the log and systemd show it, with a rate and the time that is left. A run
 * whose numbers do not change for no_progress_s (300 s, unless configured) counts as failed; for a
 * run that has never called this, rpd looks at its use of the processor instead. */
RPD_API void rpd_load_progress(struct rpd_load *load, uint64_t done, uint64_t total,
                               const char *unit);

/* [worker] The daemon stops, or has given this run up: return NULL soon. A load that checks this
 * every few milliseconds lets the daemon stop at once. */
RPD_API bool rpd_load_cancelled(const struct rpd_load *load);

/* [worker] Waits without using the processor. False, at once, when the load is
 * cancelled. */
RPD_API bool rpd_load_wait(struct rpd_load *load, unsigned milliseconds);

/* [worker] Reports why the load failed, in one line: what, where, what to do. Returns NULL, for
 * `return rpd_load_fail(load, ...)`. */
RPD_API void *rpd_load_fail(struct rpd_load *load, const char *format, ...) RPD_PRINTF(2, 3);

/* [worker] The service of the load, for options and the log. */
RPD_API const struct rpd_service *rpd_load_service(const struct rpd_load *load);

RPD_END
#endif
