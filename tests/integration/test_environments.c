/* Inherited and odd environments: ignored signals, a process that is the first of its namespace,
 * odd paths. What rpd and rpdctl do in them, and report. */
#include "rpdctl_run.h"

static const char *endpoint_in(const char *dir)
{
    return textf("unix:%s/s", dir);
}

/* wrapper... rpd PLUGIN -l DIR/s */
static struct process *start_within(const char *dir, const char *const *wrapper, const char *plugin,
                                    const char *const *env)
{
    const char *argv[32];
    size_t count = 0;

    while (wrapper[count]) {
        argv[count] = wrapper[count];
        count++;
    }
    argv[count++] = build_path("rpd");
    argv[count++] = plugin;
    argv[count++] = "-l";
    argv[count++] = endpoint_in(dir);
    argv[count] = NULL;
    return process_start(
        &(struct process_options){.argv = argv, .env = env, .runtime_dir = textf("%s/run", dir)});
}

/* ---- SIGCHLD is ignored ------------------------------------------------------------- */

Test(environments, with_sigchld_ignored_a_plugin_has_children)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_within(dir, ARGS("env", "--ignore-signal=CHLD"),
                                       test_plugin("children"), NULL);

    assert_line(rpd, ": ready");
    assert_text(ask_once(endpoint_in(dir), "system"), "3", rpd);
    assert_stops(rpd);
    temp_dir_remove(dir);
}

Test(environments, with_sigchld_ignored_rpdctl_waits_for_its_own)
{
    const char *dir = temp_dir_make();
    const struct outcome checked = run_in(
        dir,
        ARGS("env", "--ignore-signal=CHLD", build_path("rpdctl"), "check", "--quick", "--only",
             "code.", "--only", "bind.", "--only", "end.", build_path("samples/hello.so")),
        NULL);

    assert_code(checked, 0);
    temp_dir_remove(dir);
}

/* ---- exit codes that do not come from rpd ---------------------------------------------- */

/* The codes are the plugin's: they mean neither our "timed out" nor rpd's "already running". */
Test(environments, a_code_of_somebody_elses_is_70)
{
    static const char *const codes[] = {"0", "1", "75", "78", "200"};
    const char *dir = temp_dir_make(), *run = textf("%s/run", dir);

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const struct outcome outcome = outcome_of(process_start(&(struct process_options){
            .argv = ARGS("rpdctl", "ensure", test_plugin("ends_early"), "-n",
                         textf("code%s", codes[i]), "-l", endpoint_in(dir)),
            .env = ARGS(textf("TEST_EXIT_CODE=%s", codes[i]), textf("XDG_STATE_HOME=%s", dir)),
            .runtime_dir = run}));
        assert_code(outcome, 70);
        if (i > 0)
            assert_has(outcome.err,
                       textf("ended with code %s before it was bound, and not by rpd", codes[i]));
    }
    /* The control: a code that rpd reports is rpd's. */
    const struct outcome refused = outcome_of(process_start(&(struct process_options){
        .argv = ARGS("rpdctl", "ensure", test_plugin("undefined_symbol"), "-l", endpoint_in(dir)),
        .env = ARGS(textf("XDG_STATE_HOME=%s", dir)),
        .runtime_dir = run}));
    assert_code(refused, 65);
    temp_dir_remove(dir);
}

/* ---- process 1 ------------------------------------------------------------------------- */

static const char *const as_first[] = {"unshare",      "--pid",        "--fork",
                                       "--mount-proc", "--kill-child", NULL};

static bool may_unshare(void)
{
    return run_in(NULL, ARGS("unshare", "--pid", "--mount", "--fork", "--mount-proc", "true"), NULL)
               .code == 0;
}

static int count_of(int fd, const char *what)
{
    const char *answer = ask(fd, what);

    cr_assert_not_null(answer, "%s", what);
    return (int)strtol(answer, NULL, 10);
}

/* The daemon waits for orphans after a while; the children of its plugins are left to the
 * plugins. */
