/* How a service with a keeper looks from outside, where two processes supply its numbers and lines:
 * metrics, the log and its level, clients; and the next runner after a crash. */
#include "common.h"
#include "observe/metrics_view.h"
#include "rpdctl_run.h"

#include <signal.h>

enum { DEADLINE_S = 60 };

struct scene {
    const char *dir, *run, *endpoint, *go, *log;
    int run_fd;
    struct process *rpd;
};

static struct scene start(bool waits)
{
    struct scene scene = {.dir = temp_dir_make()};
    const char *config = textf("%s/rpd.json", scene.dir);

    scene.run = make_run(scene.dir);
    scene.run_fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scene.endpoint = textf("unix:%s/x.sock", scene.dir);
    scene.go = textf("%s/go", scene.dir);
    scene.log = textf("%s/own.log", scene.dir);
    write_text(config,
               textf("{\"keeper\":true,\"log\":{\"limit\":0,\"to\":\"own.log\"},\"services\":[{"
                     "\"name\":\"demo\",\"plugin\":\"%s\",\"listen\":[\"%s\"],\"options\":{"
                     "\"waits_for\":\"%s\"}}]}",
                     test_plugin("counts"), scene.endpoint, waits ? scene.go : ""));
    scene.rpd = RPD_START(scene.run, "-c", config);
    assert_bound(scene.rpd);
    return scene;
}

static void end_scene(struct scene *scene)
{
    assert_stops(scene->rpd);
    process_free(scene->rpd);
    close(scene->run_fd);
    temp_dir_remove(scene->dir);
}

static void ask_ok(int fd, const char *line)
{
    tell(fd, line);
    cr_assert_str_eq(hear_line(fd), "ok", "%s", line);
}

static int64_t deadline(void)
{
    return now_ns() + DEADLINE_S * INT64_C(1000000000);
}

/* The runner that serves after this many restarts. */
static pid_t await_runner(const struct scene *scene, unsigned restarts)
{
    const int64_t until = deadline();
    struct rpd_state_page page = {0};

    while (state_view_read(scene->run_fd, "demo", &page) < 0 || page.runner_pid == 0 ||
           page.restarts != restarts) {
        cr_assert_lt(now_ns(), until, "no runner: %s", file_read(scene->log));
        poll(NULL, 0, 2);
    }
    return (pid_t)page.runner_pid;
}

static int64_t value_of(const struct scene *scene, const char *name)
{
    struct metrics_view view;
    int64_t value = -1;

    if (metrics_view_read(scene->run_fd, "demo", &view) < 0)
        return -1;
    for (size_t i = 0; i < view.count; i++)
        if (strcmp(view.rows[i].name, name) == 0)
            value = view.rows[i].value;
    metrics_view_finish(&view);
    return value;
}

static void await_value(const struct scene *scene, const char *name, int64_t wanted)
{
    const int64_t until = deadline();

    while (value_of(scene, name) != wanted) {
        cr_assert_lt(now_ns(), until, "%s is %lld instead of %lld", name,
                     (long long)value_of(scene, name), (long long)wanted);
        poll(NULL, 0, 2);
    }
}

static void await_text(const char *path, const char *part)
{
    const int64_t until = deadline();
    const char *text;

    while (!(text = file_read(path)) || !strstr(text, part)) {
        cr_assert_lt(now_ns(), until, "no \"%s\" in %s:\n%s", part, path, text ? text : "");
        poll(NULL, 0, 5);
    }
}

/* ---- metrics ---- */

/* Readers take the keeper for the process of the service. */
static pid_t pid_in_page(const struct scene *scene)
{
    const int fd = openat(scene->run_fd, "demo.metrics", O_RDONLY | O_CLOEXEC);
    struct rpd_metrics_page page;

    cr_assert_eq(pread(fd, &page, sizeof page, 0), sizeof page);
    close(fd);
    return (pid_t)page.pid;
}

Test(keeper_seen, the_page_of_metrics_is_whole_when_it_is_bound)
{
    struct scene scene = start(true);

    cr_expect_eq(value_of(&scene, "counts_lines"), 0, "a row of the backend's");
    cr_expect_eq(value_of(&scene, "rpd_generation"), 1);
    cr_expect_eq(pid_in_page(&scene), process_pid(scene.rpd));
    end_scene(&scene);
}

