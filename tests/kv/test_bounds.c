/* The bounds on one client's requests, in memory and in the loop's time: long work is done in
 * steps, and a request that would be too large is refused. */
#include "kv_scene.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of processor time, on a slow machine; without bounds these take seconds. */
enum { STEP_MAX_US = 100000, MIB = 1024 * 1024 };

#define assert_is(found, wanted)                                                                   \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert_str_eq(found_, (wanted));                                                        \
    } while (0)

struct scene {
    const char *dir;
    struct process *rpd;
    int fd;
};

static struct scene begin(const char *service)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.rpd = scene_start(scene.dir, service, "", false);
    scene.fd = scene_client(scene.dir);
    scene_await_ready(scene.rpd);
    return scene;
}

static void finish(struct scene *scene)
{
    close(scene->fd);
    cr_assert_eq(process_code(process_stop(scene->rpd)), 0, "%s", process_stderr(scene->rpd));
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

static long info_number(int fd, const char *field)
{
    const char *at = strstr(scene_ask(fd, "INFO"), field);

    cr_assert_not_null(at, "%s", field);
    return atol(at + strlen(field) + 1);
}

static void assert_short_steps(int fd)
{
    const long longest = info_number(fd, "kv_longest_step_us");

    cr_assert_lt(longest, STEP_MAX_US, "%ld us", longest);
}

/* A slow machine needs more steps; without a bound a single step would do all the work. */
static void assert_went_in_steps(int fd, long steps_before)
{
    const long steps = info_number(fd, "kv_steps") - steps_before;

    cr_assert_geq(steps, 2, "%ld steps", steps);
}

/* ---- requests that are built ---------------------------------------------------------- */

struct text {
    char *data;
    size_t size, room;
};

static void add(struct text *text, const void *data, size_t size)
{
    while (text->size + size > text->room) {
        text->room = text->room ? text->room * 2 : 4096;
        text->data = realloc(text->data, text->room);
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
}

static void add_array(struct text *text, unsigned count)
{
    char header[32];

    add(text, header, (size_t)snprintf(header, sizeof header, "*%u\r\n", count));
}

static void add_bulk(struct text *text, const void *data, size_t size)
{
    char header[32];

    add(text, header, (size_t)snprintf(header, sizeof header, "$%zu\r\n", size));
    add(text, data, size);
    add(text, "\r\n", 2);
}

static void add_word(struct text *text, const char *word)
{
    add_bulk(text, word, strlen(word));
}

static void send_text(int fd, struct text *text)
{
    cr_assert_eq(send_all(fd, text->data, text->size), 0);
    free(text->data);
    *text = (struct text){0};
}

/* Filled with a pattern in which each byte tells its place. */
static char *make_value(size_t size)
{
    char *value = malloc(size);

    for (size_t i = 0; i < size; i++)
        value[i] = (char)(i * 7 >> 3);
    return value;
}

/* ---- patterns ---------------------------------------------------------------------------- */

static const char *ask_pattern(int fd, const char *command, const char *pattern, size_t size)
{
    struct text text = {0};
    const int is_scan = strcmp(command, "SCAN") == 0;

    add_array(&text, is_scan ? 4 : 2);
    add_word(&text, command);
    if (is_scan) {
        add_word(&text, "0");
        add_word(&text, "MATCH");
    }
    add_bulk(&text, pattern, size);
    send_text(fd, &text);
    return scene_read(fd);
}

/* Stars that match anywhere, followed by a text that matches nowhere. */
Test(bounds, a_pattern_takes_time_linear_in_the_key)
{
    enum { KEY = 200 * 1024, PATTERN = 100 * 1024, PIECE = 16 * 1024 };
    struct scene scene = begin("");
    char *key = malloc(KEY), *pattern = malloc(PATTERN);
    struct text text = {0};

    memset(key, 'a', KEY);
    memset(pattern, 'a', PATTERN);
    pattern[0] = '*';
    pattern[PATTERN - 1] = 'b';
    add_array(&text, 3);
    add_word(&text, "SET");
    add_bulk(&text, key, KEY);
    add_word(&text, "x");
    send_text(scene.fd, &text);
    assert_is(scene_read(scene.fd), "+OK");
    assert_is(ask_pattern(scene.fd, "KEYS", pattern, PATTERN), "*0");
    cr_assert_eq(*ask_pattern(scene.fd, "SCAN", pattern, PATTERN), '*');
    /* With a "?" in the middle of the text. */
    pattern[PIECE / 2] = '?';
    pattern[PIECE - 2] = 'b';
    pattern[PIECE - 1] = '*';
    assert_is(ask_pattern(scene.fd, "KEYS", pattern, PIECE), "*0");
    cr_assert_eq(strncmp(ask_pattern(scene.fd, "KEYS", pattern, PATTERN), "*0", 2), 0);
    pattern[PIECE - 2] = pattern[PIECE - 1] = 'a';
    pattern[PATTERN - 2] = '*';
    cr_assert_eq(
        strncmp(ask_pattern(scene.fd, "KEYS", pattern, PATTERN), "-ERR the pattern is too", 23), 0);
    assert_short_steps(scene.fd);
    free(key);
    free(pattern);
    finish(&scene);
}

/* ---- many keys ----------------------------------------------------------------------------- */

enum { MANY = 100000 };

static void send_many(int fd, const char *command, int has_values)
{
    struct text text = {0};
    char word[32];

    add_array(&text, 1 + MANY * (has_values ? 2 : 1));
    add_word(&text, command);
    for (int i = 0; i < MANY; i++) {
        add_bulk(&text, word, (size_t)snprintf(word, sizeof word, "key:%d", i));
        if (has_values)
            add_bulk(&text, word, (size_t)snprintf(word, sizeof word, "%06d", i));
    }
    send_text(fd, &text);
}

/* "*100000", and each value in its place. */
static void assert_values(int fd)
{
    static char answer[9 + MANY * 12];

    send_many(fd, "MGET", 0);
    cr_assert_eq(read_exactly(fd, answer, sizeof answer), (ssize_t)sizeof answer);
    cr_assert_eq(memcmp(answer, "*100000\r\n", 9), 0);
    for (int i = 0; i < MANY; i++) {
        const char *wanted = textf("$6\r\n%06d\r\n", i);
        cr_assert_eq(memcmp(answer + 9 + (size_t)i * 12, wanted, 12), 0, "value %d", i);
    }
}

Test(bounds, very_many_keys_go_in_steps)
{
    struct scene scene = begin("");
    long steps = info_number(scene.fd, "kv_steps");

    cr_assert_eq(steps, 0);
    send_many(scene.fd, "MSETNX", 1);
    assert_is(scene_read(scene.fd), ":1");
    assert_went_in_steps(scene.fd, steps);
    assert_is(scene_ask(scene.fd, "DBSIZE"), ":100000");
    send_many(scene.fd, "MSETNX", 1);
    assert_is(scene_read(scene.fd), ":0");
    assert_values(scene.fd);
    send_many(scene.fd, "EXISTS", 0);
    assert_is(scene_read(scene.fd), ":100000");
    cr_assert_eq(strncmp(scene_ask(scene.fd, "RANDOMKEY"), "key:", 4), 0);
    assert_is(scene_ask(scene.fd, "KEYS no:*"), "*0");
    assert_short_steps(scene.fd);
    send_many(scene.fd, "DEL", 0);
    assert_is(scene_read(scene.fd), ":100000");
    steps = info_number(scene.fd, "kv_steps");
    send_many(scene.fd, "MSET", 1);
    assert_is(scene_read(scene.fd), "+OK");
    assert_went_in_steps(scene.fd, steps);
    assert_values(scene.fd);
    assert_short_steps(scene.fd);
    finish(&scene);
}

/* A client that leaves does not leave half of its command behind; other clients see none of it, or
 * all. */
Test(bounds, what_goes_in_steps_is_done_at_one_moment)
{
    struct scene scene = begin("");

    for (int round = 0; round < 8; round++) {
        const int leaver = scene_client(scene.dir);
        const char *count;
        send_many(leaver, "MSET", 1);
        if (round % 2)
            close(leaver);
        for (int i = 0; i < 20; i++) {
            count = scene_ask(scene.fd, "DBSIZE");
            cr_assert(strcmp(count, ":0") == 0 || strcmp(count, ":100000") == 0, "%s", count);
        }
        if (round % 2 == 0) {
            assert_is(scene_read(leaver), "+OK");
            close(leaver);
            assert_is(scene_ask(scene.fd, "DBSIZE"), ":100000");
        }
        assert_is(scene_ask(scene.fd, "FLUSHALL"), "+OK");
        count = scene_ask(scene.fd, "DBSIZE");
        cr_assert(strcmp(count, ":0") == 0 || strcmp(count, ":100000") == 0, "%s", count);
        assert_is(scene_ask(scene.fd, "FLUSHALL"), "+OK");
    }
    finish(&scene);
}

/* ---- large values ---------------------------------------------------------------------------- */

static void send_value(int fd, const char *command, const char *key, const char *value, size_t size)
{
    struct text text = {0};

    add_array(&text, 3);
    add_word(&text, command);
    add_word(&text, key);
    add_bulk(&text, value, size);
    send_text(fd, &text);
}

/* The size of a key's value. */
static void assert_piece(int fd, const char *key, size_t at, const char *wanted, size_t size)
{
    char *answer;
    const char *request = textf("GETRANGE %s %zu %zu\r\n", key, at, at + size - 1);
    const char *header = textf("$%zu\r\n", size);
    const size_t whole = strlen(header) + size + 2;

    answer = malloc(whole);
    cr_assert_eq(send_all(fd, request, strlen(request)), 0);
    cr_assert_eq(read_exactly(fd, answer, whole), (ssize_t)whole);
    cr_assert_eq(memcmp(answer, header, strlen(header)), 0, "%s at %zu", key, at);
    cr_assert_eq(memcmp(answer + strlen(header), wanted, size), 0, "%s at %zu", key, at);
    free(answer);
}

Test(bounds, large_values_are_moved_or_go_in_steps)
{
    enum { SIZE = 40 * MIB };
    struct scene scene = begin("");
    char *value = make_value(SIZE);

    send_value(scene.fd, "SET", "a", value, SIZE);
    assert_is(scene_read(scene.fd), "+OK");
    assert_went_in_steps(scene.fd, 0);
    assert_is(scene_ask(scene.fd, "EXPIRE a 1000"), ":1");
    assert_is(scene_ask(scene.fd, "PERSIST a"), ":1");
    assert_is(scene_ask(scene.fd, "RENAME a b"), "+OK");
    assert_is(scene_ask(scene.fd, "EXISTS a"), ":0");
    send_value(scene.fd, "APPEND", "b", value, 5 * MIB);
    assert_is(scene_read(scene.fd), textf(":%d", SIZE + 5 * MIB));
    assert_piece(scene.fd, "b", 0, value, 12 * MIB);
    assert_piece(scene.fd, "b", 12 * MIB, value + 12 * MIB, 8 * MIB);
    assert_piece(scene.fd, "b", SIZE, value, 5 * MIB);
    /* While a save reads the value, it is copied before it changes. */
    assert_is(scene_ask(scene.fd, "BGSAVE"), "+Background saving started");
    assert_is(scene_ask(scene.fd, "EXPIRE b 1000"), ":1");
    assert_is(scene_ask(scene.fd, "SETRANGE b 3 changed"), textf(":%d", SIZE + 5 * MIB));
    assert_piece(scene.fd, "b", 3, "changed", 7);
    assert_piece(scene.fd, "b", 10, value + 10, MIB);
    scene_await_info(scene.fd, "rdb_bgsave_in_progress:0");
    assert_is(scene_ask(scene.fd, "SETRANGE c 536870911 x"), ":536870912");
    assert_is(scene_ask(scene.fd, "RENAME c d"), "+OK");
    assert_is(scene_ask(scene.fd, "EXPIRE d 1000"), ":1");
    assert_piece(scene.fd, "d", 536870910, "\0x", 2);
    assert_is(scene_ask(scene.fd, "DEL b d"), ":2");
    assert_short_steps(scene.fd);
    free(value);
    finish(&scene);
}

/* ---- unread answers, and announced sizes ---------------------------------------------------- */

/* A hundred answers, of which one batch holds more than may wait for a client. */
Test(bounds, a_client_that_reads_gets_all_its_answers)
{
    enum { ANSWERS = 100, SIZE = 200000, WHOLE = 9 + SIZE + 2 };
    struct scene scene = begin(", \"limits\": {\"output_bytes\": 1048576}");
    const int reader = scene_client(scene.dir);
    char *value = make_value(SIZE), *answer = malloc(WHOLE);
    struct text text = {0};

    send_value(scene.fd, "SET", "a", value, SIZE);
    assert_is(scene_read(scene.fd), "+OK");
    for (int i = 0; i < ANSWERS; i++)
        add(&text, "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", 20);
    send_text(reader, &text);
    for (int i = 0; i < 50; i++) /* the server has worked for a while */
        assert_is(scene_ask(scene.fd, "PING"), "+PONG");
    for (int i = 0; i < ANSWERS; i++) {
        cr_assert_eq(read_exactly(reader, answer, WHOLE), WHOLE, "answer %d", i);
        cr_assert_eq(memcmp(answer, "$200000\r\n", 9), 0);
        cr_assert_eq(memcmp(answer + 9, value, SIZE), 0);
    }
    close(reader);
    free(value);
    free(answer);
    finish(&scene);
}

Test(bounds, a_value_that_may_not_come_is_refused_when_it_is_announced)
{
    static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$70000000\r\n";
    struct scene scene = begin("");
    const int fd = scene_client(scene.dir);

    cr_assert_eq(send_all(fd, head, sizeof head - 1), 0);
    assert_is(scene_read(fd), "-ERR Protocol error: the request is larger than limits.input_bytes "
                              "(67108864): raise that, or send less at a time");
    assert_is(scene_read(fd), "(end)");
    close(fd);
    finish(&scene);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void send_class(int fd, const char *command, int class, int count, int keeps_each, int size)
{
    struct text text = {0};
    int asked = 0;

    for (int i = 0; i < count; i++) {
        if (keeps_each > 0 && i % keeps_each == 0)
            continue;
        asked++;
        const char *key = textf("class:%d:%d", class, i);
        add_array(&text, size > 0 ? 3 : 2);
        add_word(&text, command);
        add_word(&text, key);
        if (size > 0) {
            static char value[16384];
            add_bulk(&text, value, (size_t)size);
        }
        if (asked % 100 > 0 && i + 1 < count)
            continue;
        send_text(fd, &text);
        for (; asked > 0; asked--)
            cr_assert_neq(*scene_read(fd), '-');
    }
    if (text.size > 0)
        send_text(fd, &text);
    for (; asked > 0; asked--)
        cr_assert_neq(*scene_read(fd), '-');
}

static long await_less_rss(const struct scene *scene, long wanted)
{
    const int64_t until = now_ns() + 20000000000;

    while (rss_kib(process_pid(scene->rpd)) > wanted && now_ns() < until)
        info_number(scene->fd, "used_memory");
    return rss_kib(process_pid(scene->rpd));
}

/* One size after another is filled in, and nearly all of it is deleted. The rest is spread over all
 * slabs, and must not keep them. */
Test(bounds, what_is_deleted_goes_back_to_the_system)
{
    enum { CLASSES = 8, FILLED_KIB = 8 * 1024 };
    struct scene scene = begin("");
    const long before = rss_kib(process_pid(scene.rpd));
    long after;

    if (is_sanitized()) {
        finish(&scene);
        cr_skip("a sanitizer keeps memory");
    }
    for (int class = 0; class < CLASSES; class ++) {
        const int size = 200 << class;
        const int count = FILLED_KIB * 1024 / (size < 16384 ? size : 16384);
        send_class(scene.fd, "SET", class, count, 0, size < 16384 ? size : 16384);
        send_class(scene.fd, "DEL", class, count, 64, 0);
    }
    after = await_less_rss(&scene, before + 24 * 1024);
    cr_assert_leq(after, before + 24 * 1024, "%ld KiB, before: %ld", after, before);
    cr_assert_leq(info_number(scene.fd, "used_memory") / 1024, after);
    cr_assert_leq(info_number(scene.fd, "used_memory_dataset"),
                  info_number(scene.fd, "used_memory"));
    finish(&scene);
}
