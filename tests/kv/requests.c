/* Random requests. See requests.h. Requests whose answers are likely to differ are generated more
 * often. */
#include "requests.h"

#include <stdio.h>
#include <string.h>

static uint64_t state = 1;

void requests_seed(uint64_t seed)
{
    state = seed * 0x9e3779b97f4a7c15U + 1;
}

uint64_t requests_random(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1dU >> 16) % below;
}

#define PICK(list) ((list)[requests_random(sizeof(list) / sizeof *(list))])

static void append(struct request *request, const char *data, size_t size)
{
    memcpy(request->data + request->size, data, size);
    request->size += size;
}

static void bulk(struct request *request, const char *data, size_t size)
{
    char header[32] = "";
    const int length = snprintf(header, sizeof header, "$%zu\r\n", size);

    append(request, header, (size_t)length);
    append(request, data, size);
    append(request, "\r\n", 2);
}

static void word(struct request *request, const char *text)
{
    char copy[64] = "";
    const size_t size = strnlen(text, sizeof copy);

    for (size_t at = 0; at < size; at++)
        copy[at] = (char)(requests_random(4) == 0 && text[at] >= 'a' && text[at] <= 'z'
                              ? text[at] - 32
                              : text[at]);
    bulk(request, copy, size);
}

static void key(struct request *request)
{
    static const char binary[][12] = {"a\0b", "\r\n", "\xff\xfe", "*3\r\n", "k y", "'\"\\", "{x}"};
    char text[400];
    const uint64_t kind = requests_random(20);

    if (kind == 0) {
        const char *chosen = PICK(binary);
        bulk(request, chosen, chosen[0] == 'a' ? 3 : strlen(chosen));
    } else if (kind == 1) {
        memset(text, 'k', sizeof text);
        bulk(request, text, 250 + requests_random(10));
    } else if (kind == 2) {
        bulk(request, "", 0);
    } else {
        bulk(request, text,
             (size_t)snprintf(text, sizeof text, "key:%d", (int)requests_random(30)));
    }
}

static const char *const integers[] = {"0",
                                       "1",
                                       "-1",
                                       "2",
                                       "10",
                                       "100",
                                       "-100",
                                       "9223372036854775807",
                                       "9223372036854775806",
                                       "-9223372036854775808",
                                       "-9223372036854775807",
                                       "9223372036854775808",
                                       "-9223372036854775809",
                                       "18446744073709551616",
                                       "-0",
                                       "00",
                                       "01",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "1.0",
                                       "1e3",
                                       "",
                                       "-",
                                       "0x10",
                                       "abc",
                                       "999999999999999999999999999999",
                                       "4294967296",
                                       "2147483648",
                                       "-2147483649"};
static const char *const floats[] = {"0",
                                     "1.5",
                                     "-1.5",
                                     "3.0e3",
                                     "1e400",
                                     "1e4000",
                                     "1e-400",
                                     "inf",
                                     "-inf",
                                     "nan",
                                     "0.1",
                                     "0.2",
                                     "-0.0",
                                     "1e5000",
                                     "5e-5000",
                                     "0x1p3",
                                     "1.",
                                     ".5",
                                     " 1",
                                     "1 ",
                                     "",
                                     "1e17",
                                     "12345678901234567890.5",
                                     "1e",
                                     "infinity",
                                     "-1e4932",
                                     "1.23456789012345678901234567890"};
static const char *const patterns[] = {
    "*",    "key:*",     "key:?", "key:[0-3]", "key:[^1]*", "k*y*",   "",         "**",  "\\*",
    "[k]*", "[a-z]*:1?", "*[",    "[z-a]*",    "*\\",       "key:[]", "[\\k]ey*", "k[^", "?*"};

static void plain(struct request *request, const char *text)
{
    bulk(request, text, strlen(text));
}

static void value(struct request *request)
{
    char data[6000] = {0};
    const uint64_t kind = requests_random(10);
    size_t size;

    if (kind < 3) {
        plain(request, PICK(integers));
    } else if (kind == 3) {
        plain(request, PICK(floats));
    } else {
        size = kind == 4 ? requests_random(sizeof data) : requests_random(40);
        for (size_t i = 0; i < size; i++)
            data[i] = (char)requests_random(256);
        bulk(request, data, size);
    }
}

