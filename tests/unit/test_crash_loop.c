/* When a service that fails repeatedly is no longer restarted, and for how long. */
#include "observe/crash_loop.h"

#include <criterion/criterion.h>

#define BOUND(at, who)                                                                             \
    {                                                                                              \
        .time_ms = (at), .pid = (who), .start_time = 1                                             \
    }
#define ENDED(at, who, why)                                                                        \
    {                                                                                              \
        .time_ms = (at), .pid = (who), .start_time = 1, .ended = true, .code = (why)               \
    }
#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { T = 1000000000 };

Test(crash_loop, nothing_has_happened)
{
    const struct crash_loop loop = crash_loop_judge(NULL, 0, T, 0);

    cr_expect_eq(loop.failures, 0);
    cr_expect_eq(loop.left_ms, 0);
}

/* The state after n failures in a row, the last one now. */
static struct crash_loop after(unsigned failures)
{
    static struct history_entry entries[32];

    for (unsigned i = 0; i < failures; i++)
        entries[i] = (struct history_entry)ENDED(T - 1000 * (failures - 1 - i), (pid_t)(100 + i),
                                                 71);
    return crash_loop_judge(entries, failures, T, 0);
}

Test(crash_loop, pause_grows)
{
    static const uint64_t pauses_s[] = {0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60};

    for (unsigned n = 0; n < COUNT(pauses_s); n++) {
        cr_expect_eq(after(n).failures, n);
        cr_expect_eq(after(n).left_ms, 1000 * pauses_s[n], "after %u: %llu ms", n,
                     (unsigned long long)after(n).left_ms);
    }
}

Test(crash_loop, pause_passes)
{
    const struct history_entry entries[] = {ENDED(T - 900, 1, 70), ENDED(T - 700, 2, 139),
                                            ENDED(T - 400, 3, 69)};

    cr_expect_eq(crash_loop_judge(entries, 3, T, 0).left_ms, 600);
    cr_expect_eq(crash_loop_judge(entries, 3, T + 599, 0).left_ms, 1);
    cr_expect_eq(crash_loop_judge(entries, 3, T + 600, 0).left_ms, 0);
    cr_expect_eq(crash_loop_judge(entries, 3, T + 600, 0).failures, 3);
}

Test(crash_loop, a_good_end_or_a_long_run_ends_it)
{
    const struct history_entry stopped[] = {ENDED(T - 500, 1, 71), ENDED(T - 400, 2, 71),
                                            ENDED(T - 300, 3, 71), ENDED(T - 200, 4, 0),
                                            ENDED(T - 100, 5, 71)};
    const struct history_entry ran[] = {ENDED(T - 100500, 1, 71), ENDED(T - 100400, 2, 71),
                                        BOUND(T - 100000, 3), ENDED(T - 100, 3, 139)};

    cr_expect_eq(crash_loop_judge(stopped, COUNT(stopped), T, 0).failures, 1);
    cr_expect_eq(crash_loop_judge(ran, COUNT(ran), T, 0).failures, 0);
}

Test(crash_loop, a_short_run_is_part_of_it)
{
    const struct history_entry entries[] = {BOUND(T - 5000, 1), ENDED(T - 4000, 1, 139),
                                            BOUND(T - 3000, 2), ENDED(T - 2000, 2, 139),
                                            BOUND(T - 1000, 3), ENDED(T - 500, 3, 69)};

    cr_expect_eq(crash_loop_judge(entries, COUNT(entries), T, 0).failures, 3);
    cr_expect_eq(crash_loop_judge(entries, COUNT(entries), T, 0).left_ms, 500);
}

Test(crash_loop, already_running_is_no_failure)
{
    const struct history_entry entries[] = {ENDED(T - 500, 1, 75), ENDED(T - 400, 2, 71),
                                            ENDED(T - 300, 3, 75), ENDED(T - 200, 4, 75)};

    cr_expect_eq(crash_loop_judge(entries, COUNT(entries), T, 0).failures, 1);
}

Test(crash_loop, what_was_before_a_change_does_not_count)
{
    const struct history_entry entries[] = {ENDED(T - 500, 1, 71), ENDED(T - 400, 2, 71),
                                            ENDED(T - 300, 3, 71)};

    cr_expect_eq(crash_loop_judge(entries, 3, T, T - 300).failures, 1);
    cr_expect_eq(crash_loop_judge(entries, 3, T, T - 299).failures, 0);
    cr_expect_eq(crash_loop_judge(entries, 3, T, T - 299).left_ms, 0);
}

Test(crash_loop, old_failures_are_forgotten)
{
    const struct history_entry entries[] = {ENDED(T - 1300000, 1, 71), ENDED(T - 600001, 2, 71),
                                            ENDED(T - 100, 3, 71)};

    cr_expect_eq(crash_loop_judge(entries, 3, T, 0).failures, 2);
    cr_expect_eq(crash_loop_judge(entries, 3, T + 700000, 0).failures, 0);
}

Test(crash_loop, a_clock_that_was_put_back_keeps_nobody_out)
{
    const struct history_entry entries[] = {ENDED(T + 500000, 1, 71), ENDED(T + 500001, 2, 71),
                                            ENDED(T + 500002, 3, 71)};

    cr_expect_eq(crash_loop_judge(entries, 3, T, 0).left_ms, 0);
}
