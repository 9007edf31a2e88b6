/* The state page from outside: when it exists, what it says, and how a reader judges a service that
 * was killed, stopped, or has ended. */
#include "common.h"
#include "observe/state_view.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>

enum { DEADLINE_S = 20 };

/* A directory with the run-time directory, and rpd with echo in it. */
struct scene {
    const char *dir, *run;
    int run_fd;
    struct process *rpd;
};

static struct process *start(const struct scene *scene, const char *plugin)
{
    return RPD_START(scene->run, plugin, "-n", "demo", "-l", textf("unix:%s/x.sock", scene->dir));
}

static struct scene empty_scene(void)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.run = textf("%s/run", scene.dir);
    cr_assert_eq(mkdir(scene.run, 0700), 0);
    scene.run_fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return scene;
}

static struct scene bound_scene(void)
{
    struct scene scene = empty_scene();

    scene.rpd = start(&scene, build_path("plugins/echo.so"));
    assert_bound(scene.rpd);
    return scene;
}

static void end_scene(struct scene *scene)
{
    process_free(scene->rpd);
    close(scene->run_fd);
    temp_dir_remove(scene->dir);
}

static struct rpd_state_page page_of(const struct scene *scene)
{
    struct rpd_state_page page;

    cr_assert_eq(state_view_read(scene->run_fd, "demo", &page), 0, "%s", strerror(errno));
    return page;
}

static enum state_verdict verdict_of(const struct scene *scene)
{
    struct rpd_state_page page;
    enum state_verdict verdict;

    state_view_look(scene->run_fd, "demo", &page, &verdict);
    return verdict;
}

/* The page is read again and again, because stores to memory send no event. */
static void wait_for_verdict(const struct scene *scene, enum state_verdict wanted)
{
    const int64_t began = now_ns();

    while (verdict_of(scene) != wanted) {
        cr_assert_lt(now_ns() - began, DEADLINE_S * INT64_C(1000000000), "%s instead of %s",
                     state_verdict_text(verdict_of(scene)), state_verdict_text(wanted));
        poll(NULL, 0, 1);
    }
}

static void wait_for_phase(const struct scene *scene, enum rpd_phase wanted)
{
    const int64_t began = now_ns();

    while (page_of(scene).phase != wanted) {
        cr_assert_lt(now_ns() - began, DEADLINE_S * INT64_C(1000000000), "phase %u instead of %d",
                     page_of(scene).phase, wanted);
        poll(NULL, 0, 1);
    }
}

static ino_t inode_of(const struct scene *scene)
{
    struct stat status;

    cr_assert_eq(fstatat(scene->run_fd, "demo.state", &status, AT_SYMLINK_NOFOLLOW), 0);
    return status.st_ino;
}

/* ---- where and when it exists ------------------------------------------------------ */

Test(state, is_there_when_bound_is_announced)
{
    struct scene scene = bound_scene();
    const struct rpd_state_page page = page_of(&scene);
    struct stat status;

    cr_assert_eq(fstatat(scene.run_fd, "demo.state", &status, AT_SYMLINK_NOFOLLOW), 0);
    cr_expect_eq(status.st_mode, S_IFREG | 0644);
    cr_expect_eq(status.st_size, RPD_STATE_SIZE);
    cr_expect_eq(page.pid, (uint32_t)process_pid(scene.rpd));
    cr_expect_str_eq(page.service, "demo");
    cr_expect_gt(page.start_time, 0);
    cr_expect_gt(page.bound_us, 0);
    cr_expect_geq(page.turned_us, page.bound_us);
    cr_expect_neq(verdict_of(&scene), STATE_DEAD);
    assert_stops(scene.rpd);
    end_scene(&scene);
}

Test(state, names_the_build)
{
    struct scene scene = bound_scene();
    const struct rpd_state_page page = page_of(&scene);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", "--version")});

    cr_assert_eq(process_code(process_wait_exit(rpd)), 0);
    const char *version = process_stdout(rpd) + strlen("rpd ");
    cr_expect_eq(strncmp(page.build, version, strcspn(version, "\n")), 0, "%s", page.build);
    process_free(rpd);
    assert_stops(scene.rpd);
    end_scene(&scene);
}

Test(state, goes_at_a_clean_stop)
{
    struct scene scene = bound_scene();

    assert_stops(scene.rpd);
    assert_empty(scene.run);
    cr_expect_eq(verdict_of(&scene), STATE_DEAD);
    end_scene(&scene);
}

Test(state, says_stopped_to_who_has_it_mapped)
{
    struct scene scene = bound_scene();
    const int fd = openat(scene.run_fd, "demo.state", O_RDONLY | O_CLOEXEC);
    const struct rpd_state_page *mapped = mmap(NULL, RPD_STATE_SIZE, PROT_READ, MAP_SHARED, fd, 0);

    cr_assert_neq(mapped, MAP_FAILED);
    cr_expect_neq(mapped->phase, RPD_PHASE_STOPPED);
    assert_stops(scene.rpd);
    cr_expect_eq(mapped->phase, RPD_PHASE_STOPPED);
    close(fd);
    end_scene(&scene);
}

