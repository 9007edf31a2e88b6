/* The rules of crashes. See crash_rules.h. */
#include "keeper/crash_rules.h"

#include "base/backoff.h"
#include "base/error.h"

enum {
    FREE_CRASHES = 2,
    LONGEST_S = 60,
    START_US = 100000, /* what a start of the burst costs */
    BURST = 20
};

bool crash_rules_is_crash(int exit_code, bool was_killed, bool was_told)
{
    return was_killed || !was_told || exit_code == EXIT_INTERNAL || exit_code == EXIT_SYSTEM;
}

static uint64_t after_burst_us(struct crash_rules *rules, uint64_t now_us)
{
    const uint64_t burst_us = (uint64_t)BURST * START_US;
    uint64_t start_us = now_us;

    if (rules->free_us < now_us)
        rules->free_us = now_us;
    rules->free_us += START_US;
    if (rules->free_us > now_us + burst_us)
        start_us = rules->free_us - burst_us;
    return start_us;
}

uint64_t crash_rules_next_us(struct crash_rules *rules, bool was_ready, uint64_t now_us,
                             bool *ret_is_loop)
{
    *ret_is_loop = false;
    if (was_ready) {
        rules->in_a_row = rules->pause_s = 0;
        return after_burst_us(rules, now_us);
    }
    if (++rules->in_a_row <= FREE_CRASHES)
        return after_burst_us(rules, now_us);
    rules->pause_s = backoff_s(rules->pause_s);
    *ret_is_loop = rules->pause_s >= LONGEST_S;
    return now_us + rules->pause_s * UINT64_C(1000000);
}
