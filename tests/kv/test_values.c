/* Numbers, patterns, the hash and answers. */
#include "glob.h"
#include "number.h"
#include "reply.h"
#include "siphash.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ----------------------------------------------------------------- */

static bool parses(const char *text, int64_t wanted)
{
    int64_t value = 77;

    return number_parse(text, strlen(text), &value) && value == wanted;
}

static bool refuses(const char *text)
{
    int64_t value;

    return !number_parse(text, strlen(text), &value);
}

Test(number, integers)
{
    cr_assert(parses("0", 0));
    cr_assert(parses("-1", -1));
    cr_assert(parses("9223372036854775807", INT64_MAX));
    cr_assert(parses("-9223372036854775808", INT64_MIN));
    cr_assert(refuses("9223372036854775808"));
    cr_assert(refuses("-9223372036854775809"));
    cr_assert(refuses("18446744073709551616"));
    cr_assert(refuses("99999999999999999999"));
    cr_assert(refuses(""));
    cr_assert(refuses("-"));
    cr_assert(refuses("-0"));
    cr_assert(refuses("01"));
    cr_assert(refuses("+1"));
    cr_assert(refuses(" 1"));
    cr_assert(refuses("1 "));
    cr_assert(refuses("0x1"));
}

Test(number, are_written_as_they_are_read)
{
    const int64_t values[] = {0, 1, -1, 10, -10, INT64_MAX, INT64_MIN, 1234567890123};
    char text[NUMBER_SIZE];

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int64_t value;
        const size_t size = number_format(text, values[i]);
        cr_assert(number_parse(text, size, &value));
        cr_assert_eq(value, values[i]);
    }
}

static const char *formatted(const char *text)
{
    static char result[NUMBER_FLOAT_SIZE];
    long double value;

    if (!number_parse_float(text, strlen(text), &value))
        return "refused";
    result[number_format_float(result, value)] = '\0';
    return result;
}

Test(number, floats)
{
    cr_assert_str_eq(formatted("1.50"), "1.5");
    cr_assert_str_eq(formatted("3.0e3"), "3000");
    cr_assert_str_eq(formatted("-0.0"), "0");
    cr_assert_str_eq(formatted("0x10"), "16");
    cr_assert_str_eq(formatted(".5"), "0.5");
    cr_assert_str_eq(formatted("nan"), "refused");
    cr_assert_str_eq(formatted(" 1"), "refused");
    cr_assert_str_eq(formatted("1 "), "refused");
    cr_assert_str_eq(formatted(""), "refused");
    cr_assert_eq(strlen(formatted("1e4932")), 4933);
}

/* ---- patterns ---------------------------------------------------------------- */

static bool matches(const char *pattern, const char *text)
{
    return glob_match(pattern, strlen(pattern), text, strlen(text), false);
}

Test(glob, matches)
{
    cr_assert(matches("*", "abc"));
    cr_assert(matches("a*c", "abbc"));
    cr_assert(matches("a?c", "abc"));
    cr_assert(matches("a[b-d]e", "ace"));
    cr_assert(matches("a[d-b]e", "ace"));
    cr_assert(matches("a[^x]e", "ace"));
    cr_assert(matches("\\*", "*"));
    cr_assert(matches("[\\]]", "]"));
    cr_assert(matches("abc*", "abc"));
    cr_assert(matches("", ""));
    cr_assert(matches("*a*b*c*", "xxaxxbxxcxx"));
    cr_assert(matches("[ab", "b"), "as in Redis");
}

Test(glob, matches_not)
{
    cr_assert_not(matches("*", ""), "as in Redis");
    cr_assert_not(matches("a", ""));
    cr_assert_not(matches("", "a"));
    cr_assert_not(matches("abc", "ab"));
    cr_assert_not(matches("a[^c]e", "ace"));
    cr_assert_not(matches("ABC", "abc"));
    cr_assert(glob_match("ABC", 3, "abc", 3, true));
}

