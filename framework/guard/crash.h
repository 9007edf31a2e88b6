/* What happens when the process ends against rpd's will: a crash, or a plugin
 * that calls exit(). Each is told in one line on stderr, written by one
 * write(2), that names the step, the plugin and the function:
 *
 *   rpd: crash: SIGSEGV at address 0x0 in on_data+0x1f (echo.so), step serve,
 *   service echo (plugin /p/echo.so), thread loop; backtrace: f1 < f2 < f3
 *
 * Invariants: after the line the process dies of that same signal, so that
 * the wait status is true and a core can be had; nothing is cleaned up, for
 * that is the next start's work. Whatever goes wrong while the line is made,
 * a second fault or a hang, the process still dies, of that signal. The line
 * holds names and addresses, never contents (FAULTS S17).
 *
 * Sanitizer builds use the same handlers: wait status and line are then the
 * same in each build. AddressSanitizer's reports of bad accesses do not come
 * from signals and are not touched; its own report of a plain SIGSEGV gives
 * way to our line. */
#ifndef FRAMEWORK_CRASH_H
#define FRAMEWORK_CRASH_H

#include "base/probe.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any function, as an address; NULL: code that is no callback (constructors). */
typedef void (*crash_code)(void);

/* What the line says of a thread. Other threads may read it, too: one that does
 * not answer is named by it. initial-exec: to read it in a signal handler must
 * not call the loader, which may allocate. */
struct crash_context {
    /* Of the callback that runs, else of the last one: */
    _Atomic(const char *) service;
    _Atomic(const char *) plugin;
    _Atomic(crash_code) callback;
    /* How many callbacks the thread is in, and above that how often it has entered or left
     * one: by which the watchdog sees that it gets on. */
    _Atomic uint64_t calls;
    /* Of the loop's: when that callback began; 0: not known. */
    _Atomic uint64_t began_us;
    _Atomic unsigned attention; /* enum crash_attention: something is to be done after it */
    const char *thread;
    bool is_loop;
    bool is_forked; /* this thread is the only one of a forked child; then it is not the loop's */
};

enum crash_attention { CRASH_ATTENTION_FORKED = 1, CRASH_ATTENTION_SLOW = 2 };

#define CRASH_CROSSING (UINT64_C(1) << 32)

extern __thread struct crash_context crash_context_
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Whose code a thread is in. */
struct crash_place {
    const char *service, *plugin; /* NULL: in no callback of a plugin */
    crash_code callback;
};

/* [any], async-signal-safe. Of the thread that calls; of any that lives. */
const struct crash_context *crash_context_here(void);
struct crash_place crash_place_of(const struct crash_context *context);

/* [any] Of that thread, the callback that runs, or else the last one. */
struct crash_place crash_last_place_of(const struct crash_context *context);

/* [any] How often that thread has entered or left a callback. Wraps around. */
static inline uint32_t crash_crossings_of(const struct crash_context *context)
{
    return (uint32_t)(atomic_load_explicit(&context->calls, memory_order_relaxed) >> 32);
}

/* [any] How many callbacks that thread is in. */
static inline uint32_t crash_depth_of(const struct crash_context *context)
{
    return (uint32_t)atomic_load_explicit(&context->calls, memory_order_relaxed);
}

/* [any] When the callback of that thread began. */
static inline uint64_t crash_began_us_of(const struct crash_context *context)
{
    return atomic_load_explicit(&context->began_us, memory_order_relaxed);
}

/* [loop] The same of this thread. It is said before crash_enter(), and put back after
 * crash_leave(). */
static inline uint64_t crash_began_us(void)
{
    return crash_began_us_of(&crash_context_);
}

static inline void crash_set_began_us(uint64_t began_us)
{
    atomic_store_explicit(&crash_context_.began_us, began_us, memory_order_relaxed);
}

/* [loop] That of this thread, for those who may write to it. */
static inline struct crash_context *crash_own_context(void)
{
    return &crash_context_;
}

/* [start] Installs the handlers, for SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT,
 * SIGSYS and SIGTRAP. Early in main(), and again after dlopen: a constructor
 * may have put others in their place. */
void crash_install(void);

/* [start] A SIGSYS that take says was its own is no crash. take is
 * async-signal-safe. */
void crash_except_sigsys(bool (*take)(siginfo_t *info, void *context));

/* [start] The same of a SIGBUS. */
void crash_except_sigbus(bool (*take)(siginfo_t *info, void *context));

/* [start] Loads what a backtrace needs, which takes some 200 us: after bind.
 * Until then a line names only the place of the crash itself. */
void crash_prepare_backtrace(void);

/* [any] First and last on each thread, main() included. Gives the thread a
 * stack for the handlers, so that a stack overflow can be told, too. Without
 * memory for one the thread goes on without. thread_name: a literal. */
void crash_thread_begin(const char *thread_name);
void crash_thread_end(void);

/* [start] The thread that calls is the loop's. */
void crash_thread_is_loop(void);

/* [any], in a child that this thread has just forked. */
void crash_thread_is_forked(void);

/* [any] The name of a callback, for a message: "on_data". */
const char *crash_callback_name(crash_code callback, char *room, size_t size);

/* [start][loop] Where the process is, as a literal: "code", "serve". */
void crash_set_step(const char *literal);

/* [any] Around each call of a plugin's code. The strings outlive the process's last line.
 * Calls may nest; within one call all are of the same service. */
static inline void crash_enter(const char *service, const char *plugin, crash_code callback)
{
    struct crash_context *here = &crash_context_;
    const uint64_t calls = atomic_load_explicit(&here->calls, memory_order_relaxed);

    PROBE3(callback, service, plugin, callback);
    atomic_store_explicit(&here->service, service, memory_order_relaxed);
    atomic_store_explicit(&here->plugin, plugin, memory_order_relaxed);
    atomic_store_explicit(&here->callback, callback, memory_order_relaxed);
    atomic_store_explicit(&here->calls, calls + CRASH_CROSSING + 1, memory_order_relaxed);
}

/* [any] A forked child comes back from a callback: it must not go on as a second daemon. In
 * forked.c. */
_Noreturn void crash_leave_forked(void);

/* [loop] A slow callback may be coming back. In slow.c. */
void crash_leave_slow(void);

static inline void crash_attend(unsigned attention)
{
    if (attention & CRASH_ATTENTION_FORKED)
        crash_leave_forked();
    crash_leave_slow();
}

static inline void crash_leave(void)
{
    struct crash_context *here = &crash_context_;
    const uint64_t calls = atomic_load_explicit(&here->calls, memory_order_relaxed);

    PROBE(callback_done);
    atomic_store_explicit(&here->calls, calls + CRASH_CROSSING - 1, memory_order_relaxed);
    if (atomic_load_explicit(&here->attention, memory_order_relaxed))
        crash_attend(atomic_load_explicit(&here->attention, memory_order_relaxed));
}

/* [start] From now on exit(), on whichever thread, prints a line, calls
 * cleanup on that thread, and ends the process with 70. A child that a plugin
 * has forked may exit as it likes. Call once. (_exit cannot be caught.) */
void crash_guard_exit(void (*cleanup)(void));

/* [start] The daemon is about to return from main(). */
void crash_allow_exit(void);

#endif
