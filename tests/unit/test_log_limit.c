/* Lines of one cause: a burst, then a number per second, and the rest is counted. The test sets the
 * time. */
#include "base/log_limit.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

enum { A_SECOND_US = 1000000, START_US = 1000 * A_SECOND_US };

static struct log_limit limit;

static void set(unsigned a_second)
{
    memset(&limit, 0, sizeof limit);
    limit.a_second = a_second;
}

/* How many of the lines in this time are written. */
static unsigned written_of(unsigned count, const char *subject, const char *format,
                           uint64_t from_us, uint64_t time_us)
{
    unsigned written = 0;

    for (unsigned i = 0; i < count; i++)
        written += !log_limit_count(&limit, subject, format, from_us + time_us * i / count);
    return written;
}

Test(log_limit, a_burst_then_ten_a_second)
{
    struct log_cause told;
    unsigned written;

    set(10);
    cr_assert_eq(written_of(10000, "kv", "f", START_US, 1), 50);
    written = written_of(100000, "kv", "f", START_US + 1, 10 * A_SECOND_US);
    cr_assert(written == 99 || written == 100, "%u", written);
    cr_assert(log_limit_take(&limit, START_US + 10 * A_SECOND_US, false, &told));
    cr_assert_eq(told.left_out, 9950 + 100000 - written);
    cr_assert(!log_limit_take(&limit, START_US + 10 * A_SECOND_US, true, &told), "told twice");
}

Test(log_limit, credit_comes_back_and_no_more)
{
    set(10);
    cr_assert_eq(written_of(1000, "kv", "f", START_US, 1), 50);
    cr_assert_eq(written_of(1000, "kv", "f", START_US + 2 * A_SECOND_US, 1), 20);
    cr_assert_eq(written_of(1000, "kv", "f", START_US + 3600ULL * A_SECOND_US, 1), 50);
}

Test(log_limit, causes_are_apart)
{
    set(10);
    cr_assert_eq(written_of(1000, "kv", "f", START_US, 1), 50);
    cr_assert_eq(written_of(1000, "kv", "g", START_US, 1), 50);
    cr_assert_eq(written_of(1000, "web", "f", START_US, 1), 50);
    cr_assert_eq(written_of(1000, NULL, "f", START_US, 1), 50);
    cr_assert_eq(written_of(1000, "k", "vf", START_US, 1), 50,
                 "subject and format are run together");
}

Test(log_limit, the_same_text_elsewhere_is_the_same_cause)
{
    char copy[] = "f";

    set(10);
    cr_assert_eq(written_of(50, "kv", "f", START_US, 1), 50);
    cr_assert_eq(written_of(50, "kv", copy, START_US, 1), 0);
}

/* A count is reported when its cause has been quiet for a second, or has gone on for ten. */
Test(log_limit, when_it_is_told)
{
    struct log_cause told;

    set(10);
    written_of(51, "kv", "f", START_US, 0);
    cr_assert(!log_limit_take(&limit, START_US + A_SECOND_US - 1, false, &told));
    cr_assert(log_limit_take(&limit, START_US + A_SECOND_US, false, &told));
    cr_assert_eq(told.left_out, 1);
    uint64_t now_us = START_US + A_SECOND_US;
    int tellings = 0;
    for (int i = 0; i < 3000; i++, now_us += 10000) {
        log_limit_count(&limit, "kv", "f", now_us);
        tellings += log_limit_take(&limit, now_us, false, &told);
    }
    cr_assert(tellings >= 2 && tellings <= 3, "%d in 30 s", tellings);
}

Test(log_limit, none)
{
    set(0);
    cr_assert_eq(written_of(100000, "kv", "f", START_US, 1), 100000);
}

/* More causes than the table has room for: no line is lost, and the counts are reported. */
Test(log_limit, many_causes)
{
    struct log_cause told;
    char format[16];
    uint64_t written = 0, counted = 0;

    set(10);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(format, sizeof format, "f%u", i);
        written += written_of(60, "kv", format, START_US, 1);
    }
    while (log_limit_take(&limit, START_US, true, &told))
        counted += told.left_out;
    cr_assert_eq(written + counted, 2000 * 60);
    cr_assert_gt(counted, 0);
}