Test(glob, does_not_take_for_ever)
{
    cr_assert_not(
        matches("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

/* Matches a set in the plainest way. Returns the rest of the pattern; NULL: no match. */
static const char *set_takes(const char *at, const char *end, char byte)
{
    const bool inverts = at < end && *at == '^';
    bool found = false;

    for (at += inverts; at < end && *at != ']'; at++) {
        if (*at == '\\' && end - at >= 2) {
            found |= *++at == byte;
        } else if (end - at >= 3 && at[1] == '-') {
            const unsigned char a = (unsigned char)at[0], b = (unsigned char)at[2];
            const unsigned char c = (unsigned char)byte;
            found |= (a <= c && c <= b) || (b <= c && c <= a);
            at += 2;
        } else {
            found |= *at == byte;
        }
    }
    return found != inverts ? at + (at < end) : NULL;
}

/* Tries every way: exponential, and obviously right. */
static bool plainly(const char *at, const char *end, const char *text, const char *text_end)
{
    const char *next;

    if (at == end)
        return text == text_end;
    if (*at == '*')
        return plainly(at + 1, end, text, text_end) ||
               (text < text_end && plainly(at, end, text + 1, text_end));
    if (text == text_end)
        return false;
    if (*at == '[')
        next = set_takes(at + 1, end, *text);
    else if (*at == '\\' && end - at >= 2)
        next = at[1] == *text ? at + 2 : NULL;
    else
        next = *at == '?' || *at == *text ? at + 1 : NULL;
    return next && plainly(next, end, text + 1, text_end);
}

static size_t make_random(char *text, const char *letters, size_t size)
{
    for (size_t i = 0; i < size; i++)
        text[i] = letters[(size_t)rand() % strlen(letters)];
    return size;
}

Test(glob, is_as_every_way_tried)
{
    size_t matched = 0;

    srand(1);
    for (int i = 0; i < 200000; i++) {
        char pattern[12], text[10];
        const size_t size = make_random(pattern, "aab**??[]^\\-c", (size_t)rand() % 11);
        const size_t length = make_random(text, "aabcA-]^*", 1 + (size_t)rand() % 9);
        const bool wanted = plainly(pattern, pattern + size, text, text + length);
        matched += wanted;
        cr_assert_eq(glob_match(pattern, size, text, length, false), wanted, "\"%.*s\" on \"%.*s\"",
                     (int)size, pattern, (int)length, text);
    }
    cr_assert_gt(matched, 5000);
}

/* ---- the hash ----------------------------------------------------------------- */

Test(siphash, pieces_are_as_the_whole)
{
    const struct sip_key key = {1, 2};
    unsigned char data[200];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    for (size_t size = 0; size < sizeof data; size++)
        for (size_t cut = 0; cut <= size; cut += 8) {
            struct sip_stream stream;
            sip_stream_init(&stream, key);
            sip_stream_add(&stream, data, cut);
            cr_assert_eq(sip_stream_end(&stream, data + cut, size - cut), siphash(key, data, size));
        }
}

/* Results of the reference implementation, with 1 and 3 rounds and its key 00 01 02 ... 0f. */
Test(siphash, known_values)
{
    const struct sip_key key = {0x0706050403020100U, 0x0f0e0d0c0b0a0908U};

    cr_assert_eq(siphash(key, "", 0), 0xabac0158050fc4dcU);
    cr_assert_eq(siphash(key, "\0", 1), 0xc9f49bf37d57ca93U);
}

/* ---- answers ------------------------------------------------------------------- */

static char written[100000];
static size_t written_size;

static void take(void *to, const char *data, size_t size)
{
    (void)to;
    cr_assert_leq(written_size + size, sizeof written);
    memcpy(written + written_size, data, size);
    written_size += size;
}

static struct reply *make_reply(int protocol)
{
    static struct reply reply;

    reply = (struct reply){.protocol = protocol, .write = take};
    written_size = 0;
    return &reply;
}

static const char *text_of(struct reply *reply)
{
    reply_flush(reply);
    written[written_size] = '\0';
    return written;
}

Test(reply, protocols)
{
    struct reply *reply = make_reply(2);

    reply_null(reply);
    reply_map(reply, 1);
    reply_set(reply, 12);
    reply_verbatim(reply, "x", 1);
    reply_error(reply, "ERR a\r\nb");
    reply_integer(reply, -5);
    cr_assert_str_eq(text_of(reply), "$-1\r\n*2\r\n*12\r\n$1\r\nx\r\n-ERR a  b\r\n:-5\r\n");
    reply = make_reply(3);
    reply_null(reply);
    reply_map(reply, 1);
    reply_set(reply, 12);
    reply_verbatim(reply, "x", 1);
    cr_assert_str_eq(text_of(reply), "_\r\n%1\r\n~12\r\n=5\r\ntxt:x\r\n");
}

Test(reply, errors)
{
    static char word[5001];
    struct reply *reply = make_reply(2);

    reply_errorf(reply, "ERR option %s", "a\rb\n\r\n");
    cr_assert_str_eq(text_of(reply), "-ERR option a b\r\n");
    reply = make_reply(2);
    memset(word, 'x', sizeof word - 1);
    reply_errorf(reply, "ERR option %s", word);
    cr_assert_eq(strlen(text_of(reply)), strlen("-ERR option \r\n") + strlen(word));
    cr_assert(strncmp(text_of(reply), "-ERR option x", 13) == 0 && strstr(written, "x\r\n"));
}

/* Whatever their sizes, answers come out complete and in order. */
Test(reply, of_any_size)
{
    static char value[REPLY_DIRECT + 100], wanted[100000];
    struct reply *reply = make_reply(2);
    size_t size = 0;

    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < 20; i++) {
        const size_t of = i % 2 ? REPLY_DIRECT + i : i * 200;
        if (size + of + 20 > sizeof wanted)
            break;
        reply_bulk(reply, value, of);
        size += (size_t)snprintf(wanted + size, 20, "$%zu\r\n", of);
        memcpy(wanted + size, value, of);
        memcpy(wanted + size + of, "\r\n", 2);
        size += of + 2;
    }
    reply_flush(reply);
    cr_assert_eq(written_size, size);
    cr_assert_eq(memcmp(written, wanted, size), 0);
}
