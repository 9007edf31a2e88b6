/* Saving while clients write: what is saved, and when, and that it is of one moment. test_kill.c
 * tests it after a kill. */
#include "kv_scene.h"

#include <criterion/criterion.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { GROUP = 12 };

#define assert_is(found, wanted)                                                                   \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert_str_eq(found_, (wanted));                                                        \
    } while (0)

/* Sets the same number in keys all over the store. */
static const char *group_command(long number)
{
    static char text[GROUP * 40];
    size_t size = (size_t)snprintf(text, sizeof text, "MSET");

    for (int i = 0; i < GROUP; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, " group:%d %ld", i, number);
    return text;
}

/* The number in all of them. */
static long read_group(int fd)
{
    const long number = atol(scene_ask(fd, "GET group:0"));

    for (int i = 1; i < GROUP; i++)
        assert_is(scene_ask(fd, "GET group:%d", i), textf("%ld", number));
    return number;
}

static void fill(int fd, int keys)
{
    for (int i = 0; i < keys; i++)
        assert_is(scene_ask(fd, "SET filler:%d %0100d", i, i), "+OK");
}

/* Stops and starts the daemon; the client is a new one, too. */
static struct process *start_again(struct process *rpd, const char *dir, int *fd)
{
    close(*fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    rpd = scene_start(dir, "", "", false);
    *fd = scene_client(dir);
    scene_await_ready(rpd);
    return rpd;
}

Test(save, survives_a_stop)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "SET a 1"), "+OK");
    assert_is(scene_ask(fd, "SET b 2 EX 1000"), "+OK");
    assert_is(scene_ask(fd, "SELECT 15"), "+OK");
    assert_is(scene_ask(fd, "SET a \"15 \\x00 \\r\\n\""), "+OK");
    rpd = start_again(rpd, dir, &fd);
    assert_is(scene_ask(fd, "GET a"), "1");
    cr_assert_gt(atol(scene_ask(fd, "TTL b") + 1), 900);
    assert_is(scene_ask(fd, "SELECT 15"), "+OK");
    assert_is(scene_ask(fd, "STRLEN a"), ":7");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

static long used_memory(int fd)
{
    return atol(strstr(scene_ask(fd, "INFO memory"), "used_memory:") + 12);
}

/* Each part of each database has a nearly empty slab: soon they are merged. */
static long await_less_memory(int fd, long wanted)
{
    const int64_t until = now_ns() + 20000000000;

    while (used_memory(fd) >= wanted && now_ns() < until)
        poll(NULL, 0, 2);
    return used_memory(fd);
}

/* However many databases there are. Otherwise maxmemory would evict keys that were kept before. */
Test(save, what_is_loaded_takes_no_more_memory_than_before)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    int fd = scene_client(dir);
    long before, after;

    scene_await_ready(rpd);
    for (int i = 0; i < 16; i++) {
        assert_is(scene_ask(fd, "SELECT %d", i), "+OK");
        fill(fd, 4000);
    }
    before = used_memory(fd);
    rpd = start_again(rpd, dir, &fd);
    assert_is(scene_ask(fd, "DBSIZE"), ":4000");
    after = await_less_memory(fd, before + before / 10);
    cr_assert_lt(after, before + before / 10, "%ld, before: %ld", after, before);
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A save that is cancelled when its file already has its name has still replaced the old file: the
 * next save must not take it for another process's. At which point of the save the flush comes is
 * random. */