Test(state, is_left_by_a_kill_and_replaced_by_the_next_start)
{
    struct scene scene = bound_scene();
    const struct rpd_state_page killed = page_of(&scene);
    const ino_t inode = inode_of(&scene);
    const int page = openat(scene.run_fd, "demo.state", O_RDONLY | O_CLOEXEC);

    /* While it is open, no other file gets its inode number. */
    cr_assert_geq(page, 0);
    process_signal(scene.rpd, SIGKILL);
    process_wait_exit(scene.rpd);
    cr_expect_eq(page_of(&scene).pid, killed.pid);
    cr_expect_neq(page_of(&scene).phase, RPD_PHASE_STOPPED);
    cr_expect_eq(verdict_of(&scene), STATE_DEAD);
    process_free(scene.rpd);

    scene.rpd = start(&scene, build_path("plugins/echo.so"));
    assert_bound(scene.rpd);
    cr_expect_neq(inode_of(&scene), inode);
    close(page);
    cr_expect_eq(page_of(&scene).pid, (uint32_t)process_pid(scene.rpd));
    cr_expect_neq(verdict_of(&scene), STATE_DEAD);
    assert_stops(scene.rpd);
    assert_empty(scene.run);
    end_scene(&scene);
}

Test(state, leftovers_of_killed_starts_are_swept)
{
    struct scene scene = empty_scene();

    write_text(textf("%s/.demo.state.99999.tmp", scene.run), "half a page");
    scene.rpd = start(&scene, build_path("plugins/echo.so"));
    assert_line(scene.rpd, "ready");
    cr_expect_neq(faccessat(scene.run_fd, ".demo.state.99999.tmp", F_OK, 0), 0);
    assert_stops(scene.rpd);
    assert_empty(scene.run);
    end_scene(&scene);
}

/* ---- starts without a page ---------------------------------------------------------- */

Test(state, all_pages_go_when_one_cannot_be_made)
{
    struct scene scene = empty_scene();
    const char *config = textf("%s/c.json", scene.dir);
    const char *in_the_way = textf("%s/two.state", scene.run);

    write_text(config, "{\"services\":[{\"plugin\":\"echo.so\",\"name\":\"one\"},"
                       "{\"plugin\":\"echo.so\",\"name\":\"two\"}]}");
    cr_assert_eq(mkdir(in_the_way, 0700), 0);
    scene.rpd = RPD_START(scene.run, "-c", config);
    assert_ends(scene.rpd, 73);
    cr_expect_not_null(strstr(process_stderr(scene.rpd), textf("publish: %s: ", in_the_way)), "%s",
                       process_stderr(scene.rpd));
    cr_expect_str_eq(listing(scene.run), textf("%s/\n", in_the_way), "%s", listing(scene.run));
    end_scene(&scene);
}

/* A file system of this test's own, too small for the page. */
static void mount_small(const struct scene *scene)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", scene->run, "tmpfs", 0, "size=12k,mode=0700") != 0)
        cr_skip("needs root, to mount a small file system");
}

Test(state, a_full_run_time_directory_ends_the_start)
{
    struct scene scene = empty_scene();

    mount_small(&scene);
    scene.rpd = start(&scene, build_path("plugins/echo.so"));
    assert_ends(scene.rpd, 73);
    cr_expect_not_null(strstr(process_stderr(scene.rpd), "cannot make the state page: No space"),
                       "%s", process_stderr(scene.rpd));
    assert_empty(scene.run);
    umount(scene.run);
    end_scene(&scene);
}

/* ---- the verdict of a reader --------------------------------------------------------- */

Test(state, a_stopped_process_is_stalled)
{
    struct scene scene = bound_scene();
    const int64_t began = now_ns();

    process_signal(scene.rpd, SIGSTOP);
    wait_for_verdict(&scene, STATE_STALLED);
    cr_log_info("stalled after %.1f ms", (double)(now_ns() - began) / 1e6);
    process_signal(scene.rpd, SIGCONT);
    assert_stops(scene.rpd);
    end_scene(&scene);
}

Test(state, follows_the_phases_of_the_service)
{
    static const char request[] = "id\njob 60000 x\n";
    struct scene scene = empty_scene();
    char line[64];

    scene.rpd = start(&scene, test_plugin("talk"));
    assert_bound(scene.rpd);
    wait_for_phase(&scene, RPD_PHASE_READY);
    cr_expect_geq(page_of(&scene).ready_us, page_of(&scene).bound_us);

    const int fd = connect_to(textf("unix:%s/x.sock", scene.dir));
    cr_assert_eq(send_all(fd, request, sizeof request - 1), 0);
    cr_assert_gt(read_line(fd, line, sizeof line), 0);
    process_signal(scene.rpd, SIGTERM);
    wait_for_phase(&scene, RPD_PHASE_DRAINING);
    cr_expect_gt(page_of(&scene).phase_us, page_of(&scene).ready_us);
    close(fd);
    assert_ends(scene.rpd, 0);
    assert_empty(scene.run);
    end_scene(&scene);
}

