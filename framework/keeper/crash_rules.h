/* What follows from the end of a runner: whether it was a crash, and when the next runner starts.
 *
 *   crash         death by a signal, 70, 71; any code that rpd has not given itself
 *   the end       all other codes: the keeper ends with them
 *   next start    at once. Of crashes before READY in a row, the third waits a second, then twice
 * as long each time, up to a minute, as rpdctl ensure does. Of runners that were READY, at most 10
 * start a second, after a burst of 20.
 *
 * Pure functions: the caller has the clock. */
#ifndef FRAMEWORK_CRASH_RULES_H
#define FRAMEWORK_CRASH_RULES_H

#include <stdbool.h>
#include <stdint.h>

struct crash_rules {
    unsigned in_a_row; /* crashes before READY */
    unsigned pause_s;  /* the last pause */
    uint64_t free_us;  /* when all of the burst is free again */
};

/* was_told: rpd itself has said this code, as its last word. */
bool crash_rules_is_crash(int exit_code, bool was_killed, bool was_told);

/* A runner has crashed now. Returns when the next may start; *ret_is_loop: the pause has reached
 * its longest. */
uint64_t crash_rules_next_us(struct crash_rules *rules, bool was_ready, uint64_t now_us,
                             bool *ret_is_loop);

#endif