Test(save, goes_on_after_one_that_was_flushed_at_any_moment)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    for (int i = 0; i < 200; i++) {
        const struct timespec moment = {.tv_nsec = i % 40 * 100000};
        const char *answer;

        assert_is(scene_ask(fd, "SET a %d", i), "+OK");
        assert_is(scene_ask(fd, "BGSAVE"), "+Background saving started");
        nanosleep(&moment, NULL);
        assert_is(scene_ask(fd, "FLUSHALL"), "+OK");
        while (strstr(answer = scene_ask(fd, "SAVE"), "in progress"))
            continue;
        assert_is(answer, "+OK");
    }
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(save, is_not_answered_to_who_wants_no_answers)
{
    static const char requests[] = "CLIENT REPLY SKIP\nSAVE\nECHO 1\n"
                                   "CLIENT REPLY OFF\nSAVE\nCLIENT REPLY ON\nECHO 2\n";
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    cr_assert_eq(send_all(fd, requests, sizeof requests - 1), 0);
    assert_is(scene_read(fd), "1");
    assert_is(scene_read(fd), "+OK");
    assert_is(scene_read(fd), "2");
    assert_is(scene_ask(fd, "SAVE"), "+OK");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(save, nothing_is_saved_at_a_stop_where_that_is_not_wanted)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", ", \"save_at_stop\": false", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "SET a 1"), "+OK");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    cr_assert_neq(access(textf("%s/snap", dir), F_OK), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(save, is_done_from_time_to_time)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", ", \"save_interval_s\": 1", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "SET a 1"), "+OK");
    cr_assert_eq(process_wait_line(rpd, "saved 1 keys"), 0);
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(save, a_failure_is_told_and_changes_nothing)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "SET a 1"), "+OK");
    cr_assert_eq(mkdir(textf("%s/snap.tmp", dir), 0700), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "SAVE"), "-ERR not saved: ", 16), 0);
    cr_assert_not_null(strstr(scene_ask(fd, "INFO"), "rdb_last_bgsave_status:err"));
    cr_assert_eq(rmdir(textf("%s/snap.tmp", dir)), 0);
    assert_is(scene_ask(fd, "SAVE"), "+OK");
    cr_assert_not_null(strstr(scene_ask(fd, "INFO"), "rdb_last_bgsave_status:ok"));
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* As Redis does, so that the unsaved part cannot grow without limit. */
Test(save, writes_are_refused_after_one_that_failed)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "SET a 1"), "+OK");
    cr_assert_eq(mkdir(textf("%s/snap.tmp", dir), 0700), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "SAVE"), "-ERR not saved: ", 16), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "SET a 2"), "-MISCONF ", 9), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "DEL a"), "-MISCONF ", 9), 0);
    assert_is(scene_ask(fd, "GET a"), "1");
    assert_is(scene_ask(fd, "PING"), "+PONG");
    cr_assert_not_null(strstr(scene_ask(fd, "INFO"), "kv_last_save_error:"));
    cr_assert_not_null(strstr(file_read(textf("%s/kv.state", dir)), "rpdstate"));
    cr_assert_eq(rmdir(textf("%s/snap.tmp", dir)), 0);
    /* Without a request. */
    cr_assert_eq(process_wait_line(rpd, "saved 1 keys"), 0, "%s", process_stderr(rpd));
    assert_is(scene_ask(fd, "SET a 2"), "+OK");
    cr_assert_null(strstr(scene_ask(fd, "INFO"), "kv_last_save_error:"));
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(save, writes_are_taken_after_one_that_failed_where_that_is_wanted)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", ", \"stop_writes_on_save_error\": false", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    cr_assert_eq(mkdir(textf("%s/snap.tmp", dir), 0700), 0);
    cr_assert_eq(strncmp(scene_ask(fd, "SAVE"), "-ERR not saved: ", 16), 0);
    assert_is(scene_ask(fd, "SET a 2"), "+OK");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* Flushing is not a failure. */