static void number(struct request *request)
{
    char text[32];

    if (requests_random(3) == 0)
        plain(request, PICK(integers));
    else
        bulk(request, text,
             (size_t)snprintf(text, sizeof text, "%d", (int)requests_random(400) - 100));
}

/* An expiry whose end no later request can reach; or an edge case. */
static void seconds(struct request *request)
{
    char text[32];
    static const char *const edges[] = {
        "0",   "-1",  "9223372036854775807",  "9223372036854775",
        "abc", "1.5", "-9223372036854775808", "9223372036854775000"};

    if (requests_random(5) == 0)
        plain(request, PICK(edges));
    else
        bulk(request, text,
             (size_t)snprintf(text, sizeof text, "%d", 1000 + (int)requests_random(100000)));
}

static void milliseconds(struct request *request)
{
    char text[32];

    if (requests_random(12) == 0) {
        request->expires_soon = 1;
        bulk(request, text, (size_t)snprintf(text, sizeof text, "%d", 1 + (int)requests_random(4)));
        return;
    }
    if (requests_random(3) == 0)
        seconds(request);
    else
        bulk(request, text,
             (size_t)snprintf(text, sizeof text, "%d", 1000000 + (int)requests_random(1000000)));
}

static void at_seconds(struct request *request)
{
    static const char *const times[] = {"1",  "1000", "4102444800", "32503680000",
                                        "-5", "0",    "x",          "9223372036854775"};
    plain(request, PICK(times));
}

static void at_milliseconds(struct request *request)
{
    static const char *const times[] = {"1", "1000", "4102444800000",      "32503680000123", "-5",
                                        "0", "x",    "9223372036854775807"};
    plain(request, PICK(times));
}

/* Returns how many words it wrote. */
static int set_option(struct request *request)
{
    switch (requests_random(10)) {
    case 0: word(request, "nx"); return 1;
    case 1: word(request, "xx"); return 1;
    case 2: word(request, "get"); return 1;
    case 3: word(request, "keepttl"); return 1;
    case 4: word(request, "ex"), seconds(request); return 2;
    case 5: word(request, "px"), milliseconds(request); return 2;
    case 6: word(request, "exat"), at_seconds(request); return 2;
    case 7: word(request, "pxat"), at_milliseconds(request); return 2;
    case 8: word(request, "persist"); return 1;
    default: word(request, requests_random(4) ? "ex" : "bogus"); return 1;
    }
}

static void expire_option(struct request *request)
{
    static const char *const words[] = {"nx", "xx", "gt", "lt", "bogus"};
    word(request, PICK(words));
}

/* The arguments of a command: k key, v value, i number, f float, s seconds, m milliseconds, S and M
 * times, p pattern, c cursor, d database, o offset, B and b a bit's offset and value, u a unit, O a
 * subcommand of OBJECT; then a '?' for up to three options. */
struct form {
    const char *name, *args;
    enum answer_kind kind;
    int (*option)(struct request *request);
};

static int one_expire_option(struct request *request)
{
    expire_option(request);
    return 1;
}

static int copy_option(struct request *request)
{
    static const char *const databases[] = {"0", "1", "16", "x"};

    if (requests_random(2)) {
        word(request, requests_random(8) ? "replace" : "bogus");
        return 1;
    }
    word(request, "db");
    plain(request, PICK(databases));
    return 2;
}

