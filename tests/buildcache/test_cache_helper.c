/* The protocol of ccache's storage helpers, from outside. */
#include "scene.h"

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GET, PUT, REMOVE, STOP, INFO, EXISTS };
enum { OK, NOOP, ERR };

/* ---- a client ------------------------------------------------------------------------------- */

static int connect_helper(const char *dir)
{
    const int fd = scene_connect(scene_helper(dir));
    unsigned char greeting[5];

    cr_assert_eq(read_exactly(fd, greeting, 5), 5);
    cr_assert_eq(memcmp(greeting, "\1\3\0\1\2", 5), 0);
    return fd;
}

static int read_byte(int fd)
{
    unsigned char byte;

    return read_exactly(fd, &byte, 1) == 1 ? byte : -1;
}

static void send_key(int fd, int request, const void *key, size_t size)
{
    unsigned char head[2 + 255] = {(unsigned char)request, (unsigned char)size};

    memcpy(head + 2, key, size);
    cr_assert_eq(send_all(fd, head, 2 + size), 0);
}

static int put_key(int fd, const void *key, size_t key_size, int flags, const void *value,
                   uint64_t size)
{
    unsigned char head[1 + sizeof size] = {(unsigned char)flags};

    send_key(fd, PUT, key, key_size);
    memcpy(head + 1, &size, sizeof size);
    cr_assert_eq(send_all(fd, head, sizeof head), 0);
    cr_assert_eq(send_all(fd, value, size), 0);
    return read_byte(fd);
}

/* The size; -1: it is not there. The value is valid until the next one. */
static int64_t get_key(int fd, const void *key, size_t key_size, char **ret_value)
{
    static char *value;
    uint64_t size;
    int status;

    send_key(fd, GET, key, key_size);
    status = read_byte(fd);
    if (status == NOOP)
        return -1;
    cr_assert_eq(status, OK);
    cr_assert_eq(read_exactly(fd, &size, sizeof size), sizeof size);
    free(value);
    value = malloc(size + 1);
    cr_assert_eq(read_exactly(fd, value, size), (ssize_t)size);
    *ret_value = value;
    return (int64_t)size;
}

static int exists_key(int fd, const void *key, size_t size)
{
    send_key(fd, EXISTS, key, size);
    cr_assert_eq(read_byte(fd), OK);
    return read_byte(fd);
}

static int remove_key(int fd, const void *key, size_t size)
{
    send_key(fd, REMOVE, key, size);
    return read_byte(fd);
}

/* Twenty bytes, as ccache's. */
static const char *key_of(unsigned number)
{
    static char key[20];

    memcpy(key, "\0\1\n\r\377key-of-a-result", 20);
    memcpy(key + 16, &number, sizeof number);
    return key;
}

static struct process *start(const char *dir, const char *options)
{
    struct process *rpd = scene_start(dir, options, "");

    scene_await_ready(rpd);
    return rpd;
}

