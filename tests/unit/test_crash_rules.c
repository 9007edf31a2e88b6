/* The reaction to the end of a runner. */
#include "keeper/crash_rules.h"

#include <criterion/criterion.h>

enum { SECOND_US = 1000000 };

Test(crash_rules, what_is_a_crash)
{
    static const int final[] = {0, 64, 65, 66, 69, 73, 75, 76, 77, 78};

    for (size_t i = 0; i < sizeof final / sizeof *final; i++) {
        cr_assert_not(crash_rules_is_crash(final[i], false, true), "%d", final[i]);
        /* A plugin's _exit() can have any code. */
        cr_assert(crash_rules_is_crash(final[i], false, false), "%d", final[i]);
    }
    cr_assert(crash_rules_is_crash(70, false, true));
    cr_assert(crash_rules_is_crash(71, false, true));
    cr_assert(crash_rules_is_crash(128 + 9, true, false));
    cr_assert(crash_rules_is_crash(128 + 11, true, true));
}

Test(crash_rules, before_ready_the_pause_grows)
{
    static const unsigned pauses_s[] = {0, 0, 1, 2, 4, 8, 16, 32, 60, 60};
    struct crash_rules rules = {0};
    uint64_t now_us = SECOND_US;
    bool is_loop;

    for (size_t i = 0; i < sizeof pauses_s / sizeof *pauses_s; i++) {
        const uint64_t next_us = crash_rules_next_us(&rules, false, now_us, &is_loop);

        cr_assert_eq(next_us, now_us + pauses_s[i] * (uint64_t)SECOND_US, "crash %zu", i + 1);
        cr_assert_eq(is_loop, pauses_s[i] == 60, "crash %zu", i + 1);
        now_us = next_us + 1000;
    }
    /* A runner that was ready starts the count again. */
    cr_assert_eq(crash_rules_next_us(&rules, true, now_us, &is_loop), now_us);
    cr_assert_not(is_loop);
    cr_assert_eq(crash_rules_next_us(&rules, false, now_us, &is_loop), now_us);
}

Test(crash_rules, after_ready_ten_a_second_behind_a_burst_of_twenty)
{
    struct crash_rules rules = {0};
    const uint64_t begun_us = SECOND_US;
    bool is_loop;

    for (int i = 0; i < 20; i++)
        cr_assert_eq(crash_rules_next_us(&rules, true, begun_us, &is_loop), begun_us, "%d", i);
    for (uint64_t i = 1; i <= 10; i++)
        cr_assert_eq(crash_rules_next_us(&rules, true, begun_us, &is_loop),
                     begun_us + i * SECOND_US / 10, "%lu", (unsigned long)i);
    /* Four seconds later all of the allowance is back. */
    cr_assert_eq(crash_rules_next_us(&rules, true, begun_us + 4 * (uint64_t)SECOND_US, &is_loop),
                 begun_us + 4 * (uint64_t)SECOND_US);
    cr_assert_not(is_loop);
}
