/* A daemon's files, and what can happen to them: cleaners, users with an odd umask, full disks, and
 * truncation. And the names that operators see. */
#include "common.h"
#include "observe/state_view.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>

struct scene {
    const char *dir, *run, *endpoint;
    int run_fd;
    struct process *rpd;
};

static struct scene scene_with(const char *const *env)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.run = textf("%s/run", scene.dir);
    scene.endpoint = textf("unix:%s/echo.sock", scene.run);
    scene.rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "echo.so"), .runtime_dir = scene.run, .env = env, .notify = true});
    assert_bound(scene.rpd);
    assert_line(scene.rpd, "ready (");
    scene.run_fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return scene;
}

static void end_scene(struct scene *scene)
{
    assert_text(ask_once(scene->endpoint, "alive"), "alive", scene->rpd);
    assert_stops(scene->rpd);
    assert_empty(scene->run);
    close(scene->run_fd);
    process_free(scene->rpd);
    temp_dir_remove(scene->dir);
}

static enum state_verdict verdict_of(const struct scene *scene)
{
    struct rpd_state_page page;
    enum state_verdict verdict;

    state_view_look(scene->run_fd, "echo", &page, &verdict);
    return verdict;
}

static int ensure_code(const struct scene *scene)
{
    struct process *caller = process_start(&(struct process_options){
        .argv = ARGS("rpdctl", "ensure", "echo.so"), .runtime_dir = scene->run});
    const int code = process_code(process_wait_exit(caller));

    process_free(caller);
    return code;
}

/* ---- names -------------------------------------------------------------------------- */

/* The paths, as ss -xl shows them. */
Test(files, sockets_are_bound_by_their_path)
{
    struct scene scene = scene_with(NULL);
    const char *text = file_read("/proc/net/unix");

    cr_assert_eq(
        lines_with(text, textf(" %s/.echo.sock.%d.tmp", scene.run, (int)process_pid(scene.rpd))),
        1);
    cr_assert_eq(
        lines_with(text, textf(" %s/.echo.control.%d.tmp", scene.run, (int)process_pid(scene.rpd))),
        1);
    end_scene(&scene);
}

/* A path that does not fit a socket address is bound through the descriptor of its directory, and
 * must be reached in the same way. */
Test(files, long_directory)
{
    const char *dir = temp_dir_make();
    const char *run = textf("%s/%0*d", dir, 80, 0);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", "echo.so", "-l", textf("unix:%s/x", run)),
                                  .runtime_dir = run,
                                  .notify = true});

    assert_bound(rpd);
    assert_text(ask_once(textf("unix:%s/x", run), "far"), "far", rpd);
    assert_stops(rpd);
    assert_empty(run);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- cleaners ------------------------------------------------------------------------ */

Test(files, directory_is_locked_for_cleaners)
{
    struct scene scene = scene_with(NULL);

    cr_assert_eq(flock(scene.run_fd, LOCK_EX | LOCK_NB), -1);
    cr_assert_eq(errno, EWOULDBLOCK);
    /* Other daemons can still start there, and do not wait for the lock. */
    struct process *other = process_start(&(struct process_options){
        .argv = ARGS("rpd", "echo.so", "-n", "other"), .runtime_dir = scene.run, .notify = true});
    assert_bound(other);
    assert_stops(other);
    process_free(other);
    assert_text(ask_once(scene.endpoint, "alive"), "alive", scene.rpd);
    assert_stops(scene.rpd);
    cr_assert_eq(flock(scene.run_fd, LOCK_EX | LOCK_NB), 0);
    close(scene.run_fd);
    process_free(scene.rpd);
    temp_dir_remove(scene.dir);
}

/* After a move the directory holds another lock. */
Test(files, directory_is_locked_after_a_move)
{
    struct scene scene = scene_with(NULL);

    cr_assert_eq(rename(scene.run, textf("%s.old", scene.run)), 0);
    cr_assert_eq(mkdir(scene.run, 0700), 0);
    assert_line(scene.rpd, "directories are all there again");
    const int fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), -1);
    /* (With a keeper, the runner releases it a moment later.) */
    for (int64_t began = now_ns(); flock(scene.run_fd, LOCK_EX | LOCK_NB) != 0;) {
        cr_assert_lt(now_ns() - began, 20 * INT64_C(1000000000));
        process_poll(&scene.rpd, 1, 1000000);
    }
    close(fd);
    end_scene(&scene);
}