static void end(struct process *rpd, const char *dir)
{
    cr_assert_eq(process_code(process_stop(rpd)), 0, "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- tests ---------------------------------------------------------------------------------- */

Test(cache_helper, each_request_is_answered)
{
    const char *dir = temp_dir_make(), *key = key_of(1);
    struct process *rpd = start(dir, "");
    const int fd = connect_helper(dir);
    char *value;

    cr_assert_eq(get_key(fd, key, 20, &value), -1);
    cr_assert_eq(exists_key(fd, key, 20), 0);
    cr_assert_eq(remove_key(fd, key, 20), NOOP);
    cr_assert_eq(put_key(fd, key, 20, 0, "one", 3), OK);
    cr_assert_eq(put_key(fd, key, 20, 0, "two", 3), NOOP, "it was not to be overwritten");
    cr_assert(get_key(fd, key, 20, &value) == 3 && memcmp(value, "one", 3) == 0);
    cr_assert_eq(put_key(fd, key, 20, 1, "three", 5), OK);
    cr_assert(get_key(fd, key, 20, &value) == 5 && memcmp(value, "three", 5) == 0);
    cr_assert_eq(exists_key(fd, key, 20), 1);
    cr_assert_eq(put_key(fd, key, 20, 1, "", 0), OK);
    cr_assert_eq(get_key(fd, key, 20, &value), 0);
    cr_assert_eq(remove_key(fd, key, 20), OK);
    cr_assert_eq(get_key(fd, key, 20, &value), -1);
    close(fd);
    end(rpd, dir);
}

Test(cache_helper, keys_are_any_bytes)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const int fd = connect_helper(dir);
    char key[255], *value;

    for (int size = 0; size <= 255; size += 51) {
        memset(key, size, sizeof key);
        cr_assert_eq(put_key(fd, key, (size_t)size, 1, &size, sizeof size), OK);
    }
    for (int size = 0; size <= 255; size += 51) {
        memset(key, size, sizeof key);
        cr_assert_eq(get_key(fd, key, (size_t)size, &value), sizeof size);
        cr_assert_eq(memcmp(value, &size, sizeof size), 0);
    }
    cr_assert_eq(scene_put(dir, "/a", "http", 4), 200);
    cr_assert_eq(get_key(fd, "/a", 2, &value), -1, "HTTP's keys are others");
    close(fd);
    end(rpd, dir);
}

Test(cache_helper, ten_thousand_keys)
{
    enum { KEYS = 10000 };
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    int fd = connect_helper(dir);
    char *value;

    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_eq(put_key(fd, key_of(i), 20, 0, scene_bytes(i, i % 3000), i % 3000), OK);
    close(fd);
    process_signal(rpd, SIGKILL);
    process_wait_exit(rpd);
    process_free(rpd);
    rpd = scene_start(dir, "", "");
    fd = connect_helper(dir);
    for (unsigned i = 0; i < KEYS; i++) {
        cr_assert_eq(get_key(fd, key_of(i), 20, &value), i % 3000, "%u", i);
        cr_assert_eq(memcmp(value, scene_bytes(i, i % 3000), i % 3000), 0, "%u", i);
    }
    cr_assert_eq(get_key(fd, key_of(KEYS), 20, &value), -1);
    close(fd);
    end(rpd, dir);
}

/* 1 GiB with RPD_TEST_LONG=1; and the daemon's memory does not grow with it. */
Test(cache_helper, a_value_of_any_size_is_streamed)
{
    const uint64_t size = scene_is_long() ? UINT64_C(1) << 30 : 150 << 20;
    enum { PIECE = 1 << 20, MEMORY_KIB = 64 * 1024 };
    const char *dir = temp_dir_make(), *piece = scene_bytes(1, PIECE);
    struct process *rpd = start(dir, ", \"max_size\": \"8G\", \"max_object\": \"1G\"");
    const int fd = connect_helper(dir);
    char *got = malloc(PIECE), head[1 + sizeof size] = {1};
    uint64_t got_size;
    long memory;

    send_key(fd, PUT, "large", 5);
    memcpy(head + 1, &size, sizeof size);
    cr_assert_eq(send_all(fd, head, sizeof head), 0);
    for (uint64_t sent = 0; sent < size; sent += PIECE)
        cr_assert_eq(send_all(fd, piece, PIECE), 0);
    cr_assert_eq(read_byte(fd), OK);
    for (int again = 0; again < 2; again++) {
        send_key(fd, GET, "large", 5);
        cr_assert_eq(read_byte(fd), OK);
        cr_assert_eq(read_exactly(fd, &got_size, sizeof got_size), sizeof got_size);
        cr_assert_eq(got_size, size);
        for (uint64_t read_size = 0; read_size < size; read_size += PIECE) {
            cr_assert_eq(read_exactly(fd, got, PIECE), PIECE);
            cr_assert_eq(memcmp(got, piece, PIECE), 0);
        }
    }
    memory = rss_kib(process_pid(rpd));
    cr_assert(is_sanitized() || memory < MEMORY_KIB, "%ld KiB", memory);
    free(got);
    close(fd);
    end(rpd, dir);
}

Test(cache_helper, what_cannot_be_stored_is_no_error)
{
    const char *dir = temp_dir_make(), *value = scene_bytes(1, 3000000);
    struct process *rpd = start(dir, ", \"max_object\": 1000");
    int fd = connect_helper(dir);
    char *got;

    cr_assert_eq(put_key(fd, "large", 5, 1, value, 3000000), NOOP);
    cr_assert_eq(get_key(fd, "large", 5, &got), -1);
    cr_assert_eq(put_key(fd, "small", 5, 1, value, 1000), OK);
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    rpd = start(dir, ", \"read_only\": true");
    fd = connect_helper(dir);
    cr_assert_eq(put_key(fd, "other", 5, 1, value, 10), NOOP);
    cr_assert_eq(remove_key(fd, "small", 5), NOOP);
    cr_assert_eq(get_key(fd, "small", 5, &got), 1000);
    close(fd);
    end(rpd, dir);
}

/* The greeting comes at once, a get finds what there is, a put is stored. */
Test(cache_helper, it_serves_while_folders_are_read)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    int fd = connect_helper(dir);
    char *value;

    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq(put_key(fd, key_of(i), 20, 0, &i, sizeof i), OK);
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    rpd = scene_start_gated(dir, "");
    fd = connect_helper(dir);
    for (unsigned i = 0; i < 300; i++) {
        cr_assert_eq(get_key(fd, key_of(i), 20, &value), sizeof i);
        cr_assert_eq(memcmp(value, &i, sizeof i), 0);
    }
    cr_assert_eq(get_key(fd, key_of(300), 20, &value), -1);
    cr_assert_eq(exists_key(fd, key_of(3), 20), 1);
    cr_assert_eq(put_key(fd, key_of(300), 20, 0, "new", 3), OK);
    cr_assert_eq(get_key(fd, key_of(300), 20, &value), 3);
    cr_assert_null(strstr(process_stderr(rpd), "buildcache: ready"));
    scene_open_gate(dir, 256);
    scene_await_ready(rpd);
    close(fd);
    end(rpd, dir);
}

