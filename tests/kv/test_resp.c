/* The parser of requests: the result must not depend on how a stream is cut. */
#include "resp.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct resp_limits usual = {.bulk_max = 1000, .request_max = 100000};

/* The requests in a stream, as text: "[GET|k]" is a request, "!text" an error. */
struct reading {
    char text[4096];
    size_t size;
};

static void note(struct reading *reading, const char *data, size_t size)
{
    cr_assert_lt(reading->size + size, sizeof reading->text);
    memcpy(reading->text + reading->size, data, size);
    reading->size += size;
    reading->text[reading->size] = '\0';
}

static void note_request(struct reading *reading, const struct resp_request *request)
{
    note(reading, "[", 1);
    for (uint32_t i = 0; i < request->count; i++) {
        if (i > 0)
            note(reading, "|", 1);
        note(reading, request->base + request->args[i].at, request->args[i].size);
    }
    note(reading, "]", 1);
}

/* Gives the parser the data up to each of the cuts in turn, as it would arrive. */
static void read_cut(struct reading *reading, const struct resp_limits *limits, const char *data,
                     size_t size, size_t cut, size_t cut_2)
{
    const size_t ends[] = {cut, cut_2, size};
    struct resp_parser parser = {0};
    struct resp_request request;
    size_t at = 0;

    *reading = (struct reading){.size = 0};
    for (size_t i = 0; i < 3; i++) {
        /* The data is at a different address each time, with nothing behind it. */
        char *come = malloc(ends[i] > at ? ends[i] - at : 1);
        size_t used = 0;
        enum resp_result result = RESP_REQUEST;
        memcpy(come, data + at, ends[i] - at);
        while (result == RESP_REQUEST) {
            result = resp_parse(&parser, limits, come + used, ends[i] - at - used, &request);
            if (result == RESP_REQUEST) {
                note_request(reading, &request);
                used += request.size;
            } else if (result == RESP_ERROR) {
                note(reading, "!", 1);
                note(reading, request.error, strlen(request.error));
            }
        }
        at += used;
        free(come);
        if (result == RESP_ERROR)
            break;
    }
    resp_finish(&parser);
}

static void expect_with(const struct resp_limits *limits, const char *data, size_t size,
                        const char *wanted)
{
    struct reading reading;

    for (size_t cut = 0; cut <= size; cut++)
        for (size_t cut_2 = cut; cut_2 <= size; cut_2++) {
            read_cut(&reading, limits, data, size, cut, cut_2);
            cr_assert_str_eq(reading.text, wanted, "cut at %zu and %zu", cut, cut_2);
        }
}

#define expect(data, wanted) expect_with(&usual, data, sizeof(data) - 1, wanted)

Test(resp, requests)
{
    expect("*1\r\n$4\r\nPING\r\n", "[PING]");
    expect("*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n$1\r\nx\r\n", "[GET|][x]");
    expect("*3\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$3\r\na b\r\n", "[SET|\r\n|a b]");
    expect("*0\r\n*-1\r\n*1\r\n$1\r\ny\r\n", "[][][y]");
}

Test(resp, inline_commands)
{
    expect("PING\r\n", "[PING]");
    expect("  get   key \n\r\nx\n", "[get|key][][x]");
    expect("a \"b\\x41\\n\\q\" 'c\\'d\\n'\r\n", "[a|bA\nq|c'd\\n]");
    expect("a \"\" ''\r\n", "[a||]");
    expect("a \"b\r\n", "!Protocol error: unbalanced quotes in request");
    expect("a 'b\r\n", "!Protocol error: unbalanced quotes in request");
    expect("a \"b\"c\r\n", "!Protocol error: unbalanced quotes in request");
    expect("a \"b\\\r\n", "!Protocol error: unbalanced quotes in request");
}

Test(resp, errors)
{
    expect("*x\r\n", "!Protocol error: invalid multibulk length");
    expect("*1048577\r\n", "!Protocol error: invalid multibulk length");
    expect("*99999999999999999999999999\r\n", "!Protocol error: invalid multibulk length");
    expect("*1\r\n:1\r\n", "!Protocol error: expected '$', got ':'");
    expect("*1\r\n$x\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$-1\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$1001\r\n", "!Protocol error: invalid bulk length");
    expect("*1\r\n$1\r\na\r\n*1\r\n+\r\n", "[a]!Protocol error: expected '$', got '+'");
}