/* The real cleaner, with an age limit of zero. */
Test(files, systemd_tmpfiles)
{
    if (geteuid() != 0 || access("/usr/bin/systemd-tmpfiles", X_OK) != 0)
        cr_skip_test("needs root and systemd-tmpfiles");
    struct scene scene = scene_with(NULL);
    const char *rules = textf("%s/rules.conf", scene.dir), *bait = textf("%s/bait", scene.dir);

    write_text(bait, "");
    cr_assert_eq(mkdir(textf("%s/empty", scene.dir), 0700), 0);
    write_text(textf("%s/empty/bait", scene.dir), "");
    write_text(rules, textf("e %s - - - 0\n", scene.dir));
    struct process *cleaner = process_start(
        &(struct process_options){.argv = ARGS("systemd-tmpfiles", "--clean", rules)});
    process_wait_exit(cleaner);
    cr_assert_neq(access(textf("%s/empty/bait", scene.dir), F_OK), 0, "it has cleaned nothing: %s",
                  process_stderr(cleaner));
    const char *const names[] = {"echo.sock",  "echo.lock",    "echo.json",
                                 "echo.state", "echo.control", ".echo.sock.lock"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_eq(access(textf("%s/%s", scene.run, names[i]), F_OK), 0, "%s", names[i]);
    cr_expect_eq(lines_with(process_stderr(scene.rpd), "there again"), 0);
    process_free(cleaner);
    end_scene(&scene);
}

static const struct timespec long_ago[] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

static bool was_used(const struct scene *scene, const char *name)
{
    struct stat status;

    return fstatat(scene->run_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_atim.tv_sec > long_ago[0].tv_sec + 1;
}

Test(files, touched_once_an_hour)
{
    static const char *const names[] = {"echo.sock",   "echo.lock",    "echo.json",
                                        "echo.state",  "echo.control", ".echo.sock.lock",
                                        "echo.history"};
    enum { COUNT = sizeof names / sizeof *names };
    const char *shift = textf("%s/shift", temp_dir_make());
    int64_t seconds = 0;

    file_write(shift, &seconds, sizeof seconds);
    struct scene scene = scene_with(
        ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/libclock_shim.so")),
             textf("TEST_CLOCK_SHIFT=%s", shift), "ASAN_OPTIONS=verify_asan_link_order=0"));
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(utimensat(scene.run_fd, names[i], long_ago, AT_SYMLINK_NOFOLLOW), 0, "%s",
                     names[i]);
    struct stat signed_at;
    const int fd = open(shift, O_WRONLY | O_CLOEXEC);
    seconds = 3601;
    cr_assert_eq(pwrite(fd, &seconds, sizeof seconds, 0), (ssize_t)sizeof seconds);
    close(fd);
    for (size_t i = 0; i < COUNT; i++)
        for (int64_t began = now_ns(); !was_used(&scene, names[i]);) {
            cr_assert_lt(now_ns() - began, 20 * INT64_C(1000000000), "%s is not touched", names[i]);
            process_poll(&scene.rpd, 1, 10000000);
        }
    /* The file still says since when the lock has been held. */
    cr_assert_eq(fstatat(scene.run_fd, "echo.lock", &signed_at, 0), 0);
    cr_assert_eq(signed_at.st_mtim.tv_sec, long_ago[1].tv_sec);
    end_scene(&scene);
}

/* ---- modes ------------------------------------------------------------------------------- */

static mode_t mode_of(const char *path)
{
    struct stat status;

    cr_assert_eq(lstat(path, &status), 0, "%s: %s", path, strerror(errno));
    return status.st_mode & 07777;
}

Test(files, modes_are_set_whatever_the_umask_is)
{
    const char *dir = temp_dir_make(), *run = textf("%s/run", dir);
    const char *state = textf("XDG_STATE_HOME=%s/state", dir);
    const mode_t mask = umask(0274);
    struct process *ensure = process_start(&(struct process_options){
        .argv = ARGS("rpdctl", "ensure", "echo.so"), .runtime_dir = run, .env = ARGS(state)});

    umask(mask);
    cr_assert_eq(process_code(process_wait_exit(ensure)), 0, "%s", process_stderr(ensure));
    cr_expect_eq(mode_of(run), 0700);
    cr_expect_eq(mode_of(textf("%s/echo.ensure.lock", run)), 0600);
    cr_expect_eq(mode_of(textf("%s/echo.lock", run)), 0600);
    cr_expect_eq(mode_of(textf("%s/state/rpd/echo.log", dir)) & 0600, 0600);
    /* A file that an earlier rpd made with that mode. */
    cr_assert_eq(chmod(textf("%s/echo.ensure.lock", run), 0400), 0);
    struct process *stop = process_start(
        &(struct process_options){.argv = ARGS("rpdctl", "stop", "echo"), .runtime_dir = run});
    cr_assert_eq(process_code(process_wait_exit(stop)), 0);
    process_free(ensure);
    ensure = process_start(&(struct process_options){
        .argv = ARGS("rpdctl", "ensure", "echo.so"), .runtime_dir = run, .env = ARGS(state)});
    cr_assert_eq(process_code(process_wait_exit(ensure)), 0, "%s", process_stderr(ensure));
    cr_expect_eq(mode_of(textf("%s/echo.ensure.lock", run)), 0600);
    process_free(stop);
    stop = process_start(
        &(struct process_options){.argv = ARGS("rpdctl", "stop", "echo"), .runtime_dir = run});
    cr_assert_eq(process_code(process_wait_exit(stop)), 0);
    process_free(stop);
    process_free(ensure);
    temp_dir_remove(dir);
}

/* As another user: root has a directory of its own in any case. */
Test(files, session_directory_that_is_not_there)
{
    if (geteuid() != 0 || !others_reach_the_build())
        cr_skip_test("needs root, and a build tree that others reach");
    const int uid = 700000 + (int)getpid();
    const char *run = textf("/tmp/rpd-%d", uid);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("setpriv", textf("--reuid=%d", uid), textf("--regid=%d", uid),
                     "--clear-groups", build_path("rpd"), "echo.so"),
        .env = ARGS("RPD_RUNTIME_DIR", textf("XDG_RUNTIME_DIR=/nowhere/%d", uid)),
        .notify = true});

    assert_bound(rpd);
    assert_line(rpd, "warning: XDG_RUNTIME_DIR names a directory that is not there");
    assert_text(ask_once(textf("unix:%s/echo.sock", run), "hi"), "hi", rpd);
    assert_stops(rpd);
    process_free(rpd);
    struct process *rm = process_start(&(struct process_options){.argv = ARGS("rm", "-r", run)});
    cr_assert_eq(process_code(process_wait_exit(rm)), 0);
    process_free(rm);
}

