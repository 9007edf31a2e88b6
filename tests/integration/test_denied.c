/* System calls that a sandbox denies: rpd and rpdctl work without them, or one line names the
 * call. */
#include "rpdctl_run.h"

#include <criterion/parameterized.h>

#define NS_PER_MS INT64_C(1000000)

/* The launcher belongs to the tests' own build, which may differ from the daemon's. */
#define DENY(error, calls) RPD_BUILD_DIR "/tests/support/deny", (error), (calls)

static const char *const all_calls =
    "close_range,pidfd_open,pidfd_send_signal,accept4,inotify_init1,F_OFD_GETLK";

static void need_filters(void)
{
    struct process *process = process_start(
        &(struct process_options){.argv = ARGS(DENY("EPERM", "accept4"), "true")});

    if (process_code(process_wait_exit(process)) != 0)
        cr_skip_test("no system call can be filtered here");
    process_free(process);
}

TestSuite(denied, .init = need_filters);

static struct process *start_denied(const char *run, const char *error, const char *calls)
{
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS(DENY(error, calls), build_path("rpd"),
                                               build_path("plugins/echo.so"), "-n", "demo"),
                                  .runtime_dir = run,
                                  .notify = true});

    assert_line(rpd, ": ready (");
    return rpd;
}

#define RPDCTL_DENIED(run, error, calls, ...)                                                      \
    outcome_of(process_start(&(struct process_options){                                            \
        .argv = ARGS(DENY(error, calls), build_path("rpdctl"), __VA_ARGS__),                       \
        .runtime_dir = (run)}))

/* ---- one by one, and all at once ------------------------------------------------------------ */

static const struct denial {
    const char *error, *calls;
} denials[] = {
    {"EPERM", "close_range"},
    {"ENOSYS", "close_range"},
    {"EPERM", "pidfd_open"},
    {"ENOSYS", "pidfd_open"},
    {"EPERM", "pidfd_send_signal"},
    {"ENOSYS", "pidfd_send_signal"},
    {"EPERM", "accept4"},
    {"ENOSYS", "accept4"},
    {"EPERM", "inotify_init1"},
    {"ENOSYS", "inotify_init1"},
    {"EPERM", "F_OFD_GETLK"},
    {"ENOSYS", "F_OFD_GETLK"},
    {"EPERM", "mkdir"}, /* of an existing directory */
    {"EPERM", NULL},
    {"ENOSYS", NULL},
};

ParameterizedTestParameters(denied, a_service_from_ensure_to_stop)
{
    static size_t at[sizeof denials / sizeof *denials];

    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        at[i] = i;
    return cr_make_param_array(size_t, at, sizeof at / sizeof *at);
}

/* The daemon is started by a denied rpdctl, so the same call is denied to it. */
ParameterizedTest(size_t *at, denied, a_service_from_ensure_to_stop)
{
    const char *error = denials[*at].error;
    const char *calls = denials[*at].calls ? denials[*at].calls : all_calls;
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const char *endpoint = textf("unix:%s/demo.sock", run);
    const struct outcome ensure = RPDCTL_DENIED(run, error, calls, "ensure", "--ready",
                                                build_path("plugins/echo.so"), "-n", "demo");

    assert_code(ensure, 0);
    cr_assert_str_eq(ensure.out, textf("%s\n", endpoint));
    cr_assert_str_empty(ensure.err);
    for (int i = 0; i < 3; i++) {
        const char *answer = ask_once(endpoint, "hello");
        cr_assert(answer && strcmp(answer, "hello") == 0, "%s: %s", calls, answer);
    }
    const struct outcome status = RPDCTL_DENIED(run, error, calls, "status", "demo");
    assert_code(status, 0);
    assert_has(status.out, "state:     alive\n");
    assert_code(RPDCTL_DENIED(run, error, calls, "wait", "demo", "--ready", "--timeout", "20"), 0);
    struct process *waiter = process_start(&(struct process_options){
        .argv = ARGS(DENY(error, calls), build_path("rpdctl"), "wait", "demo", "--stopped"),
        .runtime_dir = run});
    const struct outcome stop = RPDCTL_DENIED(run, error, calls, "stop", "demo");
    assert_code(stop, 0);
    assert_has(stop.out, "demo: stopped, pid ");
    assert_code(outcome_of(waiter), 0);
    assert_code(RPDCTL_DENIED(run, error, calls, "status", "demo"), 1);
    assert_empty(run);
    temp_dir_remove(dir);
}

