/* Transactions and subscriptions that involve two clients or a load. differential.c and libraries/
 * compare the view of one client with Redis. */
#include "kv_scene.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARTS = 64, KEYS = 500 };

#define assert_is(found, wanted)                                                                   \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert_str_eq(found_, (wanted));                                                        \
    } while (0)

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* A snapshot, and a daemon that has loaded half of its parts. */
static struct process *start_half(const char *dir, int *ret_fd)
{
    struct process *rpd = scene_start(dir, "", "", false);
    int fd = scene_client(dir);

    scene_await_ready(rpd);
    for (int i = 0; i < KEYS; i++)
        assert_is(scene_ask(fd, "SET key:%d old", i), "+OK");
    assert_is(scene_ask(fd, "SAVE"), "+OK");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    rpd = scene_start(dir, "", "", true);
    *ret_fd = scene_client(dir);
    scene_open_gate(dir, PARTS / 2);
    while (begins(scene_ask(*ret_fd, "INFO"), "-LOADING"))
        continue;
    scene_await_info(*ret_fd, "kv_loaded_parts:32\r\n");
    return rpd;
}

/* One of its keys is not loaded yet: none is written. */
Test(multi, while_it_loads_a_transaction_is_done_as_a_whole_or_not_at_all)
{
    const char *dir = temp_dir_make();
    int there = -1, absent = -1, fd;
    struct process *rpd = start_half(dir, &fd);

    for (int i = 0; i < KEYS; i++)
        *(begins(scene_ask(fd, "GET key:%d", i), "-LOADING") ? &absent : &there) = i;
    cr_assert_geq(there, 0);
    cr_assert_geq(absent, 0);
    assert_is(scene_ask(fd, "MULTI"), "+OK");
    assert_is(scene_ask(fd, "SET key:%d new", there), "+QUEUED");
    cr_assert(begins(scene_ask(fd, "SET key:%d new", absent), "-LOADING"));
    assert_is(scene_ask(fd, "EXEC"),
              "-EXECABORT Transaction discarded because of previous errors.");
    assert_is(scene_ask(fd, "GET key:%d", there), "old");
    assert_is(scene_ask(fd, "WATCH key:%d", there), "+OK");
    assert_is(scene_ask(fd, "MULTI"), "+OK");
    assert_is(scene_ask(fd, "SET key:%d new", there), "+QUEUED");
    assert_is(scene_ask(fd, "EXEC"), "*1\r\n+OK");
    assert_is(scene_ask(fd, "GET key:%d", there), "new");
    scene_open_gate(dir, PARTS);
    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "GET key:%d", absent), "old");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

static void queue(int fd, int from, int count)
{
    char *text = malloc((size_t)count * 32);
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += (size_t)snprintf(text + size, 32, "SET %d x\n", from + i);
    cr_assert_eq(send_all(fd, text, size), 0);
    free(text);
    for (int i = 0; i < count; i++)
        assert_is(scene_read(fd), "+QUEUED");
}