/* ---- a full disk --------------------------------------------------------------------------- */

Test(files, lock_removed_without_inodes)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("needs root");
    const char *dir = temp_dir_make();
    struct scene scene = {.dir = dir, .run = textf("%s/run", dir)};

    scene.endpoint = textf("unix:%s/echo.sock", scene.run);
    cr_assert_eq(mkdir(scene.run, 0700), 0);
    cr_assert_eq(mount("rpd-test", scene.run, "tmpfs", 0, "mode=0700,size=4m,nr_inodes=40"), 0);
    scene.rpd = RPD_START(scene.run, "echo.so");
    assert_bound(scene.rpd);
    assert_line(scene.rpd, "ready (");
    scene.run_fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(ensure_code(&scene), 0);
    int filled = 0;
    while (filled < 100 && mkdir(textf("%s/fill-%d", scene.run, filled), 0700) == 0)
        filled++;
    cr_assert_eq(errno, ENOSPC);
    /* The test holds the old file, so that its inode does not make room for a new one. */
    cr_assert_eq(unlinkat(scene.run_fd, "echo.lock", 0), 0);
    assert_line(scene.rpd, "cannot open the lock file: No space left on device; free space, or "
                           "inodes, in its directory");
    cr_assert_eq(verdict_of(&scene), STATE_ALIVE);
    cr_assert_eq(ensure_code(&scene), 0);
    assert_text(ask_once(scene.endpoint, "alive"), "alive", scene.rpd);
    while (filled-- > 0)
        cr_assert_eq(rmdir(textf("%s/fill-%d", scene.run, filled)), 0);
    for (int64_t began = now_ns(); faccessat(scene.run_fd, "echo.lock", F_OK, 0) != 0;) {
        cr_assert_lt(now_ns() - began, 60 * INT64_C(1000000000), "%s", process_stderr(scene.rpd));
        process_poll(&scene.rpd, 1, 10000000);
    }
    end_scene(&scene);
}