/* ---- calls that rpd needs -------------------------------------------------------------------- */

/* The line names the call, and blames no backend and no limit. rpd need not check a path that it
 * has bound itself. */
Test(denied, looks_at_sockets)
{
    static const char *const looks[] = {"getsockopt", "getsockname"};

    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        const char *dir = temp_dir_make(), *run = make_run(dir);
        const struct outcome outcome = RPDCTL_DENIED(run, "EPERM", looks[i], "ensure",
                                                     build_path("plugins/echo.so"), "-n", "demo",
                                                     "-l", "tcp:127.0.0.1:0");

        assert_code(outcome, 71);
        assert_has(outcome.err, textf("cannot look at the socket: %s: Operation not permitted; let "
                                      "the sandbox allow that",
                                      looks[i]));
        temp_dir_remove(dir);
    }
}

Test(denied, descriptors_of_a_caller_of_ensure)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const struct outcome outcome = RPDCTL_DENIED(run, "EPERM", "F_DUPFD_CLOEXEC", "ensure",
                                                 build_path("plugins/echo.so"), "-n", "demo");

    assert_code(outcome, 71);
    assert_has(outcome.err, "let the sandbox allow fcntl(F_DUPFD_CLOEXEC)");
    temp_dir_remove(dir);
}

/* ---- close_range ---------------------------------------------------------------------------- */

static bool has_descriptor(const struct process *process, int fd)
{
    return access(textf("/proc/%d/fd/%d", (int)process_pid(process), fd), F_OK) == 0;
}

Test(denied, descriptors_are_closed_one_by_one)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS(DENY("EPERM", "close_range"), "bash", "-c",
                     "exec 60</dev/null 200</dev/null; exec \"$@\"", "sh", build_path("rpd"),
                     build_path("plugins/echo.so"), "-n", "demo"),
        .runtime_dir = run,
        .notify = true});

    assert_line(rpd, ": ready (");
    cr_assert_not(has_descriptor(rpd, 60));
    cr_assert_not(has_descriptor(rpd, 200));
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- accept4 -------------------------------------------------------------------------------- */

/* The flags of the daemon's socket that was not there before; -1: there is none. */
static long flags_of_new_socket(const struct process *process, const bool *was_there, int count)
{
    for (int fd = 0; fd < count; fd++) {
        const char *link = textf("/proc/%d/fd/%d", (int)process_pid(process), fd);
        char target[64] = "";

        if (was_there[fd] || readlink(link, target, sizeof target - 1) <= 0 ||
            strncmp(target, "socket:", 7) != 0)
            continue;
        const char *info = file_read(textf("/proc/%d/fdinfo/%d", (int)process_pid(process), fd));
        const char *flags = info ? strstr(info, "flags:") : NULL;
        return flags ? strtol(flags + 6, NULL, 8) : -1;
    }
    return -1;
}