Test(keeper_seen, the_next_runner_has_a_page_of_metrics)
{
    struct scene scene = start(false);
    int fd = client(scene.endpoint);

    ask_ok(fd, "x");
    await_value(&scene, "counts_lines", 1);
    await_value(&scene, "rpd_clients_accepted", 1);
    cr_assert_eq(kill(await_runner(&scene, 0), SIGKILL), 0);
    close(fd);
    await_runner(&scene, 1);
    fd = client(scene.endpoint);
    ask_ok(fd, "x");
    ask_ok(fd, "x");
    await_value(&scene, "counts_lines", 2); /* it counts from 0 */
    await_value(&scene, "rpd_restarts", 1);
    cr_expect_eq(pid_in_page(&scene), process_pid(scene.rpd));
    assert_code(RPDCTL_ON(scene.run, "metrics", "demo"), 0);
    close(fd);
    end_scene(&scene);
}

/* How long the start took: the steps of both processes, in one line of the history. */
Test(keeper_seen, a_start_is_noted_once_with_the_steps_of_both_processes)
{
    struct scene scene = start(false);

    assert_code(RPDCTL_ON(scene.run, "wait", "demo", "--ready", "--timeout", "60"), 0);
    cr_assert_eq(kill(await_runner(&scene, 0), SIGKILL), 0);
    await_runner(&scene, 1);
    assert_code(RPDCTL_ON(scene.run, "wait", "demo", "--ready", "--timeout", "60"), 0);
    const char *text = file_read(textf("%s/demo.history", scene.run));
    const char *line = strstr(text, " timed 0 ");
    cr_assert_not_null(line, "%s", text);
    cr_expect_null(strstr(line + 1, " timed 0 "), "%s", text);
    for (size_t i = 0; i < 5; i++) {
        static const char *const items[] = {
            "all ready=", "step runner=", "step code=", "step publish=", "part load="};
        const char *item = strstr(line, items[i]);
        cr_assert_not_null(item, "%s in %s", items[i], line);
        cr_expect(i >= 2 || strtoull(strchr(item, '=') + 1, NULL, 10) > 0, "%s", item);
    }
    end_scene(&scene);
}

/* ---- the log ---- */

/* The name is free again before each process can notice the rename by itself; later lines of the
 * runner are in the new file. */
Test(keeper_seen, sigusr1_reaches_the_runner)
{
    struct scene scene = start(false);
    const int fd = client(scene.endpoint);
    const char *old = textf("%s.1", scene.log);
    const pid_t runner = await_runner(&scene, 0);
    struct stat opened, there;
    const int64_t until = deadline();

    ask_ok(fd, "log one");
    cr_assert_eq(rename(scene.log, old), 0);
    write_text(scene.log, "");
    cr_assert_eq(stat(scene.log, &there), 0);
    process_signal(scene.rpd, SIGUSR1);
    /* No line is written here, which would make the process look by itself. */
    do {
        cr_assert_lt(now_ns(), until, "the runner still has the old file");
        poll(NULL, 0, 5);
        cr_assert_eq(stat(textf("/proc/%d/fd/2", (int)runner), &opened), 0);
    } while (opened.st_ino != there.st_ino);
    ask_ok(fd, "log two");
    assert_has(file_read(scene.log), "said: two\n");
    assert_has(file_read(old), "said: one\n");
    close(fd);
    end_scene(&scene);
}

Test(keeper_seen, the_level_of_the_log_outlives_a_runner)
{
    struct scene scene = start(false);
    int fd = client(scene.endpoint);

    ask_ok(fd, "debug");
    assert_has_not(file_read(scene.log), "for those who debug");
    assert_code(RPDCTL_ON(scene.run, "log", "demo", "--level", "debug"), 0);
    cr_assert_eq(kill(await_runner(&scene, 0), SIGKILL), 0);
    close(fd);
    await_runner(&scene, 1);
    fd = client(scene.endpoint);
    ask_ok(fd, "debug");
    await_text(scene.log, "debug: for those who debug");
    close(fd);
    end_scene(&scene);
}

/* ---- clients ---- */

static const char *await_client(const struct scene *scene, const char *part)
{
    const int64_t until = deadline();
    struct outcome outcome;

    for (;;) {
        outcome = RPDCTL_ON(scene->run, "clients", "demo");
        assert_code(outcome, 0);
        if (strstr(outcome.out, part))
            return outcome.out;
        cr_assert_lt(now_ns(), until, "no \"%s\" in:\n%s", part, outcome.out);
        poll(NULL, 0, 10);
    }
}

