/* What a client meets besides the commands: passwords, limits, floods. */
#include "kv_scene.h"

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define assert_is(found, wanted)                                                                   \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert_str_eq(found_, (wanted));                                                        \
    } while (0)

Test(serve, a_password_may_be_in_a_file_of_its_own)
{
    const char *dir = temp_dir_make(), *path = textf("%s/password", dir);
    const char *option = textf(", \"password_file\": \"%s\"", path);
    struct process *rpd;

    file_write(path, "secret\n", 7);
    cr_assert_eq(chmod(path, 0644), 0);
    rpd = scene_start(dir, "", option, false);
    cr_assert_eq(process_code(process_wait_exit(rpd)), 77, "%s", process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "others can read it; chmod 0600 it"), "%s",
                       process_stderr(rpd));
    process_free(rpd);
    cr_assert_eq(chmod(path, 0600), 0);
    rpd = scene_start(dir, "", option, false);
    const int fd = scene_client(dir);
    scene_await_ready(rpd);
    cr_assert_str_eq(scene_ask(fd, "GET a"), "-NOAUTH Authentication required.");
    cr_assert_str_eq(scene_ask(fd, "RESET"), "+RESET");
    cr_assert_str_eq(scene_ask(fd, "GET a"), "-NOAUTH Authentication required.");
    cr_assert_str_eq(scene_ask(fd, "AUTH secret"), "+OK");
    cr_assert_str_eq(scene_ask(fd, "PING"), "+PONG");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* As people write them; and mistakes are found before any client is served. */
Test(serve, options_have_units)
{
    static const char *const mistakes[][2] = {
        {", \"loading\": \"wait\"", "expected \"error\" or \"hold\""},
        {", \"maxmemory\": \"much\"", "maxmemory"},
        {", \"save_interval_s\": \"1.5\"", "save_interval_s"},
    };
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "",
                                      ", \"maxmemory\": \"64M\", \"save_interval_s\": \"1h30m\", "
                                      "\"loading\": \"hold\"",
                                      false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "CONFIG GET maxmemory"), "*2\r\n$9\r\nmaxmemory\r\n$8\r\n67108864");
    assert_is(scene_ask(fd, "CONFIG GET save"), "*2\r\n$4\r\nsave\r\n$6\r\n5400 1");
    close(fd);
    process_free(rpd);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        rpd = scene_start(dir, "", mistakes[i][0], false);
        cr_expect_eq(process_code(process_wait_exit(rpd)), 78, "%s", process_stderr(rpd));
        cr_expect_not_null(strstr(process_stderr(rpd), mistakes[i][1]), "%s", process_stderr(rpd));
        process_free(rpd);
    }
    temp_dir_remove(dir);
}

Test(serve, a_password_is_asked_for)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", ", \"password\": \"secret\"", false);
    int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "GET a"), "-NOAUTH Authentication required.");
    assert_is(scene_ask(fd, "PING"), "-NOAUTH Authentication required.");
    cr_assert_eq(strncmp(scene_ask(fd, "HELLO 3"), "-NOAUTH HELLO must be", 21), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "AUTH wrong"), "-WRONGPASS", 10), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "AUTH secre"), "-WRONGPASS", 10), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "AUTH secretsecret"), "-WRONGPASS", 10), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "AUTH other secret"), "-WRONGPASS", 10), 0);
    assert_is(scene_ask(fd, "AUTH secret"), "+OK");
    assert_is(scene_ask(fd, "PING"), "+PONG");
    close(fd);
    fd = scene_client(dir);
    cr_assert_eq(*scene_ask(fd, "HELLO 3 AUTH default secret"), '%');
    assert_is(scene_ask(fd, "GET a"), "(null)");
    close(fd);
    /* Before the password, large requests are refused. */
    fd = scene_client(dir);
    cr_assert_eq(send_all(fd, "*11\r\n", 5), 0);
    assert_is(scene_read(fd), "-ERR Protocol error: unauthenticated multibulk length");
    assert_is(scene_read(fd), "(end)");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(serve, memory_is_limited)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", ", \"maxmemory\": 3000000", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    for (int i = 0; i < 30000; i++)
        assert_is(scene_ask(fd, "SET key:%d %0200d", i, i), "+OK");
    const char *info = scene_ask(fd, "INFO");
    cr_assert_lt(atol(strstr(info, "used_memory:") + 12), 3100000);
    cr_assert_gt(atol(strstr(info, "evicted_keys:") + 13), 10000);
    cr_assert_not_null(strstr(scene_ask(fd, "GET key:29999"), "29999"));
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A value as large as many thousand keys: they cannot be evicted at once, so the next request has
 * to wait. */