/* The loop must not block on it, and no child of a plugin inherits it. */
Test(denied, accepted_clients_are_as_with_accept4)
{
    enum { MANY = 256 };
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *rpd = start_denied(run, "ENOSYS", "accept4");
    bool was_there[MANY];

    for (int fd = 0; fd < MANY; fd++)
        was_there[fd] = has_descriptor(rpd, fd);
    const int fd = client(textf("unix:%s/demo.sock", run));
    const char *answer = ask(fd, "hello");
    cr_assert(answer && strcmp(answer, "hello") == 0, "%s", process_stderr(rpd));
    const long flags = flags_of_new_socket(rpd, was_there, MANY);
    cr_assert_gt(flags, 0, "no new socket");
    cr_assert(flags & O_NONBLOCK, "0%lo: it blocks", flags);
    cr_assert(flags & O_CLOEXEC, "0%lo: it is inherited", flags);
    close(fd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- inotify -------------------------------------------------------------------------------- */

Test(denied, what_is_removed_comes_back_without_inotify)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    struct process *rpd = start_denied(run, "ENOSYS", "inotify_init1");

    cr_assert_eq(unlink(textf("%s/demo.sock", run)), 0);
    cr_assert_eq(unlink(textf("%s/demo.lock", run)), 0);
    for (int i = 0; i < 20000 && (access(textf("%s/demo.sock", run), F_OK) != 0 ||
                                  access(textf("%s/demo.lock", run), F_OK) != 0);
         i++)
        poll(NULL, 0, 1);
    const char *answer = ask_once(textf("unix:%s/demo.sock", run), "hello");
    cr_assert(answer && strcmp(answer, "hello") == 0, "%s", process_stderr(rpd));
    cr_assert_eq(RPDCTL_ON(run, "status", "demo").code, 0);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A wait for a directory that does not exist yet. */
Test(denied, a_directory_is_waited_for_without_inotify)
{
    const char *dir = temp_dir_make(), *run = textf("%s/run", dir);
    struct process *waiter = process_start(
        &(struct process_options){.argv = ARGS(DENY("EPERM", "inotify_init1"), build_path("rpdctl"),
                                               "wait", "demo", "--ready", "--timeout", "60"),
                                  .runtime_dir = run});
    struct process *rpd = RPD_START(run, build_path("plugins/echo.so"), "-n", "demo");

    assert_bound(rpd);
    assert_code(outcome_of(waiter), 0);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- locks ---------------------------------------------------------------------------------- */

Test(denied, without_locks_one_line_names_the_call)
{
    const char *dir = temp_dir_make(), *run = make_run(dir);
    const struct outcome rpd = outcome_of(process_start(
        &(struct process_options){.argv = ARGS(DENY("EPERM", "F_OFD_SETLK"), build_path("rpd"),
                                               build_path("plugins/echo.so"), "-n", "demo"),
                                  .runtime_dir = run}));
    const struct outcome ensure = RPDCTL_DENIED(run, "ENOSYS", "F_OFD_SETLKW", "ensure",
                                                build_path("plugins/echo.so"), "-n", "demo");

    assert_code(rpd, 71);
    assert_has(rpd.err, "fcntl(F_OFD_SETLK): Operation not permitted; let the sandbox allow that");
    cr_assert_eq(lines_with(rpd.err, ""), 1, "%s", rpd.err);
    assert_code(ensure, 71);
    assert_has(ensure.err, "fcntl(F_OFD_SETLKW): Function not implemented");
    assert_empty(run);
    temp_dir_remove(dir);
}

/* ---- accept --------------------------------------------------------------------------------- */

/* A permanent error: the pause grows, one line is logged, and the processor stays idle. */
Test(denied, an_error_of_accept_that_persists)
{
    enum { WATCHED_MS = 2500 };
    static const char *const errors[] = {"EPERM", "ENOSYS"};

    for (size_t i = 0; i < 2; i++) {
        const char *dir = temp_dir_make(), *run = make_run(dir);
        struct process *rpd = start_denied(run, errors[i], "accept,accept4");
        const int fd = client(textf("unix:%s/demo.sock", run));
        const int control = client(textf("unix:%s/demo.control", run));

        tell(fd, "hello");
        tell(control, "{\"v\":1,\"id\":1,\"do\":\"ping\"}");
        assert_line(rpd, "demo: warning: cannot accept clients (accept: ");
        const int64_t cpu = cpu_time_ns(process_pid(rpd)), began = now_ns();
        while (now_ns() - began < WATCHED_MS * NS_PER_MS)
            poll(NULL, 0, 50);
        const int64_t used = cpu_time_ns(process_pid(rpd)) - cpu, passed = now_ns() - began;
        cr_assert_lt(used, passed / 20, "%lld ms of %lld", (long long)(used / NS_PER_MS),
                     (long long)(passed / NS_PER_MS));
        assert_stops(rpd);
        cr_assert_eq(lines_with(process_stderr(rpd), "cannot accept clients (accept: "), 1, "%s",
                     process_stderr(rpd));
        cr_assert_leq(lines_with(process_stderr(rpd), "clients of the control socket"), 1, "%s",
                      process_stderr(rpd));
        close(fd);
        close(control);
        process_free(rpd);
        temp_dir_remove(dir);
    }
}