static const char *id_before(const char *text, const char *part)
{
    const char *line = strstr(text, part);

    while (line > text && line[-1] != '\n')
        line--;
    return textf("%llu", strtoull(line, NULL, 10));
}

/* While the state is loaded the clients wait in the keeper; then the runner has them. */
Test(keeper_seen, clients_of_both_processes_are_listed)
{
    struct scene scene = start(true);
    const int first = client(scene.endpoint), other = client(scene.endpoint);
    const char *text = await_client(&scene, " held ");

    assert_code(RPDCTL_ON(scene.run, "clients", "demo", "--end", id_before(text, " held ")), 0);
    write_text(scene.go, "");
    text = await_client(&scene, " active ");
    assert_code(RPDCTL_ON(scene.run, "clients", "demo", "--end", id_before(text, " active ")), 0);
    assert_eof(first);
    assert_eof(other);
    assert_code(RPDCTL_ON(scene.run, "clients", "demo", "--end", "123456"), 1);
    close(first);
    close(other);
    end_scene(&scene);
}

Test(keeper_seen, a_question_to_a_runner_that_dies_is_answered)
{
    struct scene scene = start(false);
    const pid_t runner = await_runner(&scene, 0);

    assert_code(RPDCTL_ON(scene.run, "wait", "demo", "--ready", "--timeout", "60"), 0);
    cr_assert_eq(kill(runner, SIGSTOP), 0);
    const int fd = client(textf("unix:%s/demo.control", scene.run));
    tell(fd, "{\"v\":1,\"do\":\"clients\",\"service\":\"demo\"}");
    tell(fd, "{\"v\":1,\"do\":\"ping\",\"id\":7}"); /* which comes after it */
    /* The keeper has taken the request when it has answered a later one of another client. */
    const int later = client(textf("unix:%s/demo.control", scene.run));
    tell(later, "{\"v\":1,\"do\":\"ping\"}");
    assert_has(hear_line(later), "\"ok\":true");
    cr_assert_eq(kill(runner, SIGKILL), 0);
    assert_has(hear_line(fd), "the runner that was asked has ended");
    assert_has(hear_line(fd), "\"id\":7");
    close(fd);
    close(later);
    end_scene(&scene);
}

/* ---- the stop ---- */

/* The keeper kills a runner that is still starting: that is not a crash, and the exit code is that
 * of the stop. */
static bool state_file_returns(const struct scene *scene, int milliseconds)
{
    const int64_t until = now_ns() + milliseconds * INT64_C(1000000);
    struct stat status;

    while (fstatat(scene->run_fd, "demo.state", &status, 0) != 0) {
        if (now_ns() >= until)
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

/* Each new page is passed to the runner. The messages of a runner that does not hear them for a
 * while fill the channel; it is not ended for that. */
Test(keeper_seen, a_runner_that_is_busy_while_files_are_healed_is_not_ended)
{
    enum { TIMES = 400 };
    struct scene scene = start(false);
    const pid_t runner = await_runner(&scene, 0);
    bool is_full = false;

    cr_assert_eq(kill(runner, SIGSTOP), 0);
    for (int i = 0; i < TIMES && !is_full; i++) {
        cr_assert_eq(unlinkat(scene.run_fd, "demo.state", 0), 0);
        is_full = !state_file_returns(&scene, 1000);
    }
    cr_assert_eq(kill(runner, SIGCONT), 0);
    cr_assert(state_file_returns(&scene, DEADLINE_S * 1000));
    cr_assert_eq(await_runner(&scene, 0), runner);
    const int fd = client(scene.endpoint);
    ask_ok(fd, "x");
    close(fd);
    cr_assert(!strstr(file_read(scene.log), "cannot be reached"), "%s", file_read(scene.log));
    end_scene(&scene);
}

Test(keeper_seen, a_stop_while_the_next_runner_starts_ends_with_0)
{
    for (int i = 0; i < 5; i++) {
        struct scene scene = start(false);
        const pid_t keeper = process_pid(scene.rpd), first = await_runner(&scene, 0);
        const char *path = textf("/proc/%d/task/%d/children", (int)keeper, (int)keeper);
        const int64_t until = deadline();
        long next = first;

        cr_assert_eq(kill(first, SIGKILL), 0);
        while (next == first || next <= 0) {
            cr_assert_lt(now_ns(), until, "no other runner");
            const char *children = file_read(path);
            next = children ? strtol(children, NULL, 10) : 0;
        }
        end_scene(&scene);
    }
}
