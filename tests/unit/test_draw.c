/* Numbers as people read them, and lines that fit. */
#include "rpdctl/draw.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char *bar(unsigned permille, unsigned width)
{
    static char text[DRAW_BAR_MAX];

    return draw_bar(permille, width, text);
}

static const char *duration(uint64_t ms)
{
    static char text[DRAW_NUMBER_MAX];

    return draw_duration(ms, text);
}

static const char *count(uint64_t number)
{
    static char text[DRAW_NUMBER_MAX];

    return draw_count(number, text);
}

Test(draw, bars)
{
    cr_expect_str_eq(bar(0, 5), "[.....]");
    cr_expect_str_eq(bar(200, 5), "[#....]");
    cr_expect_str_eq(bar(999, 5), "[####.]");
    cr_expect_str_eq(bar(1000, 5), "[#####]");
    cr_expect_str_eq(bar(70000, 5), "[#####]");
    cr_expect_str_eq(bar(1000, 0), "[]");
    cr_expect_eq(strlen(bar(500, 1000)), DRAW_BAR_MAX - 1);
}

Test(draw, durations)
{
    cr_expect_str_eq(duration(999), "0 s");
    cr_expect_str_eq(duration(59999), "59 s");
    cr_expect_str_eq(duration(60000), "1 min 00 s");
    cr_expect_str_eq(duration(3599000), "59 min 59 s");
    cr_expect_str_eq(duration(3600000), "1 h 00 min");
    cr_expect_str_eq(duration(90061000), "1 d 01 h");
    cr_expect_str_eq(duration(UINT64_MAX), "213503982334 d 14 h");
}

Test(draw, counts)
{
    cr_expect_str_eq(count(0), "0");
    cr_expect_str_eq(count(999), "999");
    cr_expect_str_eq(count(1000), "1.00 k");
    cr_expect_str_eq(count(9994), "9.99 k");
    cr_expect_str_eq(count(9996), "10.0 k");
    cr_expect_str_eq(count(99960), "100 k");
    cr_expect_str_eq(count(999499), "999 k");
    cr_expect_str_eq(count(999500), "1.00 M");
    cr_expect_str_eq(count(12345678), "12.3 M");
    cr_expect_str_eq(count(UINT64_MAX), "18.4 E");
}

/* The output for a terminal of this size. */
static const char *screen(const char *text, unsigned rows, unsigned columns)
{
    static char *written;
    size_t size;

    free(written);
    FILE *to = open_memstream(&written, &size);
    draw_screen(text, rows, columns, to);
    fclose(to);
    return written;
}

Test(draw, a_screen_is_cleared_behind_and_below)
{
    cr_expect_str_eq(screen("ab\ncd\n", 24, 80), "\x1b[Hab\x1b[K\r\ncd\x1b[K\r\n\x1b[J");
    cr_expect_str_eq(screen("", 24, 80), "\x1b[H\x1b[J");
    cr_expect_str_eq(screen("ab", 24, 80), "\x1b[Hab\x1b[K\r\n\x1b[J");
    cr_expect_str_eq(screen("\n\n", 24, 80), "\x1b[H\x1b[K\r\n\x1b[K\r\n\x1b[J");
}

Test(draw, lines_are_cut_to_the_columns)
{
    cr_expect_str_eq(screen("abcdef\n", 24, 3), "\x1b[Habc\x1b[K\r\n\x1b[J");
    cr_expect_str_eq(screen("äöüß\n", 24, 3), "\x1b[Häöü\x1b[K\r\n\x1b[J");
    cr_expect_str_eq(screen("abc\n", 24, 3), "\x1b[Habc\x1b[K\r\n\x1b[J");
    cr_expect_str_eq(screen("abc\n", 24, 0), "\x1b[H\x1b[K\r\n\x1b[J");
}

Test(draw, what_has_no_row_is_counted)
{
    cr_expect_str_eq(screen("a\nb\nc\n", 4, 9), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\nc\x1b[K\r\n\x1b[J");
    cr_expect_str_eq(screen("a\nb\nc\n", 3, 9), "\x1b[Ha\x1b[K\r\n(2 more)\x1b[K\r\n\x1b[J");
    cr_expect_str_eq(screen("a\nb\nc\n", 1, 9), "\x1b[H(3 more)\x1b[K\r\n\x1b[J");
}