Test(environments, process_1_waits_for_orphans)
{
    const char *dir = temp_dir_make();

    if (!may_unshare())
        cr_skip("may not make a namespace of processes");
    struct process *rpd = start_within(dir, as_first, test_plugin("children"), NULL);
    assert_line(rpd, ": ready");
    const int fd = client(endpoint_in(dir));
    cr_assert_eq(count_of(fd, "child"), 0);
    cr_assert_eq(count_of(fd, "wait"), 5);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(count_of(fd, "orphan"), 0);
    const int64_t began = now_ns();
    while (count_of(fd, "ended") < 3) {
        cr_assert_lt(now_ns() - began, 20000000000, "the orphans have not ended");
        poll(NULL, 0, 20);
    }
    while (count_of(fd, "ended") > 0) {
        cr_assert_lt(now_ns() - began, 60000000000, "the orphans were not waited for");
        poll(NULL, 0, 100);
    }
    cr_assert_eq(count_of(fd, "system"), 3);
    cr_assert_eq(kill(peer_pid(fd), SIGTERM), 0);
    close(fd);
    assert_ends(rpd, 0);
    temp_dir_remove(dir);
}

/* ---- odd paths, and what is mounted on them --------------------------------------------- */

Test(environments, a_path_that_is_not_utf_8_is_named)
{
    const char *dir = temp_dir_make(), *latin = textf("%s/r\xe4n", dir);

    cr_assert_eq(mkdir(latin, 0700), 0);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", build_path("samples/hello.so"), "-l", endpoint_in(dir)),
        .runtime_dir = latin});
    assert_ends(rpd, 73);
    cr_assert_eq(lines_with(process_stderr(rpd), "is not UTF-8, which JSON needs"), 1, "%s",
                 process_stderr(rpd));
    assert_empty(latin);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(environments, a_path_that_is_a_mount_is_named)
{
    const char *dir = temp_dir_make(), *path = textf("%s/s", dir);

    if (run_in(NULL, ARGS("unshare", "--mount", "true"), NULL).code != 0)
        cr_skip("may not make a namespace of mounts");
    close(listen_at(path, SOCK_STREAM, 1));
    struct process *rpd = start_within(dir,
                                       ARGS("unshare", "--mount", "sh", "-c",
                                            textf("mount --bind %s %s && exec \"$@\"", path, path),
                                            "sh"),
                                       build_path("samples/hello.so"), NULL);
    assert_ends(rpd, 71);
    cr_assert_eq(lines_with(process_stderr(rpd), "something is mounted on that path"), 1, "%s",
                 process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- listeners that are meant for another process ------------------------------------------ */

Test(environments, listeners_of_a_wrapper_are_named)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_within(
        dir, ARGS("sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ \"$@\"; exit $?", "sh"),
        build_path("samples/hello.so"), NULL);

    assert_line(rpd, ": ready");
    cr_assert_eq(lines_with(process_stderr(rpd), "warning: LISTEN_FDS=1 is for process "), 1, "%s",
                 process_stderr(rpd));
    const int fd = client(endpoint_in(dir));
    assert_text(ask(fd, "Ada"), "hello, Ada", rpd);
    cr_assert_eq(kill(peer_pid(fd), SIGTERM), 0);
    close(fd);
    assert_ends(rpd, 0);
    /* The control: listeners that are meant for no process. */
    struct process *plain = start_within(dir, ARGS("env"), build_path("samples/hello.so"), NULL);
    assert_line(plain, ": ready");
    assert_stops(plain);
    cr_assert_eq(lines_with(process_stderr(plain), "LISTEN_FDS"), 0, "%s", process_stderr(plain));
    temp_dir_remove(dir);
}

/* ---- kernels ------------------------------------------------------------------------------- */

Test(environments, a_kernel_that_lacks_something_is_named)
{
    const char *dir = temp_dir_make();

    if (is_sanitized())
        cr_skip("a sanitizer's library comes first");
    struct process *rpd = start_within(
        dir, ARGS("env"), build_path("samples/hello.so"),
        ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/old_kernel.so"))));
    assert_ends(rpd, 71);
    cr_assert_eq(lines_with(process_stderr(rpd), "rpd: start: kernel: Linux "), 1, "%s",
                 process_stderr(rpd));
    cr_assert_eq(lines_with(process_stderr(rpd), "rpd needs Linux 5.9 or newer"), 1, "%s",
                 process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}
