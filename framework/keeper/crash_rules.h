/* What follows from the end of a runner: whether it was a crash, and when the next runner starts.
 *
 *   crash         death by a signal, 70, 71; any code that rpd has not given itself
 *   the end       all other codes: the keeper ends with them
 *   next start    at once, or after a pause. After the third crash in a row before READY, the next
 *                 runner starts a second later; after each further one the pause is twice as long,
 *                 up to a minute, as in rpdctl ensure. After runners that were READY, at most 10
 *                 runners start a second, after a burst of 20.
 *
 * These are pure functions: the caller has the clock. */
#ifndef FRAMEWORK_CRASH_RULES_H
#define FRAMEWORK_CRASH_RULES_H

#include <stdbool.h>
#include <stdint.h>

struct crash_rules {
    unsigned in_a_row; /* crashes before READY */
    unsigned pause_s;  /* the last pause */
    uint64_t free_us;  /* when the whole burst is free again */
};

/* was_told: rpd itself reported this code as the last thing before its end. */
bool crash_rules_is_crash(int exit_code, bool was_killed, bool was_told);

/* Notes that a runner has crashed now. Returns when the next runner may start; *ret_is_loop: the
 * pause has reached its maximum. */
uint64_t crash_rules_next_us(struct crash_rules *rules, bool was_ready, uint64_t now_us,
                             bool *ret_is_loop);

#endif
