/* How readers parse a record: it may contain any bytes. */
#include "observe/record_view.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int parse(const char *text, struct record_view *ret)
{
    return record_view_parse(text, strlen(text), ret);
}

static const char whole[] =
    "{\n \"version\": 1, \"service\": \"x\", \"pid\": 42, \"start_time\": 12345678901234,\n"
    " \"boot_id\": \"b\", \"endpoints\": [\"unix:/a b\", \"tcp:[::1]:1\"], \"plugin\": "
    "\"/p\\u00e4.so\",\n"
    " \"config\": null, \"control\": \"/run/\\\"c\\\"\", \"later\": {\"a\": [1, {\"b\": true}], "
    "\"c\": -1.5e9},\n"
    " \"config_digest\": \"00ff\"}\n";

Test(record_view, says_what_stands_there)
{
    struct record_view view;

    cr_assert_eq(parse(whole, &view), 0);
    cr_expect_eq(view.pid, 42);
    cr_expect_eq(view.start_time, 12345678901234ull);
    cr_expect_str_eq(view.service, "x");
    cr_expect_str_eq(view.boot_id, "b");
    cr_expect_str_eq(view.plugin, "/pä.so");
    cr_expect_null(view.config);
    cr_expect_str_eq(view.control, "/run/\"c\"");
    cr_expect_str_eq(view.config_digest, "00ff");
    cr_assert_eq(view.endpoint_count, 2);
    cr_expect_str_eq(view.endpoints[0], "unix:/a b");
    cr_expect_str_eq(view.endpoints[1], "tcp:[::1]:1");
    record_view_finish(&view);
}

/* A copy of the exact size, so that a sanitizer sees a read beyond the end. */
static int parse_copy(const char *text, size_t size)
{
    struct record_view view;
    char *copy = malloc(size ? size : 1);

    memcpy(copy, text, size);
    const int failed = record_view_parse(copy, size, &view);
    record_view_finish(&view);
    free(copy);
    return failed;
}

Test(record_view, no_part_of_a_record_is_one)
{
    for (size_t size = 0; size < strlen(whole) - 1; size++)
        cr_expect_eq(parse_copy(whole, size), -1, "%zu bytes", size);
}

Test(record_view, survives_any_changed_byte)
{
    static const char bytes[] = "\0\"\\{}[]:,u\x01\xff";

    for (size_t at = 0; at < strlen(whole); at++)
        for (size_t b = 0; b < sizeof bytes; b++) {
            char *copy = strdup(whole);

            copy[at] = bytes[b];
            parse_copy(copy, strlen(whole));
            free(copy);
        }
}

Test(record_view, refuses_what_is_no_record)
{
    static const char *const texts[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"pid\": 0}",
        "{\"pid\": -5}",
        "{\"pid\": 1} x",
        "{\"pid\": 1,}",
        "{\"pid\" 1}",
        "{pid: 1}",
        "{\"pid\": 1, \"service\": \"\n\"}",
        "{\"pid\": 1, \"service\": \"\\x\"}",
        "{\"pid\": 1, \"service\": \"\\u0000\"}",
        "{\"pid\": 1, \"service\": \"\\ud800\"}",
        "{\"pid\": 1, \"service\": \"\\ud800\\u0041\"}",
        "{\"pid\": 1, \"endpoints\": [1]}",
        "{\"pid\": 1, \"a\": [[[[[[[[[[1]]]]]]]]]]}",
        "{\"pid\": 1, \"a\": }",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct record_view view;

        errno = 0;
        cr_expect_eq(parse(texts[i], &view), -1, "%s", texts[i]);
        cr_expect_eq(errno, EPROTO, "%s", texts[i]);
        cr_expect_null(view.text);
    }
}

Test(record_view, reads_pairs_of_halves)
{
    struct record_view view;

    cr_assert_eq(parse("{\"pid\": 1, \"service\": \"\\ud83d\\ude00\\u20ac\\t\"}", &view), 0);
    cr_expect_str_eq(view.service, "😀€\t");
    record_view_finish(&view);
}

Test(record_view, keeps_the_first_endpoints)
{
    struct record_view view;
    char text[4096];
    int used = snprintf(text, sizeof text, "{\"pid\": 1, \"endpoints\": [\"a\"");

    for (int i = 0; i < RECORD_VIEW_ENDPOINTS + 5; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, ",\"b\"");
    snprintf(text + used, sizeof text - (size_t)used, "]}");
    cr_assert_eq(parse(text, &view), 0);
    cr_expect_eq(view.endpoint_count, RECORD_VIEW_ENDPOINTS);
    record_view_finish(&view);
}