static const struct form forms[] = {
    {"get", "k", ANSWER_SAME, NULL},
    {"get", "k", ANSWER_SAME, NULL},
    {"get", "k", ANSWER_SAME, NULL},
    {"set", "kv", ANSWER_SAME, NULL},
    {"set", "kv", ANSWER_SAME, NULL},
    {"set", "kv?", ANSWER_SAME, set_option},
    {"set", "kv?", ANSWER_SAME, set_option},
    {"setnx", "kv", ANSWER_SAME, NULL},
    {"setex", "ksv", ANSWER_SAME, NULL},
    {"psetex", "kmv", ANSWER_SAME, NULL},
    {"getset", "kv", ANSWER_SAME, NULL},
    {"getdel", "k", ANSWER_SAME, NULL},
    {"getex", "k?", ANSWER_SAME, set_option},
    {"mget", "kkkk", ANSWER_SAME, NULL},
    {"mset", "kvkvkv", ANSWER_SAME, NULL},
    {"mset", "kvk", ANSWER_SAME, NULL},
    {"msetnx", "kvkv", ANSWER_SAME, NULL},
    {"append", "kv", ANSWER_SAME, NULL},
    {"strlen", "k", ANSWER_SAME, NULL},
    {"getrange", "kii", ANSWER_SAME, NULL},
    {"setrange", "kov", ANSWER_SAME, NULL},
    {"incr", "k", ANSWER_SAME, NULL},
    {"decr", "k", ANSWER_SAME, NULL},
    {"incrby", "ki", ANSWER_SAME, NULL},
    {"decrby", "ki", ANSWER_SAME, NULL},
    {"incrbyfloat", "kf", ANSWER_SAME, NULL},
    {"del", "kk", ANSWER_SAME, NULL},
    {"unlink", "k", ANSWER_SAME, NULL},
    {"exists", "kkk", ANSWER_SAME, NULL},
    {"touch", "kk", ANSWER_SAME, NULL},
    {"type", "k", ANSWER_SAME, NULL},
    {"ttl", "k", ANSWER_SECONDS, NULL},
    {"pttl", "k", ANSWER_MILLISECONDS, NULL},
    {"expire", "ks?", ANSWER_SAME, one_expire_option},
    {"pexpire", "km?", ANSWER_SAME, one_expire_option},
    {"expireat", "kS?", ANSWER_SAME, one_expire_option},
    {"pexpireat", "kM?", ANSWER_SAME, one_expire_option},
    {"persist", "k", ANSWER_SAME, NULL},
    {"keys", "p", ANSWER_ANY_ORDER, NULL},
    {"randomkey", "", ANSWER_ONE_OF, NULL},
    {"rename", "kk", ANSWER_SAME, NULL},
    {"dbsize", "", ANSWER_LOOSE, NULL},
    {"select", "d", ANSWER_SAME, NULL},
    {"ping", "", ANSWER_SAME, NULL},
    {"ping", "v", ANSWER_SAME, NULL},
    {"ping", "vv", ANSWER_SAME, NULL},
    {"echo", "v", ANSWER_SAME, NULL},
    {"scan", "c", ANSWER_LOOSE, NULL},
    {"scan", "cn", ANSWER_LOOSE, NULL},
    {"client", "v", ANSWER_LOOSE, NULL},
    {"client", "", ANSWER_SAME, NULL},
    {"auth", "v", ANSWER_SAME, NULL},
    {"auth", "vv", ANSWER_SAME, NULL},
    {"auth", "vvv", ANSWER_SAME, NULL},
    {"hello", "i", ANSWER_LOOSE, NULL},
    {"lastsave", "", ANSWER_LOOSE, NULL},
    {"substr", "kii", ANSWER_SAME, NULL},
    {"setbit", "kBb", ANSWER_SAME, NULL},
    {"getbit", "kB", ANSWER_SAME, NULL},
    {"bitcount", "k", ANSWER_SAME, NULL},
    {"bitcount", "kii", ANSWER_SAME, NULL},
    {"bitcount", "kiiu", ANSWER_SAME, NULL},
    {"copy", "kk?", ANSWER_SAME, copy_option},
    {"move", "kd", ANSWER_SAME, NULL},
    {"renamenx", "kk", ANSWER_SAME, NULL},
    {"expiretime", "k", ANSWER_SECONDS, NULL},
    {"pexpiretime", "k", ANSWER_MILLISECONDS, NULL},
    {"object", "Ok", ANSWER_LOOSE, NULL},
    {"time", "", ANSWER_LOOSE, NULL},
    {"publish", "vv", ANSWER_SAME, NULL},
    {"watch", "kk", ANSWER_SAME, NULL},
    {"unwatch", "", ANSWER_SAME, NULL},
    {"exec", "", ANSWER_SAME, NULL},
    {"discard", "", ANSWER_SAME, NULL},
    {"reset", "", ANSWER_SAME, NULL},
    {"latency", "", ANSWER_SAME, NULL},
    {"slowlog", "v", ANSWER_LOOSE, NULL},
    {"nosuchcommand", "vkv", ANSWER_SAME, NULL},
    {"config", "", ANSWER_SAME, NULL},
};

