/* Lock files that are removed between open and lock: neither a start nor a caller of ensure in the
 * queue trusts the lock that it then holds. unit/test_lock.c tests the lock itself. */
#include "rpdctl_run.h"

#include <sys/pidfd.h>

/* Each lock file of this name is removed this many times. */
static struct process *start_without(const char *run, const char *name, int times,
                                     const char *const *argv)
{
    return process_start(&(struct process_options){
        .argv = argv,
        .runtime_dir = run,
        .env = ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/lock_removed.so")),
                    textf("TEST_LOCK_NAME=%s", name), textf("TEST_LOCK_TIMES=%d", times),
                    "XDG_STATE_HOME=/proc/none")});
}

/* The lock of a name, and that of a path. */
static const char *const locks[] = {"demo.lock", ".x.sock.lock"};

static struct process *start_rpd(const char *run, const char *dir, const char *name, int times)
{
    return start_without(run, name, times,
                         ARGS("rpd", build_path("plugins/echo.so"), "-n", "demo", "-l",
                              textf("unix:%s/x.sock", dir)));
}

/* No descriptor of the process leads to a lock file without a name. */
static void assert_holds_named_files(const struct process *rpd)
{
    const char *fds = textf("/proc/%d/fd", (int)process_pid(rpd));
    DIR *stream = opendir(fds);

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        char target[PATH_MAX];
        const ssize_t size = readlink(textf("%s/%s", fds, entry->d_name), target,
                                      sizeof target - 1);

        cr_assert(size < 0 || !memmem(target, (size_t)size, ".lock (deleted)", 15), "%.*s",
                  (int)size, target);
    }
    closedir(stream);
}

Test(locks, a_starter_takes_one_that_was_removed_again)
{
    for (size_t i = 0; i < sizeof locks / sizeof *locks; i++) {
        const char *dir = temp_dir_make(), *run = make_run(dir);
        struct process *rpd = start_rpd(run, dir, locks[i], 3);

        cr_assert_eq(process_wait_line(rpd, ": bound "), 0, "%s", process_stderr(rpd));
        assert_holds_named_files(rpd);
        struct process *second = start_rpd(run, dir, "none", 0);
        assert_ends(second, 75);
        assert_stops(rpd);
        process_free(second);
        process_free(rpd);
        temp_dir_remove(dir);
    }
}

Test(locks, a_starter_gives_up_one_that_is_removed_for_ever)
{
    for (size_t i = 0; i < sizeof locks / sizeof *locks; i++) {
        const char *dir = temp_dir_make(), *run = make_run(dir);
        struct process *rpd = start_rpd(run, dir, locks[i], 1000000);

        assert_ends(rpd, 73);
        assert_has(process_stderr(rpd), "removed again and again");
        assert_has(process_stderr(rpd), locks[i]);
        assert_empty(run);
        process_free(rpd);
        temp_dir_remove(dir);
    }
}

static struct process *start_ensure(const char *run, const char *dir, int times)
{
    return start_without(run, "demo.ensure.lock", times,
                         ARGS("rpdctl", "ensure", build_path("plugins/echo.so"), "-n", "demo", "-l",
                              textf("unix:%s/x.sock", dir)));
}

Test(locks, a_caller_of_ensure_queues_at_one_that_has_a_name)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);

    assert_code(outcome_of(start_ensure(run, dir, 3)), 0);
    cr_assert_eq(access(textf("%s/demo.ensure.lock", run), F_OK), 0);
    assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
    temp_dir_remove(dir);
}

Test(locks, a_caller_of_ensure_starts_nothing_without_one)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const struct outcome outcome = outcome_of(start_ensure(run, dir, 1000000));

    assert_code(outcome, 73);
    assert_has(outcome.err, "removed again and again");
    cr_assert_neq(access(textf("%s/demo.history", run), F_OK), 0, "it was started");
    temp_dir_remove(dir);
}

/* The two paths differ as text, but the directory shows that they are one. */
Test(locks, a_path_in_two_spellings_is_refused)
{
    const char *dir = temp_dir_make(), *run = make_run(dir), *link = textf("%s/link", dir);

    cr_assert_eq(symlink(dir, link), 0);
    struct process *rpd = RPD_START(run, build_path("plugins/echo.so"), "-l",
                                    textf("unix:%s/x.sock", dir), "-l",
                                    textf("unix:%s/x.sock", link));
    assert_ends(rpd, 78);
    assert_has(process_stderr(rpd), "it is listed twice, in two spellings");
    assert_empty(run);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- the directory itself ------------------------------------------------------------------- */

/* The run-time directory is removed this often, just before a file with this prefix is made in
 * it. */
static struct process *start_without_directory(const char *run, const char *name, int times,
                                               const char *const *argv)
{
    return process_start(&(struct process_options){
        .argv = argv,
        .runtime_dir = run,
        .env = ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/lock_removed.so")),
                    textf("TEST_LOCK_NAME=%s", name), textf("TEST_LOCK_TIMES=%d", times),
                    textf("TEST_LOCK_DIRECTORY=%s", run), "XDG_STATE_HOME=/proc/none")});
}

Test(locks, a_starter_follows_a_directory_that_is_removed)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const char *const *argv = ARGS("rpd", build_path("plugins/echo.so"), "-n", "demo");
    struct process *rpd = start_without_directory(run, "demo.lock", 3, argv);

    cr_assert_eq(process_wait_line(rpd, ": bound "), 0, "%s", process_stderr(rpd));
    assert_holds_named_files(rpd);
    assert_code(RPDCTL_ON(run, "wait", "demo", "--ready"), 0);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(locks, a_starter_gives_up_a_directory_that_is_removed_for_ever)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const char *const *argv = ARGS("rpd", build_path("plugins/echo.so"), "-n", "demo");
    struct process *rpd = start_without_directory(run, "demo.lock", 1000000, argv);

    assert_ends(rpd, 73);
    assert_has(process_stderr(rpd), "is replaced again and again");
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(locks, a_start_says_that_its_directory_was_removed)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *rpd = start_without_directory(
        run, ".demo.state.", 1, ARGS("rpd", build_path("plugins/echo.so"), "-n", "demo"));

    assert_ends(rpd, 73);
    assert_has(process_stderr(rpd), "its directory was removed meanwhile; start it again");
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A directory in which no file can be made is not reported as removed. */
Test(locks, a_starter_says_what_the_directory_lacks)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);

    cr_assert_eq(mkdir(textf("%s/demo.lock", run), 0700), 0);
    struct process *rpd = RPD_START(run, build_path("plugins/echo.so"), "-n", "demo");
    assert_ends(rpd, 73);
    assert_has(process_stderr(rpd), "demo.lock: cannot open the lock file: Is a directory");
    process_free(rpd);
    temp_dir_remove(dir);
}

/* The directory goes before the caller's turn and, with the name of the state page, in the middle
 * of the start. */
Test(locks, a_caller_of_ensure_follows_a_directory_that_is_removed)
{
    static const char *const files[] = {"demo.ensure.lock", ".demo.state."};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *dir = temp_dir_make(), *run = make_run(dir);
        const char *const *argv = ARGS("rpdctl", "ensure", build_path("plugins/echo.so"), "-n",
                                       "demo");
        const struct outcome outcome = outcome_of(start_without_directory(run, files[i], 1, argv));

        assert_code(outcome, 0);
        assert_code(RPDCTL_ON(run, "wait", "demo", "--ready"), 0);
        assert_code(RPDCTL_ON(run, "stop", "demo"), 0);
        temp_dir_remove(dir);
    }
}
