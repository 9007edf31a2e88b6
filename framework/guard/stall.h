/* The loop's stall: a callback that does not return. A warning reports it after a
 * second or a little more, and the process is ended after a limit, each with
 * service, plugin and stack:
 *
 *   rpd: loop: service echo (/p/echo.so): stood still for 10 s in
 *   nap+0x1f (echo.so) < on_data+0x12 (echo.so); it must not block: use
 *   rpd_job_submit(); ended
 *
 * Progress is a turn of the loop, or any entry into a callback or return from
 * one: a daemon that serves many clients in one long turn has not stalled. Such
 * a turn causes only a warning, with its figures. rpd does not see the entry into
 * events that a plugin adds to the base itself; for them the turn counts.
 *
 * The watchdog's thread checks. Only time in which that thread itself could run
 * counts. A process that was stopped, or a machine that was suspended or
 * starved, has not stalled. */
#ifndef FRAMEWORK_STALL_H
#define FRAMEWORK_STALL_H

#include <stdbool.h>
#include <stdint.h>

/* [loop] The calling thread is the loop's, from now on until stall_end(). */
void stall_begin(int limit_s);
void stall_change(int limit_s); /* [loop] another limit, from now on */
void stall_end(void);

/* [loop] Call much more often than once a second, except while the loop rests. */
void stall_loop_turned(uint64_t now_us);

/* [loop] No operation is in progress. The loop will turn at until_us, or earlier if it is woken;
 * the watchdog must then be notified. Until then, the watchdog checks only once in a while. */
void stall_loop_rests(uint64_t until_us);

/* [watchdog] No code of a plugin has run since the rest began, and the loop is not overdue. */
bool stall_loop_is_resting(void);

/* [watchdog] counted_us: the time since the last call that counts. Returns how long
 * to wait until the next call; 0 if there is nothing to watch. Does not return at
 * the limit. */
int stall_look_ms(uint64_t counted_us);

#endif