static int argument(struct request *request, const struct form *form, char type)
{
    static const char *const offsets[] = {
        "0", "1", "10", "300", "5000", "536870912", "-1", "9223372036854775807", "x"};
    static const char *const databases[] = {"0",  "0",  "1",           "1", "15",
                                            "16", "-1", "99999999999", "x", "9223372036854775808"};
    static const char *const bits[] = {"0", "1", "1", "2", "x"};
    static const char *const bit_offsets[] = {"0",    "7",          "8",  "100",
                                              "5000", "4294967296", "-1", "x"};
    static const char *const units[] = {"byte", "bit", "BIT", "bogus"};
    static const char *const looks[] = {"encoding", "refcount", "idletime"};
    static const char *const cursors[] = {"0", "0", "x", "-1", " 1", "18446744073709551616", ""};
    int count = 0;

    switch (type) {
    case 'k': key(request); return 1;
    case 'v': value(request); return 1;
    case 'i': number(request); return 1;
    case 'f': plain(request, PICK(floats)); return 1;
    case 's': seconds(request); return 1;
    case 'm': milliseconds(request); return 1;
    case 'S': at_seconds(request); return 1;
    case 'M': at_milliseconds(request); return 1;
    case 'p': plain(request, PICK(patterns)); return 1;
    case 'o': plain(request, PICK(offsets)); return 1;
    case 'd': plain(request, PICK(databases)); return 1;
    case 'c': plain(request, PICK(cursors)); return 1;
    case 'b': plain(request, PICK(bits)); return 1;
    case 'B': plain(request, PICK(bit_offsets)); return 1;
    case 'u': plain(request, PICK(units)); return 1;
    case 'O': plain(request, PICK(looks)); return 1;
    case 'n': word(request, "count"), number(request); return 2;
    default:
        for (uint64_t i = requests_random(4); i > 0; i--)
            count += form->option(request);
        return count;
    }
}

static void finish(struct request *request, int count)
{
    char header[32];
    const size_t size = (size_t)snprintf(header, sizeof header, "*%d\r\n", count);

    memmove(request->data + size, request->data, request->size);
    memcpy(request->data, header, size);
    request->size += size;
}

static void make_of(struct request *request, const struct form *form)
{
    int count = 1;

    request->size = 0;
    request->kind = form->kind;
    request->expires_soon = 0;
    word(request, form->name);
    for (const char *type = form->args; *type; type++)
        if (requests_random(200) > 0) /* otherwise an argument is missing */
            count += argument(request, form, *type);
    if (requests_random(200) == 0) {
        value(request);
        count++;
    }
    finish(request, count);
}

/* Between MULTI and EXEC only answers that must be the same can be compared. */
static void make_queued(struct request *request)
{
    do
        make_of(request, &PICK(forms));
    while (request->kind != ANSWER_SAME || request->expires_soon);
}

static int is_multi; /* this many more requests, plus one; 0: none */

void request_make(struct request *request)
{
    static const char *const multi[] = {"MULTI", NULL}, *const exec[] = {"EXEC", NULL},
                             *const discard[] = {"DISCARD", NULL};

    if (is_multi > 1) {
        is_multi--;
        make_queued(request);
    } else if (is_multi == 1) {
        is_multi = 0;
        request_of(request, ANSWER_SAME, requests_random(8) ? exec : discard);
    } else if (requests_random(30) == 0) {
        is_multi = 2 + (int)requests_random(8);
        request_of(request, ANSWER_SAME, multi);
    } else {
        make_of(request, &PICK(forms));
    }
}

void request_of(struct request *request, enum answer_kind kind, const char *const *words)
{
    int count = 0;

    request->size = 0;
    request->kind = kind;
    request->expires_soon = 0;
    for (; words[count]; count++)
        plain(request, words[count]);
    finish(request, count);
}
