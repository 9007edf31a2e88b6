/* Frames: a table of bytes that are a frame, are none, or are too large, each cut in all possible
 * ways; random and hostile bytes. No byte behind the input is read: the input ends at the end of
 * the memory. */
#include "clients/frame.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROOM = 16384, MORE = 0, FOUND = 1, SMALL_MAX = 1000 };

static const enum rpd_framing framings[] = {
    RPD_FRAME_U8,     RPD_FRAME_U16_BE, RPD_FRAME_U16_LE, RPD_FRAME_U32_BE,  RPD_FRAME_U32_LE,
    RPD_FRAME_U64_BE, RPD_FRAME_U64_LE, RPD_FRAME_VARINT, RPD_FRAME_HEADERS, RPD_FRAME_NETSTRING};
enum { FRAMINGS = sizeof framings / sizeof *framings };

/* ---- input that ends at a page that cannot be read --------------------------------------- */

static char *wall;

static void build_wall(void)
{
    char *room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);

    cr_assert_neq(room, MAP_FAILED);
    cr_assert_eq(mprotect(room + ROOM, 4096, PROT_NONE), 0);
    wall = room + ROOM;
}

TestSuite(frame, .init = build_wall, .timeout = 60);

struct verdict {
    int found, error_number;
    struct rpd_span body;
    size_t size;
};

/* The text of the body is compared; its place depends on the wall. */
static struct verdict judge(enum rpd_framing framing, const void *bytes, size_t size,
                            const struct frame_bounds *bounds)
{
    struct verdict verdict = {0, 0, {NULL, 0}, 0};

    cr_assert_leq(size, (size_t)ROOM);
    memcpy(wall - size, bytes, size);
    errno = 0;
    verdict.found = frame_find(framing, (struct rpd_span){wall - size, size}, bounds, &verdict.body,
                               &verdict.size);
    verdict.error_number = verdict.found < 0 ? errno : 0;
    if (verdict.found == FOUND) {
        cr_assert(verdict.size <= size && verdict.body.size < verdict.size + (verdict.size == 0));
        cr_assert(verdict.body.data >= wall - size &&
                  verdict.body.data + verdict.body.size <= wall - size + verdict.size);
        cr_assert_leq(verdict.body.size, bounds->body);
        cr_assert_leq(verdict.size, bounds->frame);
    }
    return verdict;
}

/* The verdict on a prefix never changes once it is not "more". Returns the verdict on the whole
 * input. */
static struct verdict judge_all_prefixes(enum rpd_framing framing, const char *bytes, size_t size,
                                         const struct frame_bounds *bounds)
{
    struct verdict before = {0, 0, {NULL, 0}, 0};

    for (size_t prefix = 0; prefix <= size; prefix++) {
        const struct verdict now = judge(framing, bytes, prefix, bounds);
        if (before.found != MORE)
            cr_assert(now.found == before.found && now.error_number == before.error_number &&
                          now.size == before.size && now.body.size == before.body.size,
                      "framing %d, at %zu of %zu", (int)framing, prefix, size);
        before = now;
    }
    return before;
}

/* ---- the table ----------------------------------------------------------------------------- */

#define BYTES(text) text, sizeof(text) - 1

