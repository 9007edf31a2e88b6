/* Sizes and durations: which texts are one, which are none, and how they are written. */
#include "base/quantity.h"

#include <criterion/criterion.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define K INT64_C(1024)
#define S INT64_C(1000000)

static const struct {
    enum quantity_kind kind;
    const char *text;
    int64_t value; /* -1: not a quantity */
} rows[] = {
    {QUANTITY_BYTES, "0B", 0},
    {QUANTITY_BYTES, "64M", 64 * K *K},
    {QUANTITY_BYTES, "64MiB", 64 * K *K},
    {QUANTITY_BYTES, "1K", K},
    {QUANTITY_BYTES, "1.5G", 3 * K *K *K / 2},
    {QUANTITY_BYTES, "0.5K", 512},
    {QUANTITY_BYTES, "0.000001T", -1}, /* not a whole number of bytes */
    {QUANTITY_BYTES, "8388607T", 8388607 * K *K *K *K},
    {QUANTITY_BYTES, "8388608T", -1}, /* 2^63 */
    {QUANTITY_BYTES, "99999999999999999999B", -1},
    {QUANTITY_BYTES, "0.1B", -1},
    {QUANTITY_BYTES, "", -1},
    {QUANTITY_BYTES, "64", -1},
    {QUANTITY_BYTES, "M", -1},
    {QUANTITY_BYTES, "64MB", -1},
    {QUANTITY_BYTES, "64m", -1},
    {QUANTITY_BYTES, "64 M", -1},
    {QUANTITY_BYTES, " 64M", -1},
    {QUANTITY_BYTES, "64M ", -1},
    {QUANTITY_BYTES, "-1M", -1},
    {QUANTITY_BYTES, "+1M", -1},
    {QUANTITY_BYTES, "1.M", -1},
    {QUANTITY_BYTES, ".5M", -1},
    {QUANTITY_BYTES, "1.5.5M", -1},
    {QUANTITY_BYTES, "1.0000000M", -1},
    {QUANTITY_BYTES, "1G1M", -1},
    {QUANTITY_BYTES, "0x1M", -1},
    {QUANTITY_BYTES, "1e3M", -1},
    {QUANTITY_BYTES, "1h", -1},
    {QUANTITY_TIME, "250ms", S / 4},
    {QUANTITY_TIME, "90s", 90 * S},
    {QUANTITY_TIME, "1h30m", 5400 * S},
    {QUANTITY_TIME, "1w2d3h4m5s6ms7us", (((7 + 2) * 24 + 3) * 3600 + 4 * 60 + 5) * S + 6007},
    {QUANTITY_TIME, "1.5h", 5400 * S},
    {QUANTITY_TIME, "0s", 0},
    {QUANTITY_TIME, "30m1h", -1},
    {QUANTITY_TIME, "1m1m", -1},
    {QUANTITY_TIME, "1hour", -1},
    {QUANTITY_TIME, "1", -1},
    {QUANTITY_TIME, "1h30", -1},
    {QUANTITY_TIME, "1M", -1},
    {QUANTITY_TIME, "15250285w", -1}, /* more than 2^63 us */
    {QUANTITY_TIME, "15250284w", 15250284 * INT64_C(604800) * S},
    {QUANTITY_TIME, "15250284w6d23h", -1},
    {QUANTITY_TIME, "0.1us", -1},
};

Test(quantity, the_table)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t value = -1;
        const bool is = quantity_read(rows[i].kind, rows[i].text, &value);

        cr_expect_eq(is, rows[i].value >= 0, "\"%s\"", rows[i].text);
        if (is)
            cr_expect_eq(value, rows[i].value, "\"%s\": %lld", rows[i].text, (long long)value);
    }
}

/* The schema accepts everything that rpd accepts. */
Test(quantity, the_pattern_is_no_narrower)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        regex_t pattern;

        if (rows[i].value < 0)
            continue;
        cr_assert_eq(regcomp(&pattern, quantity_pattern(rows[i].kind), REG_EXTENDED | REG_NOSUB),
                     0);
        cr_expect_eq(regexec(&pattern, rows[i].text, 0, NULL, 0), 0, "\"%s\"", rows[i].text);
        regfree(&pattern);
    }
}

Test(quantity, what_is_written_can_be_read)
{
    static const struct {
        enum quantity_kind kind;
        int64_t value;
        const char *text;
    } texts[] = {
        {QUANTITY_BYTES, 0, "0"},          {QUANTITY_BYTES, 64 * K * K, "64M"},
        {QUANTITY_BYTES, 1000, "1000B"},   {QUANTITY_BYTES, INT64_C(1) << 62, "4194304T"},
        {QUANTITY_TIME, 0, "0"},           {QUANTITY_TIME, 5400 * S, "1h30m"},
        {QUANTITY_TIME, 250000, "250ms"},  {QUANTITY_TIME, 86400 * 365 * S, "52w1d"},
        {QUANTITY_TIME, INT64_MAX / 2, 0},
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        char text[QUANTITY_TEXT_MAX];
        int64_t value;

        quantity_text(texts[i].kind, texts[i].value, text);
        if (texts[i].text)
            cr_expect_str_eq(text, texts[i].text);
        if (texts[i].value > 0)
            cr_expect(quantity_read(texts[i].kind, text, &value) && value == texts[i].value, "%s",
                      text);
    }
}

Test(quantity, hints)
{
    static const char *const hints[][3] = {
        {"b", "64MB", "MiB"},  {"b", "64m", "M"},     {"b", "64k", "K"},      {"b", "1gib", "GiB"},
        {"b", "64Mib", "MiB"}, {"t", "250mss", "ms"}, {"t", "90S", "s"},      {"t", "1h30M", "m"},
        {"b", "64", NULL},     {"b", "", NULL},       {"t", "bananas", NULL}, {"t", "1h-", NULL},
    };

    for (size_t i = 0; i < COUNT(hints); i++) {
        char hint[NEAREST_HINT_MAX], wanted[NEAREST_HINT_MAX] = "";

        if (hints[i][2])
            snprintf(wanted, sizeof wanted, "; did you mean \"%s\"?", hints[i][2]);
        quantity_hint(*hints[i][0] == 'b' ? QUANTITY_BYTES : QUANTITY_TIME, hints[i][1], hint);
        cr_expect_str_eq(hint, wanted, "%s: %s", hints[i][1], hint);
    }
}
