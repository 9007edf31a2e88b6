/* The context of foreign code: the plugin, its service, and the callback that a thread is in.
 * It is set around each call into a plugin, and costs a few stores. The code that reports a
 * crash, a hang, an exit or a misuse reads it. */
#ifndef FRAMEWORK_FOREIGN_H
#define FRAMEWORK_FOREIGN_H

#include "base/probe.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any function, as an address; NULL: code that is no callback (constructors). */
typedef void (*foreign_code)(void);

/* What the line reports about a thread. Other threads may read it, too, to name a thread
 * that does not answer. initial-exec: a signal handler that reads it must not call the
 * loader, which may allocate. */
struct foreign_context {
    /* Of the callback that runs, else of the last one: */
    _Atomic(const char *) service;
    _Atomic(const char *) plugin;
    _Atomic(foreign_code) callback;
    /* How many callbacks the thread is in and, in the bits above, how often it has entered
     * or left one. From this, the watchdog recognises progress. */
    _Atomic uint64_t calls;
    /* Of the loop's: when that callback began; 0: not known. */
    _Atomic uint64_t began_us;
    _Atomic unsigned attention; /* enum foreign_attention: something is to be done after it */
    const char *thread;
    bool is_loop;
    bool is_forked; /* this thread is the only one of a forked child; then it is not the loop's */
};

enum foreign_attention { FOREIGN_ATTENTION_FORKED = 1, FOREIGN_ATTENTION_SLOW = 2 };

#define FOREIGN_CROSSING (UINT64_C(1) << 32)

extern __thread struct foreign_context foreign_context_
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The owner of the code that is called. The strings outlive the process's last line. */
struct foreign_owner {
    const char *service, *plugin;
};

/* The owner of the code that a thread is in. */
struct foreign_place {
    const char *service, *plugin; /* NULL: in no callback of a plugin */
    foreign_code callback;
};

/* [any], async-signal-safe. For the calling thread; for any live thread. */
const struct foreign_context *foreign_here(void);
struct foreign_place foreign_place_of(const struct foreign_context *context);

/* [any] For that thread: the callback that runs, or else the last one. */
struct foreign_place foreign_last_place_of(const struct foreign_context *context);

/* [any] How often that thread has entered or left a callback. Wraps around. */
static inline uint32_t foreign_crossings_of(const struct foreign_context *context)
{
    return (uint32_t)(atomic_load_explicit(&context->calls, memory_order_relaxed) >> 32);
}

/* [any] How many callbacks that thread is in. */
static inline uint32_t foreign_depth_of(const struct foreign_context *context)
{
    return (uint32_t)atomic_load_explicit(&context->calls, memory_order_relaxed);
}

/* [any] When the callback of that thread began. */
static inline uint64_t foreign_began_us_of(const struct foreign_context *context)
{
    return atomic_load_explicit(&context->began_us, memory_order_relaxed);
}

/* [loop] The same for the calling thread. It is set before foreign_enter(), and restored after
 * foreign_leave(). */
static inline uint64_t foreign_began_us(void)
{
    return foreign_began_us_of(&foreign_context_);
}

static inline void foreign_set_began_us(uint64_t began_us)
{
    atomic_store_explicit(&foreign_context_.began_us, began_us, memory_order_relaxed);
}

/* [loop] The context of the calling thread, for code that writes to it. */
static inline struct foreign_context *foreign_own_context(void)
{
    return &foreign_context_;
}

/* [start] Marks the calling thread as the loop's. */
void foreign_thread_is_loop(void);

/* [any] Call in a child that this thread has just forked. */
void foreign_thread_is_forked(void);

/* [any] The name of a callback, for a message: "on_data". */
const char *foreign_callback_name(foreign_code callback, char *room, size_t size);

/* [any] Around each call of a plugin's code. Calls may nest; within one call all are of the same
 * service. */
static inline void foreign_enter(struct foreign_owner owner, foreign_code callback)
{
    struct foreign_context *here = &foreign_context_;
    const uint64_t calls = atomic_load_explicit(&here->calls, memory_order_relaxed);

    PROBE3(callback, owner.service, owner.plugin, callback);
    atomic_store_explicit(&here->service, owner.service, memory_order_relaxed);
    atomic_store_explicit(&here->plugin, owner.plugin, memory_order_relaxed);
    atomic_store_explicit(&here->callback, callback, memory_order_relaxed);
    atomic_store_explicit(&here->calls, calls + FOREIGN_CROSSING + 1, memory_order_relaxed);
}

/* [any] A forked child that returns from a callback must not continue as a second daemon. In
 * forked.c. */
_Noreturn void foreign_leave_forked(void);

/* [loop] A slow callback may be coming back. In slow.c. */
void foreign_leave_slow(void);

static inline void foreign_attend(unsigned attention)
{
    if (attention & FOREIGN_ATTENTION_FORKED)
        foreign_leave_forked();
    foreign_leave_slow();
}

static inline void foreign_leave(void)
{
    struct foreign_context *here = &foreign_context_;
    const uint64_t calls = atomic_load_explicit(&here->calls, memory_order_relaxed);

    PROBE(callback_done);
    atomic_store_explicit(&here->calls, calls + FOREIGN_CROSSING - 1, memory_order_relaxed);
    if (atomic_load_explicit(&here->attention, memory_order_relaxed))
        foreign_attend(atomic_load_explicit(&here->attention, memory_order_relaxed));
}

#endif