Test(save, writes_are_taken_after_one_that_was_called_off)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    fill(fd, 2000);
    cr_assert_eq(send_all(fd, "BGSAVE\r\nFLUSHALL\r\n", 18), 0);
    assert_is(scene_read(fd), "+Background saving started");
    assert_is(scene_read(fd), "+OK");
    cr_assert_eq(process_wait_line(rpd, "a save is called off: "), 0, "%s", process_stderr(rpd));
    assert_is(scene_ask(fd, "SET a 1"), "+OK");
    cr_assert_not_null(strstr(scene_ask(fd, "INFO"), "rdb_last_bgsave_status:ok"));
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(save, is_tried_again_at_the_stop)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "SET a 1"), "+OK");
    cr_assert_eq(mkdir(textf("%s/snap.tmp", dir), 0700), 0);
    close(fd);
    process_signal(rpd, 15);
    cr_assert_eq(process_wait_line(rpd, "tried again until drain_s is over"), 0, "%s",
                 process_stderr(rpd));
    cr_assert_eq(rmdir(textf("%s/snap.tmp", dir)), 0);
    cr_assert_eq(process_code(process_wait_exit(rpd)), 0, "%s", process_stderr(rpd));
    cr_assert_null(strstr(process_stderr(rpd), "the last snapshot is as it was"));
    process_free(rpd);
    rpd = scene_start(dir, "", "", false);
    fd = scene_client(dir);
    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "GET a"), "1");
    close(fd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* The stop saves everything: the changes during the interrupted save are not lost. */
Test(save, one_that_runs_at_the_stop_is_no_failure)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    fill(fd, 3000);
    assert_is(scene_ask(fd, "BGSAVE"), "+Background saving started");
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0, "%s", process_stderr(rpd));
    cr_assert_null(strstr(process_stderr(rpd), "the last snapshot is as it was"), "%s",
                   process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(save, one_that_fails_at_the_stop_is_told)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start_with(dir, "\"drain_s\": 1, ", "", "", false);
    const int fd = scene_client(dir);

    scene_await_ready(rpd);
    assert_is(scene_ask(fd, "SET a 1"), "+OK");
    close(fd);
    cr_assert_eq(mkdir(textf("%s/snap.tmp", dir), 0700), 0);
    cr_assert_eq(process_code(process_stop(rpd)), 71, "%s", process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "unload: kv: save "), "%s", process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "; 1 changes since "), "%s",
                       process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(save, flushing_ends_it)
{
    const char *dir = temp_dir_make();
    struct process *rpd = scene_start(dir, "", "", false);
    const int fd = scene_client(dir), other = scene_client(dir);

    scene_await_ready(rpd);
    fill(fd, 5000);
    /* In one pipeline: the save has begun, and is not over. */
    cr_assert_eq(send_all(fd, "BGSAVE\r\nFLUSHALL\r\nDBSIZE\r\n", 26), 0);
    assert_is(scene_read(fd), "+Background saving started");
    assert_is(scene_read(fd), "+OK");
    assert_is(scene_read(fd), ":0");
    assert_is(scene_ask(other, "SET a 1"), "+OK");
    scene_await_info(fd, "rdb_bgsave_in_progress:0");
    cr_assert_neq(access(textf("%s/snap.tmp", dir), F_OK), 0);
    assert_is(scene_ask(fd, "SAVE"), "+OK");
    close(fd);
    close(other);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* While one client saves, another changes everything, again and again. */
Test(save, shows_one_moment)
{
    const char *dir = temp_dir_make();
    long number = 0;

    for (int round = 0; round < 5; round++) {
        struct process *rpd = scene_start(dir, "", "", false);
        const int fd = scene_client(dir), saver = scene_client(dir);
        scene_await_ready(rpd);
        if (round == 0)
            fill(fd, 5000);
        else
            read_group(fd);
        assert_is(scene_ask(fd, "%s", group_command(++number)), "+OK");
        for (int i = 0; i < 3; i++) {
            const long before = number;
            cr_assert_eq(send_all(saver, "SAVE\r\n", 6), 0);
            do {
                assert_is(scene_ask(fd, "%s", group_command(++number)), "+OK");
                scene_ask(fd, "SET filler:%ld changed", number % 5000);
                scene_ask(fd, "DEL filler:%ld", number * 7 % 5000);
                scene_ask(fd, "SET fresh:%ld %ld", number, number);
            } while (!strstr(scene_ask(fd, "INFO"), "rdb_bgsave_in_progress:0"));
            assert_is(scene_read(saver), "+OK");
            cr_assert_gt(number, before);
        }
        process_signal(rpd, 9);
        process_wait_exit(rpd);
        process_free(rpd);
        close(fd);
        close(saver);
    }
    temp_dir_remove(dir);
}
