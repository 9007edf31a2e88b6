/* An idle daemon rests: it hardly wakes up, and its page says so. Yet every event is served, seen
 * and healed as soon as before. */
#include "rpdctl_run.h"

#include <sched.h>
#include <sys/mount.h>

enum { DEADLINE_S = 60, LISTENING = 8 };

struct scene {
    const char *dir, *run, *endpoint;
    int run_fd;
    struct process *rpd;
};

static struct scene empty_scene(void)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.run = make_run(scene.dir);
    scene.endpoint = textf("unix:%s/x.sock", scene.dir);
    scene.run_fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return scene;
}

static struct rpd_state_page page_of(const struct scene *scene)
{
    struct rpd_state_page page;

    state_view_read(scene->run_fd, "demo", &page);
    return page;
}

static enum state_verdict verdict_of(const struct scene *scene)
{
    struct rpd_state_page page;
    enum state_verdict verdict;

    state_view_look(scene->run_fd, "demo", &page, &verdict);
    return verdict;
}

#define wait_until(condition)                                                                      \
    do {                                                                                           \
        const int64_t until = now_ns() + DEADLINE_S * INT64_C(1000000000);                         \
        while (!(condition)) {                                                                     \
            cr_assert_lt(now_ns(), until, "not " #condition);                                      \
            poll(NULL, 0, 10);                                                                     \
        }                                                                                          \
    } while (0)

static bool rests(const struct scene *scene)
{
    return page_of(scene).turned_us == RPD_STATE_RESTS;
}

/* An event is noticed at once; the pulse alone would take up to 20 s. */
#define expect_soon(began) cr_expect_lt(now_ns() - (began), 12 * INT64_C(1000000000))

static struct scene resting_scene(void)
{
    struct scene scene = empty_scene();

    scene.rpd = RPD_START(scene.run, build_path("plugins/echo.so"), "-n", "demo", "-l",
                          scene.endpoint);
    assert_bound(scene.rpd);
    wait_until(rests(&scene));
    return scene;
}

static void end_scene(struct scene *scene)
{
    if (scene->rpd) {
        assert_stops(scene->rpd);
        process_free(scene->rpd);
    }
    close(scene->run_fd);
    temp_dir_remove(scene->dir);
}

/* ---- it sleeps --------------------------------------------------------------------------- */

/* How often its threads have waited. */
static long waits_of(pid_t pid)
{
    static const char key[] = "\nvoluntary_ctxt_switches:";
    DIR *tasks = opendir(textf("/proc/%d/task", (int)pid));
    long sum = 0;

    cr_assert_not_null(tasks);
    for (const struct dirent *task; (task = readdir(tasks));) {
        const char *status = *task->d_name == '.' ? NULL
                                                  : file_read(textf("/proc/%d/task/%s/status",
                                                                    (int)pid, task->d_name));
        const char *line = status ? strstr(status, key) : NULL;

        sum += line ? strtol(line + strlen(key), NULL, 10) : 0;
    }
    closedir(tasks);
    return sum;
}

Test(rest, it_hardly_wakes_up)
{
    enum { WINDOW_S = 5 };
    struct scene scene = resting_scene();

    if (!is_sanitized()) { /* a sanitizer has threads of its own */
        const long before = waits_of(process_pid(scene.rpd));
        const int64_t began = now_ns();

        poll(NULL, 0, WINDOW_S * 1000);
        const long waits = waits_of(process_pid(scene.rpd)) - before;
        const double seconds = (double)(now_ns() - began) / 1e9;

        cr_expect_leq((double)waits, 0.2 * seconds + 2, "%ld in %.1f s", waits, seconds);
    }
    end_scene(&scene);
}

Test(rest, with_a_client_there_is_none)
{
    struct scene scene = resting_scene();
    const int fd = client(scene.endpoint);

    assert_text(ask(fd, "a"), "a", scene.rpd);
    cr_expect_not(rests(&scene));
    const uint64_t turns = page_of(&scene).turns;
    wait_until(page_of(&scene).turns >= turns + 12); /* longer than it takes to come to rest */
    cr_expect_not(rests(&scene));
    close(fd);
    wait_until(rests(&scene));
    end_scene(&scene);
}

/* The plugin's code may run without rpd: only the pulse could tell that it stands still. */
Test(rest, where_a_plugin_has_the_event_base_there_is_none)
{
    struct scene scene = empty_scene();

    scene.rpd = RPD_START(scene.run, test_plugin("stalls"), "-n", "demo", "-l", scene.endpoint,
                          "-o", "where=timer", "-o", "after_ms=4000", "-o", "ms=3000");
    assert_bound(scene.rpd);
    assert_line(scene.rpd, "test: stalls in timer");
    cr_expect_not(rests(&scene));
    assert_line(scene.rpd, "has been standing still for 1 s");
    assert_line(scene.rpd, "goes on after");
    end_scene(&scene);
}

/* ---- it wakes up ------------------------------------------------------------------------ */

Test(rest, a_stop_ends_it)
{
    struct scene scene = resting_scene();

    end_scene(&scene);
}

Test(rest, a_removed_socket_is_there_again)
{
    struct scene scene = resting_scene();

    const int64_t began = now_ns();

    cr_assert_eq(unlink(textf("%s/x.sock", scene.dir)), 0);
    assert_line(scene.rpd, "removed; recreated");
    expect_soon(began);
    assert_text(ask_once(scene.endpoint, "a"), "a", scene.rpd);
    end_scene(&scene);
}

/* The path to its socket leads elsewhere: no directory gets an event. */
Test(rest, a_symbolic_link_that_is_replaced_is_seen)
{
    struct scene scene = empty_scene();
    const char *link = textf("%s/link", scene.dir), *next = textf("%s/next", scene.dir);

    for (const char *name = "a"; name; name = *name == 'a' ? "b" : NULL) {
        cr_assert_eq(mkdir(textf("%s/%s", scene.dir, name), 0700), 0);
        cr_assert_eq(mkdir(textf("%s/%s/ep", scene.dir, name), 0700), 0);
    }
    cr_assert_eq(symlink("./a", link), 0);
    cr_assert_eq(symlink(textf("%s/b", scene.dir), next), 0);
    scene.rpd = RPD_START(scene.run, build_path("plugins/echo.so"), "-n", "demo", "-l",
                          textf("unix:%s/ep/x.sock", link));
    assert_bound(scene.rpd);
    wait_until(rests(&scene));
    const int64_t began = now_ns();
    cr_assert_eq(rename(next, link), 0);
    assert_line(scene.rpd, "directories are all there again");
    expect_soon(began);
    assert_text(ask_once(textf("unix:%s/b/ep/x.sock", scene.dir), "a"), "a", scene.rpd);
    end_scene(&scene);
}

Test(rest, a_page_that_was_cut_off_is_whole_again)
{
    struct scene scene = resting_scene();
    struct rpd_state_page page;
    const int64_t began = now_ns();

    cr_assert_eq(truncate(textf("%s/demo.state", scene.run), 0), 0);
    wait_until(state_view_read(scene.run_fd, "demo", &page) == 0 && page.phase == RPD_PHASE_READY);
    expect_soon(began);
    end_scene(&scene);
}

Test(rest, an_idle_exit_comes_after_its_time)
{
    struct scene scene = empty_scene();
    const char *config = textf("%s/c.json", scene.dir);

    write_text(config,
               textf("{\"services\":[{\"plugin\":\"%s\",\"name\":\"demo\",\"listen\":[\"%s\"],"
                     "\"idle_exit_s\":5}]}",
                     build_path("plugins/echo.so"), scene.endpoint));
    scene.rpd = RPD_START(scene.run, "-c", config);
    assert_bound(scene.rpd);
    wait_until(rests(&scene));
    const int64_t due_ns = (int64_t)page_of(&scene).ready_us * 1000 + INT64_C(5000000000);
    cr_expect_lt(now_ns(), due_ns);
    assert_ends(scene.rpd, 0);
    cr_expect_geq(now_ns(), due_ns);
    cr_expect_lt(now_ns(), due_ns + INT64_C(12000000000)); /* a rest takes 20 s */
    process_free(scene.rpd);
    scene.rpd = NULL;
    end_scene(&scene);
}

/* ---- it is seen ------------------------------------------------------------------------- */

Test(rest, status_says_that_it_waits)
{
    struct scene scene = resting_scene();
    struct outcome outcome = RPDCTL_ON(scene.run, "status", "demo");

    assert_code(outcome, 0);
    assert_has(outcome.out, "loop:      waits;");
    assert_has(outcome.out, "alive");
    wait_until(rests(&scene)); /* it was asked */
    outcome = RPDCTL_ON(scene.run, "status", "demo", "--json");
    assert_code(outcome, 0);
    assert_has(outcome.out, "\"turned_ms_ago\": null");
    end_scene(&scene);
}

Test(rest, one_that_was_killed_was_last_seen_before)
{
    struct scene scene = resting_scene();

    process_signal(scene.rpd, SIGKILL);
    process_wait_exit(scene.rpd);
    const struct outcome outcome = RPDCTL_ON(scene.run, "status", "demo");
    assert_code(outcome, 1);
    assert_has(outcome.out, ", last seen ");
    process_free(scene.rpd);
    scene.rpd = NULL;
    end_scene(&scene);
}

Test(rest, one_that_is_stopped_is_stalled)
{
    struct scene scene = resting_scene();

    cr_assert_eq(verdict_of(&scene), STATE_ALIVE);
    process_signal(scene.rpd, SIGSTOP);
    wait_until(verdict_of(&scene) == STATE_STALLED);
    const struct outcome outcome = RPDCTL_ON(scene.run, "health", "demo");
    assert_code(outcome, 2);
    assert_has(outcome.out, "its loop stands still");
    process_signal(scene.rpd, SIGCONT);
    wait_until(verdict_of(&scene) == STATE_ALIVE);
    assert_text(ask_once(scene.endpoint, "a"), "a", scene.rpd);
    end_scene(&scene);
}

/* Finds cgroups of version 2; if the system has version 1, mounts them for this process only. */
static bool find_cgroups(void)
{
    static const char root[] = "/sys/fs/cgroup";

    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           (access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0 ||
            mount("none", root, "cgroup2", 0, NULL) == 0);
}

Test(rest, one_that_is_frozen_is_stalled)
{
    const char *group = textf("/sys/fs/cgroup/rpd-test-rest-%d", (int)getpid());

    if (!find_cgroups() || mkdir(group, 0755) != 0)
        cr_skip_test("needs root, and to make a cgroup");
    struct scene scene = resting_scene();

    write_text(textf("%s/cgroup.procs", group), textf("%d\n", (int)process_pid(scene.rpd)));
    wait_until(rests(&scene));
    cr_expect_eq(verdict_of(&scene), STATE_ALIVE);
    write_text(textf("%s/cgroup.freeze", group), "1\n");
    wait_until(verdict_of(&scene) == STATE_STALLED);
    write_text(textf("%s/cgroup.freeze", group), "0\n");
    wait_until(verdict_of(&scene) == STATE_ALIVE);
    end_scene(&scene);
    wait_until(rmdir(group) == 0 || errno != EBUSY);
}

/* ---- a service made by hand, whose loop answers, or does not ------------------------------ */

struct by_hand {
    struct scene scene;
    int lock, control;
};

static struct by_hand make_by_hand(void)
{
    struct by_hand made = {.scene = empty_scene()};
    struct rpd_state_page page = page_for(getpid(), RPD_PHASE_READY);
    const char *path = textf("%s/demo.control", made.scene.run);

    page.turned_us = RPD_STATE_RESTS;
    made.lock = hold_lock(made.scene.run, "demo");
    made.control = listen_at(path, SOCK_STREAM, LISTENING);
    cr_assert_geq(made.control, 0);
    put_page(made.scene.run, "demo", &page);
    put_record(
        made.scene.run, "demo", getpid(),
        textf(",\"build\":\"x\",\"plugin\":\"x\",\"endpoints\":[],\"control\":\"%s\"", path));
    return made;
}

static void end_by_hand(struct by_hand *made)
{
    close(made->control);
    close(made->lock);
    end_scene(&made->scene);
}

Test(rest, a_loop_that_does_not_answer_is_stalled)
{
    struct by_hand made = make_by_hand();
    struct outcome outcome;

    cr_assert_eq(verdict_of(&made.scene), STATE_ALIVE);
    outcome = RPDCTL_ON(made.scene.run, "health", "demo");
    assert_code(outcome, 2);
    assert_has(outcome.out, "its loop stands still");
    outcome = RPDCTL_ON(made.scene.run, "status", "demo");
    assert_code(outcome, 1);
    assert_has(outcome.out, "stalled");
    outcome = RPDCTL_ON(made.scene.run, "wait", "demo", "--ready", "--timeout", "0.1");
    assert_code(outcome, 1);
    end_by_hand(&made);
}

Test(rest, a_loop_that_answers_is_alive)
{
    struct by_hand made = make_by_hand();
    struct process *rpdctl = RPDCTL_START(made.scene.run, "health", "demo");
    const int fd = accept4(made.control, NULL, NULL, SOCK_CLOEXEC);
    char line[256] = "";

    cr_assert_geq(fd, 0);
    cr_assert_gt(read_line(fd, line, sizeof line), 0);
    assert_has(line, "\"ping\"");
    cr_assert_eq(send_all(fd, "{\"ok\":true}\n", 12), 0);
    assert_code(outcome_of(rpdctl), 0);
    close(fd);
    end_by_hand(&made);
}
