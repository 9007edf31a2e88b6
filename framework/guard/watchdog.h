/* The watchdog: a thread that ends the process when a step takes too long.
 *
 * It counts its own ticks rather than looking at a clock, so that a machine
 * that was stopped or starved does not count against the plugin. Two things
 * can be under way at once, each with its own count: a step of the start, and
 * the stop. The stop is armed from a signal handler, since the loop that
 * should carry it out may be what hangs. */
#ifndef FRAMEWORK_WATCHDOG_H
#define FRAMEWORK_WATCHDOG_H

#include "base/error.h"
#include "guard/slow.h"

#include <stdint.h>

enum watchdog_slot { WATCHDOG_START, WATCHDOG_STOP, WATCHDOG_SLOTS };

/* [start] Counts from here on: by a timer's signal, as a thread would delay the
 * first bind. No foreign code runs yet that could block the signal. */
void watchdog_begin(void);

/* [start] Makes the thread, which counts from here on. */
int watchdog_create(struct error *error);

/* [start][loop] What a slot says if its time is up: "step: object: cause". The
 * strings outlive it. */
void watchdog_describe(enum watchdog_slot slot, enum exit_code code, const char *step,
                       const char *object, const char *cause);

/* [any], async-signal-safe. Past that time residue is removed, the slot's line
 * is written, and the process ends with its code. */
void watchdog_arm(enum watchdog_slot slot, int milliseconds);
void watchdog_disarm(enum watchdog_slot slot);

/* [any], async-signal-safe. Disarms all: the end is under way. */
void watchdog_stand_down(void);

/* [any] Ends the process from the watchdog's own thread, residue removed: for a
 * thread that may not unlink. There must be a thread. */
_Noreturn void watchdog_end_process(enum exit_code code);

/* [any] How long, so far, this process has not run though it was meant to: stopped by
 * SIGSTOP, suspended, or starved; while the watchdog counts. */
uint64_t watchdog_lost_us(void);

/* [loop] While the loop runs and no stop is under way: past that time in one
 * callback the process ends (70); a callback that takes slow_ms is reported. 0: never. */
void watchdog_watch_loop(int stall_s, int slow_ms, slow_report_fn report, void *arg);
void watchdog_leave_loop(void);

/* [loop] The rest of the loop is over (stall_loop_rests()). */
void watchdog_loop_goes_on(void);

/* [start] Ends the counting. Legal at any time. */
void watchdog_destroy(void);

#endif
