/* The watchdog: a thread that ends the process when a step takes too long.
 *
 * It counts its own ticks instead of reading a clock, so that time in which the
 * machine was stopped or starved does not count against the plugin. Two operations
 * can be in progress at once, each with its own count: a step of the start, and
 * the stop. A signal handler arms the stop, because the loop that should carry it
 * out may hang. */
#ifndef FRAMEWORK_WATCHDOG_H
#define FRAMEWORK_WATCHDOG_H

#include "base/error.h"
#include "guard/slow.h"

#include <stdint.h>

enum watchdog_slot { WATCHDOG_START, WATCHDOG_STOP, WATCHDOG_SLOTS };

/* [start] Starts to count, by a timer's signal, because creating a thread would delay
 * the first bind. No foreign code that could block the signal runs yet. */
void watchdog_begin(void);

/* [start] Creates the thread, which counts from here on. */
int watchdog_create(struct error *error);

/* [start][loop] Sets the line that a slot writes if its time is up: "step: object:
 * cause". The strings must outlive it. */
void watchdog_describe(enum watchdog_slot slot, enum exit_code code, const char *step,
                       const char *object, const char *cause);

/* [any], async-signal-safe. After that time, the watchdog removes residue, writes the
 * slot's line, and ends the process with the slot's code. */
void watchdog_arm(enum watchdog_slot slot, int milliseconds);
void watchdog_disarm(enum watchdog_slot slot);

/* [any], async-signal-safe. Disarms all slots, because the process is ending. */
void watchdog_stand_down(void);

/* [any] Removes residue and ends the process, both on the watchdog's own thread. For
 * a thread that may not unlink. The watchdog's thread must exist. */
_Noreturn void watchdog_end_process(enum exit_code code);

/* [any] How long, so far, this process has not run although it should have: because it
 * was stopped by SIGSTOP, suspended, or starved. Measured while the watchdog counts. */
uint64_t watchdog_lost_us(void);

/* [loop] Call while the loop runs and no stop is in progress. After stall_s in one callback, the
 * process ends with 70; a callback that takes slow_ms is reported. 0: never. */
void watchdog_watch_loop(int stall_s, int slow_ms, slow_report_fn report, void *arg);
void watchdog_leave_loop(void);

/* [loop] Other limits hold from now on. */
void watchdog_change_limits(int stall_s, int slow_ms);

/* [loop] The rest of the loop is over (stall_loop_rests()). */
void watchdog_loop_goes_on(void);

/* [start] Ends the counting. Legal at any time. */
void watchdog_destroy(void);

#endif