Test(resp, strangers)
{
    const struct resp_limits stranger = {
        .bulk_max = 100000, .request_max = 1000000, .is_stranger = true};

    expect_with(&stranger, "*11\r\n", 5, "!Protocol error: unauthenticated multibulk length");
    expect_with(&stranger, "*1\r\n$16385\r\n", 12, "!Protocol error: unauthenticated bulk length");
    expect_with(&stranger, "*1\r\n$1\r\na\r\n", 11, "[a]");
}

/* A request that would be too large is refused when its header is read. */
Test(resp, whole_request_is_limited)
{
    const struct resp_limits small = {.bulk_max = 50, .request_max = 100};
    static const char data[] = "*3\r\n$40\r\n"
                               "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n$40\r\n"
                               "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n$1\r\n";

    expect_with(&small, data, sizeof data - 1,
                "!Protocol error: the request is larger than limits.input_bytes (100): raise that, "
                "or send less at a time");
}

static const char *first_error(const char *begin, size_t size)
{
    static struct resp_request request;
    struct resp_parser parser = {0};
    char *data = malloc(size);
    enum resp_result result;

    memset(data, '1', size);
    memcpy(data, begin, strlen(begin));
    result = resp_parse(&parser, &usual, data, size, &request);
    free(data);
    resp_finish(&parser);
    return result == RESP_ERROR ? request.error : result == RESP_MORE ? "more" : "request";
}

Test(resp, lines_are_limited)
{
    cr_assert_str_eq(first_error("*", RESP_LINE_MAX), "more");
    cr_assert_str_eq(first_error("*", RESP_LINE_MAX + 1),
                     "Protocol error: too big mbulk count string");
    cr_assert_str_eq(first_error("*1\r\n$", RESP_LINE_MAX + 5),
                     "Protocol error: too big bulk count string");
    cr_assert_str_eq(first_error("PING", RESP_LINE_MAX), "more");
    cr_assert_str_eq(first_error("PING", RESP_LINE_MAX + 1),
                     "Protocol error: too big inline request");
}

/* An announced size costs nothing: only bytes that arrive do. */
Test(resp, allocates_for_what_has_come)
{
    static const char data[] = "*1048576\r\n$1\r\na\r\n";
    struct resp_parser parser = {0};
    struct resp_request request;

    cr_assert_eq(resp_parse(&parser, &usual, data, sizeof data - 1, &request), RESP_MORE);
    cr_assert_lt(parser.room, 16);
    resp_finish(&parser);
}

/* And a request in very many pieces is not parsed from the start with each piece. */
Test(resp, goes_on_where_it_was)
{
    const size_t count = 100000;
    struct resp_parser parser = {0};
    const struct resp_limits large = {.bulk_max = 1000, .request_max = 100000000};
    struct resp_request request;
    char *data = malloc(count * 7 + 20);
    size_t size = (size_t)snprintf(data, 20, "*%zu\r\n", count);

    for (size_t i = 0; i < count; i++) {
        memcpy(data + size, "$1\r\na\r\n", 7);
        size += 7;
        cr_assert_eq(resp_parse(&parser, &large, data, size, &request),
                     i + 1 < count ? RESP_MORE : RESP_REQUEST);
    }
    cr_assert_eq(request.count, count);
    cr_assert_eq(request.size, size);
    free(data);
    resp_finish(&parser);
}

Test(resp, begins_anew_after_a_reset)
{
    static const char data[] = "*2\r\n$1\r\na\r\n$1\r\nb\r\n";
    struct resp_parser parser = {0};
    struct resp_request request;

    cr_assert_eq(resp_parse(&parser, &usual, data, 12, &request), RESP_MORE);
    resp_reset(&parser);
    cr_assert_eq(resp_parse(&parser, &usual, data, sizeof data - 1, &request), RESP_REQUEST);
    cr_assert_eq(request.count, 2);
    resp_finish(&parser);
}
