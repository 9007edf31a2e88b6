/* The machine's clock is set while kv runs. Keys still expire after the time that they were given;
 * saved times, and Unix times in answers, follow the new clock. */
#include "kv_scene.h"

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* In milliseconds. A test may take SLOW; a difference below EXACT is not a step of the clock. */
static const long long HOUR = 3600000, YEAR = 365 * 24 * HOUR, TTL = 4 * HOUR, SLOW = HOUR / 4,
                       EXACT = 1000;

static const long long steps[] = {HOUR, -HOUR, YEAR, -YEAR};
enum { STEPS = sizeof steps / sizeof *steps };

/* ---- the scene ------------------------------------------------------------------------------ */

struct scene {
    const char *dir;
    struct process *rpd;
    int fd;
    long long off_ms;
};

static void start(struct scene *scene)
{
    scene->rpd = scene_start_with_clock(scene->dir);
    scene->fd = scene_client(scene->dir);
    scene_await_ready(scene->rpd);
}

static void set_clock(struct scene *scene, long long off_ms)
{
    scene->off_ms = off_ms;
    scene_set_clock(scene->dir, off_ms);
}

static struct scene begin(void)
{
    struct scene scene = {.dir = temp_dir_make()};

    set_clock(&scene, 0);
    start(&scene);
    return scene;
}

static void end(struct scene *scene)
{
    close(scene->fd);
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

/* Saved keys are there again: after a SAVE and a kill, or after a stop. */
static void save_and_start_again(struct scene *scene, bool by_stop)
{
    if (by_stop) {
        cr_assert_eq(process_code(process_stop(scene->rpd)), 0, "%s", process_stderr(scene->rpd));
    } else {
        cr_assert_str_eq(scene_ask(scene->fd, "SAVE"), "+OK");
        process_signal(scene->rpd, SIGKILL);
        process_wait_exit(scene->rpd);
    }
    close(scene->fd);
    process_free(scene->rpd);
    start(scene);
}

/* The clock as the daemon sees it. */
static long long wall_ms(const struct scene *scene)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000 + scene->off_ms;
}

#define assert_is(found, wanted) cr_assert_str_eq(found, wanted)

/* It expires in this time, or a little sooner. */
static void assert_left(const struct scene *scene, const char *key, long long wanted_ms)
{
    const char *answer = scene_ask(scene->fd, "PTTL %s", key);
    const long long left_ms = atoll(answer + 1);

    cr_assert(*answer == ':' && left_ms > wanted_ms - SLOW && left_ms < wanted_ms + EXACT,
              "%s: %s instead of %lld", key, answer, wanted_ms);
}

static void set(const struct scene *scene, const char *key, long long ttl_ms)
{
    assert_is(scene_ask(scene->fd, "SET %s value PX %lld", key, ttl_ms), "+OK");
}

/* ---- tests ---------------------------------------------------------------------------------- */

Test(clock, a_step_changes_no_time_to_live)
{
    for (int i = 0; i < STEPS; i++) {
        struct scene scene = begin();

        set(&scene, "a", TTL);
        set_clock(&scene, steps[i]);
        assert_left(&scene, "a", TTL);
        end(&scene);
    }
}

static void assert_kept(long long step_ms, bool by_stop)
{
    struct scene scene = begin();

    set(&scene, "before", TTL);
    set_clock(&scene, step_ms);
    set(&scene, "after", TTL);
    save_and_start_again(&scene, by_stop);
    assert_left(&scene, "before", TTL);
    assert_left(&scene, "after", TTL);
    end(&scene);
}

Test(clock, what_is_saved_after_a_step_expires_when_it_should)
{
    for (int i = 0; i < STEPS; i++)
        assert_kept(steps[i], false);
}

Test(clock, what_is_saved_at_the_stop_after_a_step_expires_when_it_should)
{
    for (int i = 0; i < STEPS; i++)
        assert_kept(steps[i], true);
}

/* For saved keys the clock counts, not the time for which the daemon runs. */
Test(clock, time_goes_on_while_it_does_not_run)
{
    struct scene scene = begin();

    set_clock(&scene, YEAR);
    set(&scene, "a", TTL);
    set(&scene, "b", HOUR);
    assert_is(scene_ask(scene.fd, "SAVE"), "+OK");
    process_signal(scene.rpd, SIGKILL);
    process_wait_exit(scene.rpd);
    process_free(scene.rpd);
    close(scene.fd);
    set_clock(&scene, YEAR + 2 * HOUR);
    start(&scene);
    assert_left(&scene, "a", TTL - 2 * HOUR);
    /* The key does not exist at all, not even as an expired one. */
    assert_is(scene_ask(scene.fd, "DBSIZE"), ":1");
    cr_assert_not_null(strstr(scene_ask(scene.fd, "INFO"), "expired_keys:0\r"));
    assert_is(scene_ask(scene.fd, "GET b"), "(null)");
    end(&scene);
}

static void assert_absolute(const struct scene *scene)
{
    const long long then_ms = wall_ms(scene) + TTL;

    assert_is(scene_ask(scene->fd, "SET a value"), "+OK");
    assert_is(scene_ask(scene->fd, "PEXPIREAT a %lld", then_ms), ":1");
    assert_left(scene, "a", TTL);
    assert_is(scene_ask(scene->fd, "SET b value PXAT %lld", then_ms), "+OK");
    assert_left(scene, "b", TTL);
    assert_is(scene_ask(scene->fd, "EXPIREAT a %lld", then_ms / 1000), ":1");
    assert_left(scene, "a", TTL);
    assert_is(scene_ask(scene->fd, "EXPIREAT a %lld", (then_ms - 2 * TTL) / 1000), ":1");
    assert_is(scene_ask(scene->fd, "GET a"), "(null)");
}

Test(clock, unix_time_is_that_of_the_clock_as_it_is)
{
    for (int i = 0; i < STEPS; i++) {
        struct scene scene = begin();

        assert_absolute(&scene);
        set_clock(&scene, steps[i]);
        assert_absolute(&scene);
        save_and_start_again(&scene, false);
        assert_left(&scene, "b", TTL);
        assert_absolute(&scene);
        end(&scene);
    }
}