/* However long it takes, and whether or not its client waits for the answer. */
Test(multi, others_see_all_of_it_or_nothing)
{
    enum { MANY = 20000, AT_ONCE = 1000 };
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    for (int round = 0; round < 4; round++) {
        const int other = scene_client(dir);
        assert_is(scene_ask(other, "MULTI"), "+OK");
        for (int i = 0; i < MANY; i += AT_ONCE)
            queue(other, i, AT_ONCE);
        assert_is(scene_ask(fd, "DBSIZE"), ":0");
        cr_assert_eq(send_all(other, "EXEC\r\n", 6), 0);
        if (round % 2)
            close(other);
        for (int i = 0; i < 20; i++) {
            const char *count = scene_ask(fd, "DBSIZE");
            cr_assert(strcmp(count, ":0") == 0 || strcmp(count, ":20000") == 0, "%s", count);
        }
        while (strcmp(scene_ask(fd, "DBSIZE"), ":20000") != 0 && round % 2 == 0)
            continue;
        if (round % 2 == 0)
            close(other);
        do
            assert_is(scene_ask(fd, "FLUSHALL"), "+OK");
        while (strcmp(scene_ask(fd, "DBSIZE"), ":0") != 0);
    }
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    cr_assert_null(strstr(process_stderr(rpd), "does not keep"), "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

/* The commands that wait for EXEC have the same bound as a request. */
Test(multi, a_transaction_is_bounded)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, ", \"limits\": {\"input_bytes\": 100000}", "", false);
    const int fd = scene_client(dir);
    const char *answer = "+QUEUED";
    int count = 0;

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "MULTI"), "+OK");
    for (; strcmp(answer, "+QUEUED") == 0 && count < 1000; count++)
        answer = scene_ask(fd, "SET a %01000d", 0);
    cr_assert_gt(count, 50);
    cr_assert_lt(count, 150);
    assert_is(answer, "-ERR the transaction is larger than limits.input_bytes");
    cr_assert(begins(scene_ask(fd, "EXEC"), "-EXECABORT"));
    assert_is(scene_ask(fd, "EXISTS a"), ":0");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(multi, an_expiry_is_a_change_of_what_is_watched)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir), other = scene_client(dir);

    scene_await_ready(rpd);
    for (int i = 0; i < 100; i++) /* so that a segment has other keys, too */
        scene_ask(fd, "SET key:%d x", i);
    assert_is(scene_ask(fd, "SET gone x"), "+OK");
    assert_is(scene_ask(fd, "WATCH gone"), "+OK");
    assert_is(scene_ask(fd, "PEXPIRE key:1 1"), ":1");
    while (strcmp(scene_ask(other, "DBSIZE"), ":100") != 0)
        continue;
    assert_is(scene_ask(fd, "MULTI"), "+OK");
    assert_is(scene_ask(fd, "PING"), "+QUEUED");
    assert_is(scene_ask(fd, "EXEC"), "*1\r\n+PONG");
    assert_is(scene_ask(other, "PEXPIRE gone 200"), ":1");
    assert_is(scene_ask(fd, "WATCH gone"), "+OK");
    while (strcmp(scene_ask(other, "DBSIZE"), ":99") != 0)
        continue;
    assert_is(scene_ask(fd, "MULTI"), "+OK");
    assert_is(scene_ask(fd, "PING"), "+QUEUED");
    assert_is(scene_ask(fd, "EXEC"), "*-1");
    close(fd);
    close(other);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* Nor does a change of another key, or of the same name in another database. */
Test(multi, others_are_not_watched)
{
    enum { OTHERS = 5000 };
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir), other = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "WATCH key"), "+OK");
    for (int i = 0; i < OTHERS; i++)
        assert_is(scene_ask(other, "SET other:%d x", i), "+OK");
    assert_is(scene_ask(other, "SELECT 1"), "+OK");
    assert_is(scene_ask(other, "SET key x"), "+OK");
    assert_is(scene_ask(fd, "MULTI"), "+OK");
    assert_is(scene_ask(fd, "PING"), "+QUEUED");
    assert_is(scene_ask(fd, "EXEC"), "*1\r\n+PONG");
    assert_is(scene_ask(fd, "WATCH key"), "+OK");
    assert_is(scene_ask(other, "SELECT 0"), "+OK");
    assert_is(scene_ask(other, "SET key x"), "+OK");
    assert_is(scene_ask(fd, "MULTI"), "+OK");
    assert_is(scene_ask(fd, "PING"), "+QUEUED");
    assert_is(scene_ask(fd, "EXEC"), "*-1");
    close(fd);
    close(other);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A subscriber that never reads is closed at its limit; the publisher and the others continue. */
Test(multi, a_listener_that_does_not_read_is_cut)
{
    enum { MESSAGES = 4000, SIZE = 1000 };
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, ", \"limits\": {\"output_bytes\": 1000000}", "", false);
    const int publisher = scene_client(dir), slow = scene_client(dir), quick = scene_client(dir);
    const char *answer = ":2";

    scene_await_ready(rpd);
    assert_is(scene_ask(slow, "SUBSCRIBE news"), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1");
    assert_is(scene_ask(quick, "PSUBSCRIBE n*"), "*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1");
    for (int i = 0; i < MESSAGES && strcmp(answer, ":2") == 0; i++) {
        answer = scene_ask(publisher, "PUBLISH news %0*d", SIZE, i);
        cr_assert(begins(scene_read(quick), "*4\r\n$8\r\npmessage"));
    }
    assert_is(answer, ":1");
    assert_is(scene_ask(publisher, "PUBSUB NUMSUB news"), "*2\r\n$4\r\nnews\r\n:0");
    close(publisher);
    close(slow);
    close(quick);
    process_free(rpd);
    temp_dir_remove(dir);
}