Test(serve, large_values_keep_the_limit_too)
{
    enum { SMALL = 30000, PIECES = 60, LIMIT = 3000000 };
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", textf(", \"maxmemory\": %d", LIMIT), false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    for (int i = 0; i < SMALL; i++)
        assert_is(scene_ask(fd, "SET key:%d x", i), "+OK");
    for (int i = 0; i < PIECES; i++) {
        assert_is(scene_ask(fd, "SETRANGE large:%d 100000 x", i), ":100001");
        const long used = atol(strstr(scene_ask(fd, "INFO memory"), "used_memory:") + 12);
        cr_assert_lt(used, LIMIT + 120000, "after %d", i);
    }
    assert_is(scene_ask(fd, "STRLEN large:%d", PIECES - 1), ":100001");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A megabyte per request, requested a thousand times and never read: the answers do not pile up. */
Test(serve, a_client_that_does_not_read_costs_little)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir), other = scene_client(dir);
    char asks[1000 * 8 + 1];
    size_t size = 0;
    long before;

    scene_await_ready(rpd);
    assert_is(scene_ask(other, "SETRANGE big 1000000 x"), ":1000001");
    before = rss_kib(process_pid(rpd));
    for (int i = 0; i < 1000; i++)
        size += (size_t)snprintf(asks + size, sizeof asks - size, "GET big\n");
    cr_assert_eq(send_all(fd, asks, size), 0);
    for (int i = 0; i < 100; i++)
        assert_is(scene_ask(other, "PING"), "+PONG");
    cr_assert_lt(rss_kib(process_pid(rpd)), before + 20000);
    /* And when the client reads, all answers come. */
    for (int i = 0; i < 20; i++) {
        static char answer[10 + 1000001 + 2];
        cr_assert_eq(read_exactly(fd, answer, sizeof answer), (ssize_t)sizeof answer);
        cr_assert_eq(memcmp(answer, "$1000001\r\n", 10), 0);
        cr_assert_eq(memcmp(answer + sizeof answer - 3, "x\r\n", 3), 0);
    }
    close(fd);
    close(other);
    process_free(rpd);
    temp_dir_remove(dir);
}

enum { FILLED = 20000, SLOW = 400, BIG = 120000 };

/* How many of A's answers had come when B was answered: each is "*0\r\n". B sends its request when
 * the first of A's, which has a large answer, was answered. */
static long slow_answers_before(int a, int b)
{
    static char big[9 + BIG + 2];
    char *asks = malloc(SLOW * 16 + 16), answers[SLOW * 4];
    size_t size = (size_t)snprintf(asks, 16, "GET big\r\n");
    ssize_t got;

    for (int i = 0; i < SLOW; i++)
        size += (size_t)snprintf(asks + size, 16, "KEYS no:*\r\n");
    cr_assert_eq(send_all(a, asks, size), 0);
    cr_assert_eq(read_exactly(a, big, sizeof big), (ssize_t)sizeof big);
    assert_is(scene_ask(b, "PING"), "+PONG");
    got = recv(a, answers, sizeof answers, MSG_DONTWAIT);
    got = got > 0 ? got : 0;
    cr_assert_eq(read_exactly(a, answers, sizeof answers - (size_t)got),
                 (ssize_t)sizeof answers - got);
    free(asks);
    return got / 4;
}

/* However many requests one client has sent. The test itself may be late, so it has three tries. */
Test(serve, who_asks_for_much_leaves_others_their_turn)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int a = scene_client(dir), b = scene_client(dir);
    long fewest = SLOW;

    scene_await_ready(rpd);
    for (int i = 0; i < FILLED; i++)
        assert_is(scene_ask(a, "SET key:%d x", i), "+OK");
    assert_is(scene_ask(a, "SETRANGE big 0 %05000d", 0), ":5000");
    for (int i = 5000; i < BIG; i += 5000)
        assert_is(scene_ask(a, "APPEND big %05000d", 0), textf(":%d", i + 5000));
    for (int i = 0; i < 3 && fewest == SLOW; i++)
        fewest = slow_answers_before(a, b);
    cr_assert_lt(fewest, SLOW / 2);
    close(a);
    close(b);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

static long commands_done(int fd)
{
    static const char field[] = "total_commands_processed:";
    const char *at = strstr(scene_read(fd), field);

    cr_assert_not_null(at);
    return atol(at + sizeof field - 1);
}