/* ---- damage ------------------------------------------------------------------------------ */

static void await_page(const struct scene *scene)
{
    struct rpd_state_page page;

    for (int64_t began = now_ns(); state_view_read(scene->run_fd, "echo", &page) != 0 ||
                                   page.pid != (uint32_t)process_pid(scene->rpd) ||
                                   page.phase != RPD_PHASE_READY;) {
        cr_assert_lt(now_ns() - began, 20 * INT64_C(1000000000), "no page:\n%s",
                     process_stderr(scene->rpd));
        process_poll((struct process *const *)&scene->rpd, 1, 10000000);
    }
    cr_assert_str_eq(page.service, "echo");
    cr_assert_neq(page.ready_us, 0);
}

/* Truncated to nothing, within its first block, and to one block; and to nothing and long again,
 * without a SIGBUS. */
Test(files, state_page_cut_off)
{
    static const off_t sizes[] = {0, 100, 4096, RPD_STATE_SIZE};
    struct scene scene = scene_with(NULL);
    const char *path = textf("%s/echo.state", scene.run);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i] == RPD_STATE_SIZE)
            cr_assert_eq(truncate(path, 0), 0);
        cr_assert_eq(truncate(path, sizes[i]), 0);
        assert_text(ask_once(scene.endpoint, "alive"), "alive", scene.rpd);
        await_page(&scene);
        cr_assert_eq(verdict_of(&scene), STATE_ALIVE, "%zu: %s\n%s", i,
                     state_verdict_text(verdict_of(&scene)), process_stderr(scene.rpd));
        /* The daemon may have seen both truncations above as one. */
        cr_assert_eq(process_wait_lines(scene.rpd, "echo.state was removed", i + 1), 0);
    }
    end_scene(&scene);
}

static bool is_fresh(const struct scene *scene, ino_t old)
{
    struct stat status;

    return fstatat(scene->run_fd, "echo.json", &status, 0) == 0 && status.st_ino != old;
}

/* 550 bytes each, and one line each, once. */
Test(files, healing_costs_nothing_that_stays)
{
    enum { WARM_UP = 100, TIMES = 1500 };
    struct scene scene = scene_with(NULL);
    long before = 0;

    for (int i = 0; i < WARM_UP + TIMES; i++) {
        struct stat status;
        if (i == WARM_UP)
            before = rss_kib(process_pid(scene.rpd));
        cr_assert_eq(fstatat(scene.run_fd, "echo.json", &status, 0), 0);
        cr_assert_eq(unlinkat(scene.run_fd, "echo.json", 0), 0);
        /* The inode number of the removed file may be used again. */
        for (int64_t began = now_ns(); !is_fresh(&scene, 0);)
            cr_assert_lt(now_ns() - began, 20 * INT64_C(1000000000), "%d: %s", i,
                         process_stderr(scene.rpd));
    }
    const long grown = rss_kib(process_pid(scene.rpd)) - before;
    if (!is_sanitized())
        cr_assert_lt(grown, 300, "%ld KiB for %d files", grown, TIMES);
    process_poll(&scene.rpd, 1, 0);
    const size_t lines = lines_with(process_stderr(scene.rpd), "was removed");
    cr_assert(lines >= 10 && lines < 400, "%zu lines", lines);
    end_scene(&scene);
}