static const struct row {
    enum rpd_framing framing;
    const char *input;
    size_t size;
    int outcome; /* FOUND, MORE, or an errno */
    const char *body;
    size_t rest; /* of the input behind the frame */
} rows[] = {
    /* clang-format off */
    {RPD_FRAME_U8, BYTES(""), MORE, NULL, 0},
    {RPD_FRAME_U8, BYTES("\0"), FOUND, "", 0},
    {RPD_FRAME_U8, BYTES("\2ab"), FOUND, "ab", 0},
    {RPD_FRAME_U8, BYTES("\2abc"), FOUND, "ab", 1},
    {RPD_FRAME_U8, BYTES("\2a"), MORE, NULL, 0},
    {RPD_FRAME_U8, BYTES("\377a"), MORE, NULL, 0},
    {RPD_FRAME_U16_BE, BYTES("\0\1x"), FOUND, "x", 0},
    {RPD_FRAME_U16_BE, BYTES("\1\0x"), MORE, NULL, 0},
    {RPD_FRAME_U16_BE, BYTES("\4\0"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_U16_LE, BYTES("\1\0x"), FOUND, "x", 0},
    {RPD_FRAME_U16_LE, BYTES("\0\4"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_U32_BE, BYTES("\0\0\0\3abcd"), FOUND, "abc", 1},
    {RPD_FRAME_U32_BE, BYTES("\0\0\0"), MORE, NULL, 0},
    {RPD_FRAME_U32_BE, BYTES("\377\377\377\377"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_U32_LE, BYTES("\3\0\0\0abc"), FOUND, "abc", 0},
    {RPD_FRAME_U64_BE, BYTES("\0\0\0\0\0\0\0\1z"), FOUND, "z", 0},
    {RPD_FRAME_U64_BE, BYTES("\377\377\377\377\377\377\377\377"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_U64_BE, BYTES("\377\377\377\377\377\377\377\370"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_U64_BE, BYTES("\200\0\0\0\0\0\0\0"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_U64_LE, BYTES("\1\0\0\0\0\0\0\0z"), FOUND, "z", 0},
    {RPD_FRAME_U64_LE, BYTES("\0\0\0\0\0\0\0\200"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_VARINT, BYTES("\0"), FOUND, "", 0},
    {RPD_FRAME_VARINT, BYTES("\1a"), FOUND, "a", 0},
    {RPD_FRAME_VARINT, BYTES("\202\0ab"), FOUND, "ab", 0}, /* longer than necessary */
    {RPD_FRAME_VARINT, BYTES("\200\1"), MORE, NULL, 0},
    {RPD_FRAME_VARINT, BYTES("\350\7"), MORE, NULL, 0}, /* 1000, the bound */
    {RPD_FRAME_VARINT, BYTES("\351\7"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_VARINT, BYTES("\377\377\377\377\377\377\377\377\377"), MORE, NULL, 0},
    {RPD_FRAME_VARINT, BYTES("\377\377\377\377\377\377\377\377\377\1"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_VARINT, BYTES("\377\377\377\377\377\377\377\377\377\2"), EBADMSG, NULL, 0},
    {RPD_FRAME_VARINT, BYTES("\200\200\200\200\200\200\200\200\200\0"), FOUND, "", 0},
    {RPD_FRAME_VARINT, BYTES("\200\200\200\200\200\200\200\200\200\200\0"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("0:,"), FOUND, "", 0},
    {RPD_FRAME_NETSTRING, BYTES("5:hello,"), FOUND, "hello", 0},
    {RPD_FRAME_NETSTRING, BYTES("5:hello,3:abc,"), FOUND, "hello", 6},
    {RPD_FRAME_NETSTRING, BYTES("3:\0:,,"), FOUND, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("5:hello"), MORE, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("5"), MORE, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("5:hello;"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("05:hello,"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("00:,"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES(":,"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("-1:,"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("+1:a,"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES(" 1:a,"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("1 :a,"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("0x1:a,"), EBADMSG, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("1000:"), MORE, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("1001"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("99999999999999999999999999"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_NETSTRING, BYTES("18446744073709551617:a,"), EMSGSIZE, NULL, 0}, /* 2^64 + 1 */
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 2\r\n\r\nab"), FOUND, "ab", 0},
    {RPD_FRAME_HEADERS, BYTES("content-length:2\n\nabc"), FOUND, "ab", 1},
    {RPD_FRAME_HEADERS, BYTES("CONTENT-LENGTH:\t 2 \t\r\n\r\nab"), FOUND, "ab", 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 0\r\n\r\n"), FOUND, "", 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 007\r\n\r\n1234567"), FOUND, "1234567", 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Type: a; charset=utf-8\r\nContent-Length: 1\r\n\r\na"), FOUND, "a", 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1\r\nX-Any:\r\n\r\na"), FOUND, "a", 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Lengthy: 9\r\nContent-Length: 1\r\n\r\na"), FOUND, "a", 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1\r\n\r\n"), MORE, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1\r\n\r"), MORE, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1"), MORE, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("GET / HTTP/1.1\r\n"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("\r\n"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("X: 1\r\n\r\n"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: \r\n\r\n"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: -1\r\n\r\n"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: +1\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1 1\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 0x1\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1,1\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length : 1\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES(" Content-Length: 1\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1\r\n Content-Length: 2\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1\r\nContent-Length: 1\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1\rContent-Length: 2\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1\0\r\n\r\na"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES(": 1\r\n\r\n"), EBADMSG, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1000\r\n"), MORE, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 1001\r\n"), EMSGSIZE, NULL, 0},
    {RPD_FRAME_HEADERS, BYTES("Content-Length: 18446744073709551616\r\n"), EMSGSIZE, NULL, 0},
    {(enum rpd_framing)0, BYTES(""), EINVAL, NULL, 0},
    {(enum rpd_framing)99, BYTES("abc"), EINVAL, NULL, 0},
    /* clang-format on */
};

Test(frame, the_table)
{
    static const struct frame_bounds bounds = {SMALL_MAX, SIZE_MAX};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        const struct verdict is = judge_all_prefixes(row->framing, row->input, row->size, &bounds);
        const int outcome = is.found < 0 ? is.error_number : is.found;

        cr_expect_eq(outcome, row->outcome, "row %zu, \"%s\": %d", i, row->input, outcome);
        if (outcome != FOUND || row->outcome != FOUND)
            continue;
        cr_expect_eq(is.size, row->size - row->rest, "row %zu: %zu", i, is.size);
        if (row->body)
            cr_expect(is.body.size == strlen(row->body) &&
                          memcmp(is.body.data, row->body, is.body.size) == 0,
                      "row %zu: \"%.*s\"", i, (int)is.body.size, is.body.data);
    }
}

/* ---- headers have a separate bound --------------------------------------------------------- */

Test(frame, headers_that_do_not_end_are_none)
{
    static const struct frame_bounds bounds = {SMALL_MAX, SIZE_MAX};
    char headers[RPD_FRAME_HEADERS_MAX + 64];

    memset(headers, 'x', sizeof headers);
    cr_expect_eq(judge(RPD_FRAME_HEADERS, headers, RPD_FRAME_HEADERS_MAX - 1, &bounds).found, MORE);
    cr_expect_eq(judge(RPD_FRAME_HEADERS, headers, RPD_FRAME_HEADERS_MAX, &bounds).found, -1);
    cr_expect_eq(judge(RPD_FRAME_HEADERS, headers, sizeof headers, &bounds).found, -1);
    /* The largest that fits. */
    memcpy(headers, "X:", 2);
    memcpy(headers + RPD_FRAME_HEADERS_MAX - 22, "\nContent-Length: 3\r\n\r\nabc", 25);
    const struct verdict fits = judge_all_prefixes(RPD_FRAME_HEADERS, headers,
                                                   RPD_FRAME_HEADERS_MAX + 3, &bounds);
    cr_expect_eq(fits.found, FOUND);
    cr_expect_eq(fits.size, (size_t)RPD_FRAME_HEADERS_MAX + 3);
}

/* ---- bounds, to the byte --------------------------------------------------------------------- */

Test(frame, bounds_are_exact)
{
    for (size_t i = 0; i < FRAMINGS; i++) {
        char head[RPD_FRAME_HEAD_MAX];
        const size_t head_size = rpd_frame_head(framings[i], 200, head);
        const size_t whole = head_size + 200 + (framings[i] == RPD_FRAME_NETSTRING);
        const struct frame_bounds fits = {200, whole}, body = {199, SIZE_MAX},
                                  frame = {SIZE_MAX, whole - 1}, nothing = {SIZE_MAX, 0};

        cr_expect_eq(judge(framings[i], head, head_size, &fits).found, MORE);
        cr_expect_eq(judge(framings[i], head, head_size, &body).error_number, EMSGSIZE);
        cr_expect_eq(judge(framings[i], head, head_size, &frame).error_number, EMSGSIZE);
        cr_expect_eq(judge(framings[i], head, head_size, &nothing).error_number, EMSGSIZE);
    }
}

/* ---- heads ---------------------------------------------------------------------------------- */

Test(frame, what_is_written_is_read)
{
    static const size_t sizes[] = {0, 1, 9, 10, 127, 128, 255, 256, 999, 1000, 9999};
    char *bytes = malloc(ROOM);

    for (size_t i = 0; i < FRAMINGS; i++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const struct frame_bounds bounds = {sizes[s], SIZE_MAX};
            char head[RPD_FRAME_HEAD_MAX];
            const size_t head_size = rpd_frame_head(framings[i], sizes[s], head);

            if (framings[i] == RPD_FRAME_U8 && sizes[s] > 255) {
                cr_expect_eq(head_size, 0);
                continue;
            }
            cr_assert(head_size > 0 && head_size <= RPD_FRAME_HEAD_MAX);
            memcpy(bytes, head, head_size);
            memset(bytes + head_size, 'b', sizes[s]);
            bytes[head_size + sizes[s]] = ',';
            const size_t whole = head_size + sizes[s] + (framings[i] == RPD_FRAME_NETSTRING);
            cr_expect_eq(judge(framings[i], bytes, whole - 1, &bounds).found, MORE);
            const struct verdict is = judge(framings[i], bytes, whole, &bounds);
            cr_expect(is.found == FOUND && is.size == whole && is.body.size == sizes[s],
                      "framing %d, size %zu", (int)framings[i], sizes[s]);
        }
    free(bytes);
}

Test(frame, sizes_that_a_framing_cannot_say)
{
    char head[RPD_FRAME_HEAD_MAX];

    cr_expect_eq(rpd_frame_head(RPD_FRAME_U8, 256, head), 0);
    cr_expect_eq(rpd_frame_head(RPD_FRAME_U16_BE, 65535, head), 2);
    cr_expect_eq(rpd_frame_head(RPD_FRAME_U16_LE, 65536, head), 0);
    cr_expect_eq(rpd_frame_head(RPD_FRAME_U32_BE, UINT32_MAX, head), 4);
    cr_expect_eq(rpd_frame_head(RPD_FRAME_U32_LE, (size_t)UINT32_MAX + 1, head), 0);
    cr_expect_eq(rpd_frame_head(RPD_FRAME_U64_BE, SIZE_MAX, head), 8);
    cr_expect_eq(rpd_frame_head(RPD_FRAME_VARINT, SIZE_MAX, head), 10);
    cr_expect_eq(rpd_frame_head(RPD_FRAME_NETSTRING, SIZE_MAX, head), 21);
    cr_expect_eq(rpd_frame_head(RPD_FRAME_HEADERS, SIZE_MAX, head), 40);
    cr_expect_eq(rpd_frame_head((enum rpd_framing)0, 1, head), 0);
}

/* ---- random bytes --------------------------------------------------------------------------- */

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Often nearly frames: bytes from the rows, cut, joined and changed. */
static size_t make_input(char input[ROOM])
{
    static const char letters[] = "0123456789:,\r\n Content-Length\200\377\0\1";
    size_t size = 0;

    for (uint64_t parts = 1 + next_random() % 4; parts > 0; parts--) {
        const struct row *row = &rows[next_random() % (sizeof rows / sizeof *rows)];
        const size_t count = next_random() % (row->size + 1);

        memcpy(input + size, row->input, count);
        size += count;
        for (uint64_t more = next_random() % 4; more > 0; more--)
            input[size++] = letters[next_random() % sizeof letters];
    }
    for (uint64_t changes = next_random() % 3; changes > 0 && size > 0; changes--)
        input[next_random() % size] = (char)next_random();
    return size;
}

/* A stream gives the same frames in pieces as in one. */
static void take_apart(enum rpd_framing framing, const char *input, size_t size,
                       const struct frame_bounds *bounds)
{
    size_t at_once = 0, in_pieces = 0, come = 0;
    int found;

    while ((found = judge(framing, input + at_once, size - at_once, bounds).found) == FOUND)
        at_once += judge(framing, input + at_once, size - at_once, bounds).size;
    while (come < size) {
        struct verdict is;

        come += 1 + next_random() % 7;
        come = come < size ? come : size;
        while ((is = judge(framing, input + in_pieces, come - in_pieces, bounds)).found == FOUND)
            in_pieces += is.size;
        if (is.found < 0)
            break;
    }
    cr_assert_eq(in_pieces, at_once, "framing %d, found %d", (int)framing, found);
}

Test(frame, random_bytes)
{
    static char input[ROOM];
    const uint64_t rounds = getenv("RPD_TEST_LONG") ? 1000000 : 20000;

    for (uint64_t round = 0; round < rounds; round++) {
        const struct frame_bounds bounds = {next_random() % SMALL_MAX,
                                            next_random() % 2 ? SIZE_MAX : next_random() % 60};
        const enum rpd_framing framing = framings[next_random() % FRAMINGS];
        const size_t size = make_input(input);

        judge_all_prefixes(framing, input, size, &bounds);
        take_apart(framing, input, size, &bounds);
    }
}
