/* The loop's stall: a callback that does not return. It is told by a warning
 * after a second, and the process is ended after a limit, each with service,
 * plugin and stack:
 *
 *   rpd: loop: service echo (/p/echo.so): stood still for 10 s in
 *   nap+0x1f (echo.so) < on_data+0x12 (echo.so); it must not block: use
 *   rpd_job_submit(); ended
 *
 * The watchdog's thread looks; only time in which that thread itself could run
 * counts. A process that was stopped, or a machine that was suspended or
 * starved, has not stalled. */
#ifndef FRAMEWORK_STALL_H
#define FRAMEWORK_STALL_H

#include <stdint.h>

/* [loop] The thread that calls is the loop's, from now on and until the end. */
void stall_begin(int limit_s);
void stall_end(void);

/* [loop] From time to time, and much more often than once a second. */
void stall_loop_turned(uint64_t now_us);

/* [watchdog] counted_us: time that has passed since the last call, and counts.
 * Returns how long to wait until the next; 0 when nothing is to be watched. Does
 * not return at the limit. */
int stall_look_ms(uint64_t counted_us);

#endif