/* Both have sent their requests before the daemon looks, so the number of A's requests that run
 * before B's does not depend on the scheduler. Some of them take a whole slice. Their answers are
 * too short to be sent before the batch ends, which would be another reason to check whether the
 * slice is over. Each inline request is a batch of its own. */
Test(serve, a_batch_ends_with_its_slice)
{
    enum { ASKED = 200, MOST = 12 };
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int a = scene_client(dir), b = scene_client(dir);
    static const char ask[] = "*2\r\n$8\r\nBITCOUNT\r\n$3\r\nbig\r\n";
    char asks[ASKED * (sizeof ask - 1)], answers[ASKED * 4];
    long before, done;

    scene_await_ready(rpd);
    assert_is(scene_ask(a, "SETRANGE big 200000 a"), ":200001");
    for (size_t i = 0; i < ASKED; i++)
        memcpy(asks + i * (sizeof ask - 1), ask, sizeof ask - 1);
    cr_assert_eq(send_all(b, "INFO\r\n", 6), 0);
    before = commands_done(b);
    assert_is(scene_ask(a, "PING"), "+PONG"); /* the loop sees A first */
    kill(process_pid(rpd), SIGSTOP);
    cr_assert_eq(send_all(a, asks, sizeof asks), 0);
    cr_assert_eq(send_all(b, "INFO\r\n", 6), 0);
    kill(process_pid(rpd), SIGCONT);
    done = commands_done(b) - before - 2;
    cr_assert_leq(done, MOST, "%ld requests of another", done);
    cr_assert_eq(read_exactly(a, answers, sizeof answers), (ssize_t)sizeof answers);
    close(a);
    close(b);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A request with half a million arguments leaves no memory behind. */
Test(serve, an_idle_client_costs_little)
{
    enum { CLIENTS = 24, ARGUMENTS = 500000 };
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    char *request = malloc(32 + ARGUMENTS * 8);
    size_t size = (size_t)snprintf(request, 32, "*%d\r\n$6\r\nEXISTS\r\n", ARGUMENTS + 1);
    int clients[CLIENTS];
    long before = 0;

    scene_await_ready(rpd);
    for (int i = 0; i < ARGUMENTS; i++)
        size += (size_t)snprintf(request + size, 8, "$1\r\nx\r\n");
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = scene_client(dir);
        cr_assert_eq(send_all(clients[i], request, size), 0);
        assert_is(scene_read(clients[i]), ":0");
        if (i == 0)
            before = rss_kib(process_pid(rpd));
    }
    if (!is_sanitized())
        cr_assert_lt(rss_kib(process_pid(rpd)), before + 40000);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    free(request);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(serve, many_keys_and_databases_are_flushed)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2000; i++) {
            scene_ask(fd, "SELECT %d", i % 16);
            assert_is(scene_ask(fd, "SET key:%d %0*d", i, i % 100 ? 50 : 3000, i), "+OK");
        }
        assert_is(scene_ask(fd, "SELECT 3"), "+OK");
        assert_is(scene_ask(fd, "DBSIZE"), ":125");
        assert_is(scene_ask(fd, "FLUSHDB"), "+OK");
        assert_is(scene_ask(fd, "DBSIZE"), ":0");
        assert_is(scene_ask(fd, "SELECT 4"), "+OK");
        assert_is(scene_ask(fd, "DBSIZE"), ":125");
        assert_is(scene_ask(fd, "FLUSHALL"), "+OK");
        cr_assert_null(strstr(scene_ask(fd, "INFO keyspace"), "keys="));
    }
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* SCAN returns each key that exists all the time at least once, whatever else happens. */
Test(serve, a_scan_misses_nothing)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);
    static char seen[20000];
    unsigned long long cursor = 0;
    int count = 0, added = 0;

    scene_await_ready(rpd);
    for (int i = 0; i < 20000; i++)
        assert_is(scene_ask(fd, "SET key:%d x", i), "+OK");
    do {
        const char *answer = scene_ask(fd, "SCAN %llu COUNT 50", cursor);
        cursor = strtoull(strchr(answer, '\n') + 1 + strcspn(strchr(answer, '\n') + 1, "\n") + 1,
                          NULL, 10);
        for (const char *at = answer; (at = strstr(at, "\nkey:")); at += 5)
            seen[atoi(at + 5)] = 1;
        for (int i = 0; i < 20; i++)
            scene_ask(fd, "SET other:%d x", added++);
    } while (cursor != 0);
    for (int i = 0; i < 20000; i++)
        count += seen[i];
    cr_assert_eq(count, 20000);
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}
