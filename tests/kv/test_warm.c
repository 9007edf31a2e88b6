/* Serving while the snapshot loads: loaded keys are served, a key that is not loaded yet is never
 * reported as missing, and no write is lost meanwhile. */
#include "kv_scene.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS = 1000, PARTS = 64, LARGE = 20000000 };

#define assert_is(found, wanted)                                                                   \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert_str_eq(found_, (wanted));                                                        \
    } while (0)

#define assert_begins(found, wanted)                                                               \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert_eq(strncmp(found_, (wanted), strlen(wanted)), 0, "\"%s\" instead of \"%s\"",     \
                     found_, (wanted));                                                            \
    } while (0)

static bool is_loading(const char *answer)
{
    return strncmp(answer, "-LOADING ", 9) == 0;
}

/* A snapshot with KEYS keys. */
static void make_snapshot(const char *dir)
{
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    for (int i = 0; i < KEYS; i++)
        assert_is(scene_ask(fd, "SET key:%d old:%d", i, i), "+OK");
    assert_is(scene_ask(fd, "SAVE"), "+OK");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
}

/* Half of the parts are loaded. */
static struct process *start_half(const char *dir, const char *options, int *ret_fd)
{
    struct process *rpd = scene_start(dir, "", options, true);

    *ret_fd = scene_client(dir);
    scene_open_gate(dir, PARTS / 2);
    while (is_loading(scene_ask(*ret_fd, "INFO")))
        continue;
    scene_await_info(*ret_fd, "kv_loaded_parts:32\r\n");
    return rpd;
}