/* The end is not clean until the whole process has got there. */
Test(state, a_service_that_has_stopped_before_others_is_stopping)
{
    static const char request[] = "id\njob 60000 x\n";
    struct scene scene = empty_scene();
    const char *config = textf("%s/rpd.json", scene.dir);
    const char *text = textf(
        "{\"services\":["
        "{\"name\":\"demo\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/x.sock\"]},"
        "{\"name\":\"busy\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/y.sock\"]}]}",
        build_path("plugins/echo.so"), scene.dir, test_plugin("talk"), scene.dir);
    char line[64];

    file_write(config, text, strlen(text));
    scene.rpd = RPD_START(scene.run, "-c", config);
    assert_bound(scene.rpd);
    const int fd = connect_to(textf("unix:%s/y.sock", scene.dir));
    cr_assert_eq(send_all(fd, request, sizeof request - 1), 0);
    cr_assert_gt(read_line(fd, line, sizeof line), 0);
    process_signal(scene.rpd, SIGTERM);
    assert_line(scene.rpd, "demo: stopped");
    cr_expect_eq(page_of(&scene).phase, RPD_PHASE_STOPPING);
    close(fd);
    assert_ends(scene.rpd, 0);
    end_scene(&scene);
}

Test(state, a_service_that_loads_is_warming)
{
    struct scene scene = empty_scene();

    scene.rpd = RPD_START(scene.run, test_plugin("misbehave"), "-n", "demo", "-l",
                          textf("unix:%s/x.sock", scene.dir), "-o", "load=forever");
    assert_line(scene.rpd, "test: loads");
    cr_expect_eq(page_of(&scene).phase, RPD_PHASE_WARMING);
    assert_stops(scene.rpd);
    end_scene(&scene);
}

Test(heartbeat, a_loop_turns_four_times_a_second)
{
    struct scene scene = bound_scene();
    const int fd = client(textf("unix:%s/x.sock", scene.dir)); /* otherwise it would rest soon */
    const int64_t began = now_ns();

    while (page_of(&scene).turns < 8 && now_ns() - began < DEADLINE_S * INT64_C(1000000000))
        poll(NULL, 0, 1);
    cr_expect_geq(page_of(&scene).turns, 8);
    cr_log_info("8 turns in %.3f s", (double)(now_ns() - began) / 1e9);
    wait_for_verdict(&scene, STATE_ALIVE);
    close(fd);
    assert_stops(scene.rpd);
    end_scene(&scene);
}

Test(heartbeat, a_process_that_goes_on_is_alive_again)
{
    struct scene scene = bound_scene();

    process_signal(scene.rpd, SIGSTOP);
    wait_for_verdict(&scene, STATE_STALLED);
    /* Waits until it counts as stalled by its clock, too: continuing must undo that as well. */
    const uint64_t stopped_us = page_of(&scene).turned_us;
    while (stopped_us != RPD_STATE_RESTS &&
           (uint64_t)now_ns() / 1000u < stopped_us + RPD_STATE_STALL_US)
        poll(NULL, 0, 10);
    process_signal(scene.rpd, SIGCONT);
    wait_for_verdict(&scene, STATE_ALIVE);
    assert_stops(scene.rpd);
    end_scene(&scene);
}

/* By a cleaner of temporary files, for example. Updates by workers stay visible. */
Test(state, a_removed_page_and_record_are_there_again)
{
    static const char *const names[] = {"demo.state", "demo.json"};
    struct scene scene = empty_scene();

    scene.rpd = RPD_START(scene.run, build_path("samples/slow_start.so"), "-n", "demo", "-l",
                          textf("unix:%s/x.sock", scene.dir), "-o", "load_s=60");
    assert_bound(scene.rpd);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cr_assert_eq(unlinkat(scene.run_fd, names[i], 0), 0);
        assert_line(scene.rpd, textf("%s was removed; recreated", names[i]));
        cr_expect_eq(faccessat(scene.run_fd, names[i], R_OK, 0), 0);
    }
    const uint64_t done = page_of(&scene).parts[0].done;
    const int64_t began = now_ns();
    while (page_of(&scene).parts[0].done == done) {
        cr_assert_lt(now_ns() - began, DEADLINE_S * INT64_C(1000000000), "the load stands still");
        poll(NULL, 0, 1);
    }
    cr_expect_eq(verdict_of(&scene), STATE_WARMING);
    assert_stops(scene.rpd);
    end_scene(&scene);
}
