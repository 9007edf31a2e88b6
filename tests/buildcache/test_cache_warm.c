/* While folders are still being read: no false miss, no wait, nothing forgotten. */
#include "scene.h"

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OBJECTS = 3000 };

static size_t size_of(unsigned number)
{
    return number * 97 % 9000 + (number % 50 == 0 ? 200000 : 0);
}

static void fill(const char *dir)
{
    struct process *rpd = scene_start(dir, "", "");
    const int fd = scene_connect(scene_http(dir));

    for (unsigned i = 0; i < OBJECTS; i++)
        cr_assert_eq(
            scene_ask(fd, "PUT", textf("/%u", i), "", scene_bytes(i, size_of(i)), size_of(i))
                .status,
            200);
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
}

static void check_hit(int fd, const char *path, unsigned seed)
{
    const struct answer answer = scene_ask(fd, "GET", path, "", NULL, 0);

    cr_assert_eq(answer.status, 200, "a false miss: %d for %s", answer.status, path);
    cr_assert_eq(answer.size, size_of(seed));
    cr_assert_eq(memcmp(answer.body, scene_bytes(seed, size_of(seed)), answer.size), 0);
}

static bool is_ready(struct process *rpd)
{
    return strstr(process_stderr(rpd), "buildcache: ready") != NULL;
}

/* Reads, writes and removes at each stage of the load; each does what it does afterwards. */
Test(cache_warm, nothing_is_missed_while_folders_are_read)
{
    static const int gates[] = {0, 0, 1, 40, 130, 255, 256};
    const char *dir = temp_dir_make();
    struct process *rpd;
    int fd;

    fill(dir);
    rpd = scene_start_gated(dir, ", \"memory\": 0");
    fd = scene_connect(scene_http(dir));
    for (unsigned g = 0; g < sizeof gates / sizeof *gates; g++) {
        scene_open_gate(dir, gates[g]);
        for (unsigned i = g; i < OBJECTS; i += 7) {
            if (i % 5 != 4) /* those are removed below */
                check_hit(fd, textf("/%u", i), i);
            cr_assert_eq(scene_ask(fd, "GET", textf("/none/%u", i), "", NULL, 0).status, 404);
        }
        cr_assert_eq(
            scene_ask(fd, "PUT", textf("/new/%u", g), "", scene_bytes(g, size_of(g)), size_of(g))
                .status,
            200);
        for (unsigned i = 0; i <= g; i++)
            check_hit(fd, textf("/new/%u", i), i);
        for (unsigned i = 4 + 5 * g; i < OBJECTS; i += 35) {
            cr_assert_eq(scene_ask(fd, "DELETE", textf("/%u", i), "", NULL, 0).status, 204);
            cr_assert_eq(scene_ask(fd, "GET", textf("/%u", i), "", NULL, 0).status, 404);
        }
        cr_assert_eq(is_ready(rpd), false, "the gate is open for %d", gates[g]);
        if (gates[g] == 255)
            break;
    }
    scene_open_gate(dir, 256);
    scene_await_ready(rpd);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 5 != 4)
            check_hit(fd, textf("/%u", i), i);
        else if (i % 35 < 30)
            cr_assert_eq(scene_ask(fd, "GET", textf("/%u", i), "", NULL, 0).status, 404);
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* What is on disk is more than max_size: nothing goes before all is known, and then the oldest. */
Test(cache_warm, eviction_begins_when_all_is_known)
{
    const char *dir = temp_dir_make();
    struct process *rpd;
    uint64_t bytes;
    int fd;

    fill(dir);
    usleep(200000); /* the order of uses is known to a tenth of a second */
    rpd = scene_start_gated(dir, ", \"max_size\": 1048576, \"memory\": 0");
    fd = scene_connect(scene_http(dir));
    scene_open_gate(dir, 200);
    for (unsigned i = 0; i < 20; i++)
        check_hit(fd, textf("/%u", i), i);
    cr_assert_eq(scene_ask(fd, "PUT", "/new", "", "hello", 5).status, 200);
    cr_assert_eq(scene_count_objects(dir, &bytes), OBJECTS + 1);
    cr_assert_gt(bytes, 2000000);
    scene_open_gate(dir, 256);
    scene_await_ready(rpd);
    const int64_t until = now_ns() + 20000000000;
    while (scene_count_objects(dir, &bytes) > 0 && bytes > 1048576)
        cr_assert_lt(now_ns(), until);
    cr_assert_gt(bytes, 700000);      /* the last to go may have had 200 KB */
    for (unsigned i = 0; i < 20; i++) /* they were used last */
        check_hit(fd, textf("/%u", i), i);
    cr_assert_eq(scene_ask(fd, "GET", "/new", "", NULL, 0).status, 200);
    close(fd);
    cr_assert_eq(process_code(process_stop(rpd)), 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(cache_warm, a_stop_does_not_wait_for_the_load)
{
    const char *dir = temp_dir_make();
    struct process *rpd;

    fill(dir);
    rpd = scene_start_gated(dir, "");
    scene_open_gate(dir, 3);
    cr_assert_eq(scene_get(dir, "/1").status, 200);
    process_signal(rpd, SIGTERM);
    scene_open_gate(dir, 256);
    cr_assert_eq(process_code(process_wait_exit(rpd)), 0, "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}