Test(warm, what_is_there_is_served)
{
    const char *dir = temp_dir_make();
    int loading = 0, fd;

    make_snapshot(dir);
    struct process *rpd = start_half(dir, "", &fd);
    for (int i = 0; i < KEYS; i++) {
        const char *answer = scene_ask(fd, "GET key:%d", i);
        if (is_loading(answer))
            loading++;
        else
            assert_is(answer, textf("old:%d", i));
    }
    cr_assert_gt(loading, KEYS / 4);
    cr_assert_lt(loading, KEYS * 3 / 4);
    cr_assert_not_null(strstr(scene_ask(fd, "INFO"), "loading:1\r\n"));
    scene_open_gate(dir, PARTS);
    scene_await_ready(rpd);
    for (int i = 0; i < KEYS; i++)
        assert_is(scene_ask(fd, "GET key:%d", i), textf("old:%d", i));
    assert_is(scene_ask(fd, "DBSIZE"), textf(":%d", KEYS));
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(warm, what_is_written_stays)
{
    const char *dir = temp_dir_make();
    bool written[KEYS];
    int fd;

    make_snapshot(dir);
    struct process *rpd = start_half(dir, "", &fd);
    for (int i = 0; i < KEYS; i++) {
        const char *answer = i % 2 ? scene_ask(fd, "SET key:%d new:%d", i, i)
                                   : scene_ask(fd, "DEL key:%d", i);
        written[i] = !is_loading(answer);
        if (written[i])
            assert_is(answer, i % 2 ? "+OK" : ":1");
    }
    scene_open_gate(dir, PARTS);
    scene_await_ready(rpd);
    for (int i = 0; i < KEYS; i++)
        assert_is(scene_ask(fd, "GET key:%d", i), !written[i] ? textf("old:%d", i)
                                                  : i % 2     ? textf("new:%d", i)
                                                              : "(null)");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* New keys, several keys at once, and all keys. */
Test(warm, no_answer_is_a_guess)
{
    static const char *const all[] = {"KEYS *",   "SCAN 0",  "RANDOMKEY", "DBSIZE",
                                      "FLUSHALL", "FLUSHDB", "SAVE",      "BGSAVE"};
    const char *dir = temp_dir_make();
    int fd, made = 0;

    make_snapshot(dir);
    struct process *rpd = start_half(dir, "", &fd);
    for (int i = 0; i < 200; i++) {
        const char *answer = scene_ask(fd, "SETNX fresh:%d x", i);
        if (!is_loading(answer))
            assert_is(answer, ":1");
        made += !is_loading(answer);
    }
    cr_assert_gt(made, 20);
    cr_assert_lt(made, 180);
    cr_assert(is_loading(scene_ask(fd, "MGET key:1 key:2 key:3 key:4 key:5 key:6 key:7 key:8 "
                                       "key:9 key:10 key:11 key:12 key:13 key:14 key:15 key:16")));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_begins(scene_ask(fd, "%s", all[i]), "-LOADING ");
    assert_is(scene_ask(fd, "PING"), "+PONG");
    assert_is(scene_ask(fd, "SELECT 1"), "+OK");
    assert_begins(scene_ask(fd, "NOSUCH"), "-ERR unknown command");
    scene_open_gate(dir, PARTS);
    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "SELECT 0"), "+OK");
    assert_is(scene_ask(fd, "DBSIZE"), textf(":%d", KEYS + made));
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* In a request with too few arguments, the bytes that follow are not a key. */
Test(warm, a_request_with_too_few_arguments_is_told_at_once)
{
    static const char *const modes[] = {"error", "hold"};
    const char *dir = temp_dir_make();
    char *large = malloc(LARGE);
    int fd;

    make_snapshot(dir);
    memset(large, 'x', LARGE);
    for (size_t mode = 0; mode < 2; mode++) {
        struct process *rpd = start_half(dir, textf(", \"loading\": \"%s\"", modes[mode]), &fd);
        for (int i = 0; i < 12; i++) {
            const int other = scene_client(dir);
            /* Its argument must not be taken for one of the next request's. */
            const char *head = textf("*3\r\n$4\r\nECHO\r\n$1\r\nx\r\n$%d\r\n", LARGE);
            cr_assert_eq(send_all(fd, head, strlen(head)), 0);
            cr_assert_eq(send_all(fd, large, LARGE), 0);
            cr_assert_eq(send_all(fd, "\r\n", 2), 0);
            assert_begins(scene_read(fd), "-ERR wrong number of arguments for 'echo'");
            assert_begins(scene_ask(other, "RENAME key:%d", i),
                          "-ERR wrong number of arguments for 'rename'");
            close(other);
        }
        assert_begins(scene_ask(fd, "GET"), "-ERR wrong number of arguments for 'get'");
        assert_begins(scene_ask(fd, "DBSIZE x"), "-ERR wrong number of arguments for 'dbsize'");
        assert_is(scene_ask(fd, "PING"), "+PONG");
        close(fd);
        process_signal(rpd, 9);
        process_wait_exit(rpd);
        process_free(rpd);
    }
    free(large);
    temp_dir_remove(dir);
}

Test(warm, held_requests_are_answered_in_order)
{
    const char *dir = temp_dir_make();
    char *pipeline = malloc(KEYS * 32);
    size_t size = 0;
    int fd;

    make_snapshot(dir);
    struct process *rpd = start_half(dir, ", \"loading\": \"hold\"", &fd);
    const int other = scene_client(dir);
    for (int i = 0; i < KEYS; i++)
        size += (size_t)snprintf(pipeline + size, 32, "GET key:%d\r\n", i);
    cr_assert_eq(send_all(other, pipeline, size), 0);
    assert_is(scene_ask(fd, "PING"), "+PONG");
    scene_open_gate(dir, PARTS);
    for (int i = 0; i < KEYS; i++)
        assert_is(scene_read(other), textf("old:%d", i));
    close(fd);
    close(other);
    free(pipeline);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* The file must not be overwritten with half of its content. */
Test(warm, a_stop_leaves_the_snapshot_as_it_was)
{
    const char *dir = temp_dir_make();
    struct stat before, after;
    int fd;

    make_snapshot(dir);
    cr_assert_eq(stat(textf("%s/snap", dir), &before), 0);
    struct process *rpd = start_half(dir, "", &fd);
    for (int i = 0; i < 100; i++)
        scene_ask(fd, "SET key:%d new", i);
    close(fd);
    cr_assert_eq(process_signal(rpd, 15), 0);
    scene_open_gate(dir, PARTS); /* kv cannot cancel a read that hangs. */
    cr_assert_eq(process_code(process_wait_exit(rpd)), 0);
    process_free(rpd);
    cr_assert_eq(stat(textf("%s/snap", dir), &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    cr_assert_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    temp_dir_remove(dir);
}

/* Half of the content would replace all of it. */
Test(warm, a_save_is_refused_while_it_loads)
{
    static const char refusal[] = "-LOADING the snapshot is still being loaded";
    const char *dir = temp_dir_make();
    struct stat before, after;
    int fd;

    make_snapshot(dir);
    cr_assert_eq(stat(textf("%s/snap", dir), &before), 0);
    struct process *rpd = start_half(dir, "", &fd);
    scene_ask(fd, "SET key:1 new");
    cr_assert_eq(strncmp(scene_ask(fd, "SAVE"), refusal, sizeof refusal - 1), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "BGSAVE"), refusal, sizeof refusal - 1), 0);
    cr_assert_eq(stat(textf("%s/snap", dir), &after), 0);
    cr_assert_eq(before.st_ino, after.st_ino);
    scene_open_gate(dir, PARTS);
    scene_await_ready(rpd);
    cr_assert_str_eq(scene_ask(fd, "SAVE"), "+OK");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- a damaged part ------------------------------------------------------------------ */

/* The last byte belongs to the last part. */
static void damage(const char *dir)
{
    FILE *file = fopen(textf("%s/snap", dir), "r+");
    int byte;

    fseek(file, -1, SEEK_END);
    byte = fgetc(file);
    fseek(file, -1, SEEK_END);
    fputc(byte ^ 1, file);
    fclose(file);
}

Test(warm, a_damaged_part_ends_it_where_that_is_asked_for)
{
    const char *dir = temp_dir_make();

    make_snapshot(dir);
    damage(dir);
    struct process *rpd = scene_start(dir, ", \"on_load_failure\": \"exit\"", "", false);
    cr_assert_eq(process_code(process_wait_exit(rpd)), 69, "%s", process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "part-63"), "%s", process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "checksum"), "%s", process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "and restart"), "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

/* Clients that wait for that part, or are in the middle of a request, do not delay the end until
 * drain_s: they cannot be answered. */
Test(warm, a_failed_load_does_not_wait_for_who_is_held)
{
    const char *dir = temp_dir_make();
    char *pipeline = malloc(KEYS * 32), line[64];
    size_t size = 0;

    make_snapshot(dir);
    damage(dir);
    struct process *rpd = scene_start(dir, ", \"on_load_failure\": \"exit\"",
                                      ", \"loading\": \"hold\"", true);
    const int held = scene_client(dir), half = scene_client(dir);
    scene_open_gate(dir, PARTS / 2);
    for (int i = 0; i < KEYS; i++)
        size += (size_t)snprintf(pipeline + size, 32, "GET key:%d\r\n", i);
    cr_assert_eq(send_all(held, pipeline, size), 0);
    assert_is(scene_ask(half, "PING"), "+PONG");
    cr_assert_eq(send_all(half, "*2\r\n$3\r\nGET", 11), 0);
    scene_open_gate(dir, PARTS);
    cr_assert_eq(process_code(process_wait_exit(rpd)), 69, "%s", process_stderr(rpd));
    cr_assert_null(strstr(process_stderr(rpd), "cut off"), "%s", process_stderr(rpd));
    while (read_line(held, line, sizeof line) > 0)
        continue;
    close(held);
    close(half);
    free(pipeline);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(warm, a_damaged_part_is_served_around_where_that_is_asked_for)
{
    const char *dir = temp_dir_make();
    int lost = 0;

    make_snapshot(dir);
    damage(dir);
    struct process *rpd = scene_start(dir, ", \"on_load_failure\": \"degraded\"", "", false);
    const int fd = scene_client(dir);
    scene_await_ready(rpd);
    cr_assert_not_null(strstr(process_stderr(rpd), "part-63"), "%s", process_stderr(rpd));
    for (int i = 0; i < KEYS; i++) {
        const char *answer = scene_ask(fd, "GET key:%d", i);
        lost += strncmp(answer, "-MISCONF ", 9) == 0;
        if (*answer != '-')
            assert_is(answer, textf("old:%d", i));
    }
    cr_assert_gt(lost, 0);
    cr_assert_lt(lost, KEYS / 10);
    assert_begins(scene_ask(fd, "FLUSHALL whatever"), "-ERR syntax error");
    assert_begins(scene_ask(fd, "SAVE"), "-MISCONF ");
    assert_is(scene_ask(fd, "FLUSHALL"), "+OK");
    for (int i = 0; i < KEYS; i++)
        assert_is(scene_ask(fd, "GET key:%d", i), "(null)");
    assert_is(scene_ask(fd, "SAVE"), "+OK");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* Clients that connect before anything is loaded are held, and counted like any others. */
Test(warm, clients_that_came_first_are_served_when_the_load_succeeds_at_last)
{
    const char *dir = temp_dir_make();

    file_write(textf("%s/snap", dir), "rubbish", 7);
    struct process *rpd = scene_start(dir, ", \"on_load_failure\": \"retry\"",
                                      ", \"loading\": \"hold\"", false);
    const int fd = scene_client(dir), gone = scene_client(dir);
    cr_assert_eq(process_wait_line(rpd, "trying again"), 0);
    assert_is(scene_ask(fd, "PING"), "+PONG");
    assert_is(scene_ask(gone, "PING"), "+PONG");
    cr_assert_eq(send_all(fd, "SET a 1\r\nGET a\r\n", 16), 0);
    cr_assert_eq(send_all(gone, "GET a\r\n", 7), 0);
    cr_assert_eq(unlink(textf("%s/snap", dir)), 0);
    scene_await_ready(rpd);
    assert_is(scene_read(fd), "+OK");
    assert_is(scene_read(fd), "1");
    scene_read(gone);
    cr_assert_not_null(strstr(scene_ask(fd, "INFO"), "connected_clients:2\r\n"));
    close(gone);
    scene_await_info(fd, "connected_clients:1\r\n");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(warm, a_damaged_header_may_be_lived_with)
{
    const char *dir = temp_dir_make();

    file_write(textf("%s/snap", dir), "rubbish", 7);
    struct process *rpd = scene_start(dir, ", \"on_load_failure\": \"degraded\"", "", false);
    const int fd = scene_client(dir);
    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "PING"), "+PONG");
    assert_begins(scene_ask(fd, "GET a"), "-MISCONF ");
    assert_begins(scene_ask(fd, "SET a 1"), "-MISCONF ");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0, "%s", process_stderr(rpd));
    cr_assert_str_eq(file_read(textf("%s/snap", dir)), "rubbish");
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(warm, a_damaged_header_is_no_empty_start)
{
    const char *dir = temp_dir_make();

    file_write(textf("%s/snap", dir), "rubbish", 7);
    struct process *rpd = scene_start(dir, ", \"on_load_failure\": \"exit\"", "", false);
    cr_assert_eq(process_code(process_wait_exit(rpd)), 69);
    cr_assert_not_null(strstr(process_stderr(rpd), "too short"), "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}