Test(cache_helper, requests_may_come_in_any_pieces)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const int fd = connect_helper(dir);
    /* put, get, exists, remove, get: in one piece, then byte by byte */
    static const char requests[] = "\1\3key\1\5\0\0\0\0\0\0\0value"
                                   "\0\3key\5\3key\2\3key\0\3key";
    static const char answers[] = "\0"
                                  "\0\5\0\0\0\0\0\0\0value"
                                  "\0\1"
                                  "\0"
                                  "\1";
    char got[sizeof answers - 1];

    for (int piece = 0; piece < 2; piece++) {
        for (size_t at = 0; piece == 1 && at < sizeof requests - 1; at++)
            cr_assert_eq(send_all(fd, requests + at, 1), 0);
        if (piece == 0)
            cr_assert_eq(send_all(fd, requests, sizeof requests - 1), 0);
        cr_assert_eq(read_exactly(fd, got, sizeof got), sizeof got);
        cr_assert_eq(memcmp(got, answers, sizeof got), 0);
    }
    close(fd);
    end(rpd, dir);
}

Test(cache_helper, what_is_no_request_is_an_error_and_the_end)
{
    static const char *const others[] = {"\6", "\377", "GET / HTTP/1.1\r\n\r\n"};
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    char text[256];

    for (size_t i = 0; i < 3; i++) {
        const int fd = connect_helper(dir);
        cr_assert_eq(send_all(fd, others[i], strlen(others[i])), 0);
        cr_assert_eq(read_byte(fd), ERR);
        const int size = read_byte(fd);
        cr_assert_gt(size, 0);
        cr_assert_eq(read_exactly(fd, text, (size_t)size), size);
        cr_assert_eq(read_byte(fd), -1);
        close(fd);
    }
    /* Half a value is no value. */
    const int fd = connect_helper(dir);
    cr_assert_eq(send_all(fd, "\1\3key\1\5\0\0\0\0\0\0\0val", 17), 0);
    shutdown(fd, SHUT_WR);
    while (read_byte(fd) >= 0)
        continue;
    close(fd);
    const int other = connect_helper(dir);
    cr_assert_eq(exists_key(other, "key", 3), 0);
    close(other);
    end(rpd, dir);
}

static const char *read_text(int fd)
{
    static char text[256];
    const int size = read_byte(fd);

    cr_assert_geq(size, 0);
    cr_assert_eq(read_exactly(fd, text, (size_t)size), size);
    text[size] = '\0';
    return text;
}

Test(cache_helper, info_says_what_it_is)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, "");
    const int fd = connect_helper(dir);
    int count;

    cr_assert_eq(put_key(fd, "k", 1, 1, "v", 1), OK);
    cr_assert_eq(send_all(fd, "\4", 1), 0);
    cr_assert_str_eq(read_text(fd), "rpd buildcache");
    count = read_byte(fd);
    cr_assert_eq(count, 3);
    cr_assert_str_eq(read_text(fd), textf("directory: %s/cache", dir));
    cr_assert_str_eq(read_text(fd), "objects: 1, 4096 bytes");
    cr_assert_str_eq(read_text(fd), "hits: 0, misses: 0");
    close(fd);
    end(rpd, dir);
}

Test(cache_helper, a_client_may_stop_it_if_the_user_lets_it)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start(dir, ", \"helper_may_stop\": false");
    int fd = connect_helper(dir);

    cr_assert_eq(send_all(fd, "\3", 1), 0);
    cr_assert_eq(read_byte(fd), OK);
    cr_assert_eq(exists_key(fd, "k", 1), 0, "it goes on");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    rpd = start(dir, "");
    fd = connect_helper(dir);
    const int silent = connect_helper(dir); /* the stop does not wait for it */
    cr_assert_eq(send_all(fd, "\3", 1), 0);
    cr_assert_eq(read_byte(fd), OK);
    cr_assert_eq(process_code(process_wait_exit(rpd)), 0, "%s", process_stderr(rpd));
    close(fd);
    close(silent);
    process_free(rpd);
    temp_dir_remove(dir);
}
