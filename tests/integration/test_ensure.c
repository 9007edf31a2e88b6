/* rpdctl ensure: however many callers there are, one daemon runs in the end, and each caller learns
 * the result. */
#include "common.h"
#include "observe/history_view.h"
#include "observe/record_view.h"
#include "observe/state_view.h"

#include <sys/pidfd.h>
#include <time.h>

enum { LONG = 120 };

/* ---- the scene: a directory, and the callers in it ----------------------------------- */

struct scene {
    const char *dir, *run, *config, *endpoint;
    int run_fd;
};

static bool is_long(void)
{
    const char *mode = getenv("RPD_TEST_LONG");

    return mode && *mode && strcmp(mode, "0") != 0;
}

static struct scene make_scene(void)
{
    struct scene scene = {.dir = temp_dir_make()};

    scene.run = textf("%s/run", scene.dir);
    scene.config = textf("%s/c.json", scene.dir);
    scene.endpoint = textf("unix:%s/x.sock", scene.dir);
    cr_assert_eq(mkdir(scene.run, 0700), 0);
    scene.run_fd = open(scene.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return scene;
}

/* top, service, options: keys, each followed by a comma. */
static void configure(const struct scene *scene, const char *plugin, const char *top,
                      const char *service, const char *options)
{
    write_text(scene->config, textf("{%s\"services\":[{%s\"name\":\"x\",\"idle_exit_s\":200,"
                                    "\"plugin\":\"%s\",\"listen\":[\"%s\"],"
                                    "\"options\":{%s}}]}",
                                    top, service, build_path(plugin), scene->endpoint, options));
}

static struct process *call(const struct scene *scene, const char *const *arguments, int gate_fd)
{
    const char *argv[32] = {"rpdctl", "ensure"};
    size_t count = 2;

    while (*arguments && count < 31)
        argv[count++] = *arguments++;
    return process_start(
        &(struct process_options){.argv = argv,
                                  .runtime_dir = scene->run,
                                  .env = ARGS(textf("XDG_STATE_HOME=%s/state", scene->dir)),
                                  .gate_fd = gate_fd});
}

#define CALL(scene, ...) call(scene, ARGS(__VA_ARGS__), 0)

static int code_of(struct process *caller)
{
    return process_code(process_wait_exit(caller));
}

static int ensure_code(const struct scene *scene)
{
    struct process *caller = CALL(scene, scene->config);
    const int code = code_of(caller);

    cr_assert(code == 0, "%s", process_stderr(caller));
    process_free(caller);
    return code;
}

static long long recorded_pid(const struct scene *scene)
{
    struct record_view record;
    const long long pid = record_view_read(scene->run_fd, "x", &record) == 0 ? record.pid : -1;

    record_view_finish(&record);
    return pid;
}

/* Daemons are not children of the test, so it waits for a pidfd. */
static void wait_until_gone(int pidfd)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    cr_assert_eq(poll(&end, 1, LONG * 1000), 1, "the daemon does not end");
    close(pidfd);
}

static void end_daemon(const struct scene *scene)
{
    const int pidfd = pidfd_open((pid_t)recorded_pid(scene), 0);

    cr_assert_geq(pidfd, 0, "no daemon: %s", strerror(errno));
    pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
    wait_until_gone(pidfd);
}

/* All processes that are rpd and have this text in their command line. */
static size_t daemons_with(const char *text, pid_t *ret_first)
{
    DIR *proc = opendir("/proc");
    size_t count = 0;

    *ret_first = 0;
    for (const struct dirent *entry; proc && (entry = readdir(proc));) {
        char line[4096];
        const int fd = *entry->d_name >= '0' && *entry->d_name <= '9'
                           ? open(textf("/proc/%s/cmdline", entry->d_name), O_RDONLY | O_CLOEXEC)
                           : -1;
        const ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof line - 1);

        if (fd >= 0)
            close(fd);
        if (size <= 0 || !memmem(line, (size_t)size, "/rpd", 5) || /* including its NUL */
            !memmem(line, (size_t)size, text, strlen(text)))
            continue;
        if (count++ == 0)
            *ret_first = atoi(entry->d_name);
    }
    if (proc)
        closedir(proc);
    return count;
}

static size_t count_in_history(const struct scene *scene, bool ended, int code)
{
    static struct history_entry entries[64];
    const int count = history_view_read(scene->run_fd, "x", entries, 64);
    size_t found = 0;

    for (int i = 0; i < count; i++)
        found += entries[i].ended == ended && (!ended || entries[i].code == code);
    return found;
}

/* A daemon that is about to end gets time for it; an orphan would stay. */
static void expect_no_daemons(const struct scene *scene)
{
    const int64_t deadline = now_ns() + (int64_t)10 * 1000000000;
    pid_t pid;

    while (daemons_with(scene->config, &pid) > 0 && now_ns() < deadline)
        usleep(10000);
    cr_expect_eq(daemons_with(scene->config, &pid), 0, "an orphan: %d", (int)pid);
}

static void leave(const struct scene *scene)
{
    if (recorded_pid(scene) > 0)
        end_daemon(scene);
    expect_no_daemons(scene);
    close(scene->run_fd);
    temp_dir_remove(scene->dir);
}

/* Polls until the page has this phase, because no event announces it. */
static void await_verdict(const struct scene *scene, enum state_verdict wanted)
{
    const int64_t deadline = now_ns() + (int64_t)LONG * 1000000000;
    struct rpd_state_page page;
    enum state_verdict verdict;

    do
        state_view_look(scene->run_fd, "x", &page, &verdict);
    while (verdict != wanted && now_ns() < deadline);
    cr_assert_eq(verdict, wanted, "%s", state_verdict_text(verdict));
}

/* Waits until the daemon, whose log is own.log, has written it. */
static void await_in_log(const struct scene *scene, const char *text)
{
    const int64_t deadline = now_ns() + (int64_t)LONG * 1000000000;
    const char *log;

    while (!(log = file_read(textf("%s/own.log", scene->dir))) || !strstr(log, text)) {
        cr_assert_lt(now_ns(), deadline, "no \"%s\" in %s", text, log ? log : "no log");
        poll(NULL, 0, 5);
    }
}

/* ---- one caller -------------------------------------------------------------------------- */

Test(ensure, starts_then_attaches)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    struct process *first = CALL(&scene, "--json", scene.config);

    cr_assert_eq(code_of(first), 0, "%s", process_stderr(first));
    cr_expect_str_empty(process_stderr(first));
    cr_expect(strstr(process_stdout(first), "\"started\": true"), "%s", process_stdout(first));
    const long long pid = recorded_pid(&scene);
    cr_expect(strstr(process_stdout(first), textf("\"pid\": %lld", pid)), "%s",
              process_stdout(first));
    struct process *second = CALL(&scene, "--json", scene.config);
    cr_assert_eq(code_of(second), 0, "%s", process_stderr(second));
    cr_expect(strstr(process_stdout(second), "\"started\": false"), "%s", process_stdout(second));
    struct process *third = CALL(&scene, scene.config);
    cr_assert_eq(code_of(third), 0);
    cr_expect_str_eq(process_stdout(third), textf("%s\n", scene.endpoint));
    cr_expect_eq(recorded_pid(&scene), pid);
    close(client(scene.endpoint));
    cr_expect_eq(count_in_history(&scene, false, 0), 1);
    leave(&scene);
}

Test(ensure, takes_rpds_own_arguments)
{
    const struct scene scene = make_scene();
    const char *const *const arguments = ARGS("samples/hello.so", "-n", "x", "-l", scene.endpoint);
    const char *argv[] = {"rpdctl",     "ensure", arguments[0],   arguments[1],
                          arguments[2], "-l",     scene.endpoint, NULL};
    /* A relative path is relative to the caller's directory; the daemon works in another. */
    struct process *caller = process_start(
        &(struct process_options){.argv = argv,
                                  .runtime_dir = scene.run,
                                  .env = ARGS(textf("XDG_STATE_HOME=%s/state", scene.dir)),
                                  .directory = build_path(".")});

    cr_assert_eq(code_of(caller), 0, "%s", process_stderr(caller));
    cr_expect_str_empty(process_stderr(caller), "%s", process_stderr(caller));
    close(client(scene.endpoint));
    end_daemon(&scene);
    temp_dir_remove(scene.dir);
}

static const char *link_of(const char *path)
{
    char target[PATH_MAX];
    const ssize_t size = readlink(path, target, sizeof target - 1);

    return size < 0 ? "" : textf("%.*s", (int)size, target);
}

static const char *status_line(long long pid, const char *key)
{
    const char *line = strstr(file_read(textf("/proc/%lld/status", pid)), textf("\n%s:", key));

    return line ? textf("%.*s", (int)strcspn(line + 1, "\n"), line + 1) : "";
}

static size_t descriptors_to(long long pid, const char *wanted)
{
    DIR *fds = opendir(textf("/proc/%lld/fd", pid));
    size_t count = 0;

    for (const struct dirent *entry; (entry = readdir(fds));)
        count += strcmp(link_of(textf("/proc/%lld/fd/%s", pid, entry->d_name)), wanted) == 0;
    closedir(fds);
    return count;
}

/* A daemon inherits nothing from its caller. */
Test(ensure, daemon_is_detached)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    struct process *caller = process_start(&(struct process_options){
        .argv = ARGS("sh", "-c",
                     textf("trap '' HUP USR1; exec 7<. 8>>%s/other; "
                           "exec %s ensure %s",
                           scene.dir, build_path("rpdctl"), scene.config)),
        .runtime_dir = scene.run,
        .env = ARGS(textf("XDG_STATE_HOME=%s/state", scene.dir), "NOTIFY_SOCKET=/nonsense",
                    "LISTEN_FDS=1")});

    cr_assert_eq(code_of(caller), 0, "%s", process_stderr(caller));
    const long long pid = recorded_pid(&scene);
    const char *log = textf("%s/state/rpd/x.log", scene.dir);
    cr_expect_eq(getsid((pid_t)pid), pid);
    cr_expect_str_eq(link_of(textf("/proc/%lld/cwd", pid)), "/");
    cr_expect_str_eq(link_of(textf("/proc/%lld/fd/0", pid)), "/dev/null");
    cr_expect_str_eq(link_of(textf("/proc/%lld/fd/1", pid)), log);
    cr_expect_str_eq(link_of(textf("/proc/%lld/fd/2", pid)), log);
    cr_expect_str_eq(status_line(pid, "SigBlk"), "SigBlk:\t0000000000000000");
    cr_expect_str_eq(status_line(pid, "SigIgn"), "SigIgn:\t0000000000000000");
    DIR *fds = opendir(textf("/proc/%lld/fd", pid));
    for (const struct dirent *entry; (entry = readdir(fds));) {
        const char *target = link_of(textf("/proc/%lld/fd/%s", pid, entry->d_name));
        /* A pipe with both ends in the daemon is libevent's. */
        const bool is_its_own = strncmp(target, scene.run, strlen(scene.run)) == 0 ||
                                strcmp(target, log) == 0 || strcmp(target, "/dev/null") == 0 ||
                                strcmp(target, "/") == 0 || strncmp(target, "socket:", 7) == 0 ||
                                strncmp(target, "anon_inode:", 11) == 0 ||
                                (strncmp(target, "pipe:", 5) == 0 &&
                                 descriptors_to(pid, target) == 2) ||
                                strstr(target, ".lock") != NULL ||
                                strstr(target, "/mountinfo") != NULL ||
                                strcmp(target, scene.dir) == 0 ||
                                strcmp(target, build_path("plugins/echo.so")) == 0;

        cr_expect(*entry->d_name == '.' || is_its_own, "descriptor %s: %s", entry->d_name, target);
    }
    closedir(fds);
    const int environ_fd = open(textf("/proc/%lld/environ", pid), O_RDONLY | O_CLOEXEC);
    static char environment[65536];
    const ssize_t size = read(environ_fd, environment, sizeof environment);
    cr_expect(size > 0 && !memmem(environment, (size_t)size, "NOTIFY_SOCKET", 13) &&
              !memmem(environment, (size_t)size, "LISTEN_FDS", 10));
    close(environ_fd);
    leave(&scene);
}

/* A caller that reads its output to the end must not wait for the daemon's end. */
Test(ensure, caller_sees_end_of_file)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    struct process *caller = process_start(&(struct process_options){
        .argv = ARGS("sh", "-c",
                     textf("out=$(%s ensure %s 2>&1 9>&1); echo \"got $out\"", build_path("rpdctl"),
                           scene.config)),
        .runtime_dir = scene.run,
        .env = ARGS(textf("XDG_STATE_HOME=%s/state", scene.dir))});

    cr_assert_eq(code_of(caller), 0, "%s", process_stderr(caller));
    cr_expect_str_eq(process_stdout(caller), textf("got %s\n", scene.endpoint));
    close(client(scene.endpoint));
    leave(&scene);
}

Test(ensure, log_goes_where_it_is_configured)
{
    const struct scene scene = make_scene();

    configure(&scene, "plugins/echo.so", "\"log\":{\"file\":\"own.log\"},", "", "");
    ensure_code(&scene);
    cr_expect(strstr(file_read(textf("%s/own.log", scene.dir)), "rpd: x: bound "));
    end_daemon(&scene);
    configure(&scene, "plugins/echo.so", "\"log\":{\"file\":\"none\"},", "", "");
    ensure_code(&scene);
    cr_expect_str_eq(link_of(textf("/proc/%lld/fd/2", recorded_pid(&scene))), "/dev/null");
    end_daemon(&scene);
    configure(&scene, "plugins/echo.so", "\"log\":{\"file\":\"no/such/log\"},", "", "");
    struct process *caller = CALL(&scene, scene.config);
    cr_expect_eq(code_of(caller), 73);
    cr_expect(strstr(process_stderr(caller), "no/such/log"), "%s", process_stderr(caller));
    leave(&scene);
}

/* Without a place for a log, the output is dropped. */
Test(ensure, log_without_a_home)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    struct process *caller = process_start(
        &(struct process_options){.argv = ARGS("rpdctl", "ensure", scene.config),
                                  .runtime_dir = scene.run,
                                  .env = ARGS("XDG_STATE_HOME=/proc/none")});

    cr_assert_eq(code_of(caller), 0, "%s", process_stderr(caller));
    cr_expect_str_eq(link_of(textf("/proc/%lld/fd/2", recorded_pid(&scene))), "/dev/null");
    leave(&scene);
}

/* ---- many callers -------------------------------------------------------------------------- */

struct crowd {
    struct process **callers;
    size_t count;
    int gate;
};

static struct crowd gather(const struct scene *scene, size_t count, const char *const *arguments)
{
    struct crowd crowd = {.callers = calloc(count, sizeof *crowd.callers), .count = count};
    int gate[2];

    cr_assert_eq(pipe2(gate, O_CLOEXEC), 0);
    for (size_t i = 0; i < count; i++)
        crowd.callers[i] = call(scene, arguments, gate[0]);
    close(gate[0]);
    crowd.gate = gate[1];
    return crowd;
}

static void let_go(struct crowd *crowd)
{
    static const char bytes[1024];

    cr_assert_leq(crowd->count, sizeof bytes);
    cr_assert_eq(write(crowd->gate, bytes, crowd->count), (ssize_t)crowd->count);
    close(crowd->gate);
}

static void free_crowd(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; i++)
        process_free(crowd->callers[i]);
    free(crowd->callers);
}

Test(ensure, any_number_of_callers_start_one, .timeout = 600)
{
    const struct scene scene = make_scene();
    configure(&scene, "samples/slow_start.so", "", "", "");
    struct crowd crowd = gather(&scene,
                                is_long()        ? 1000
                                : is_sanitized() ? 60
                                                 : 200,
                                ARGS("--json", scene.config));
    pid_t pid;

    let_go(&crowd);
    for (size_t i = 0; i < crowd.count; i++) {
        cr_assert_eq(code_of(crowd.callers[i]), 0, "%s", process_stderr(crowd.callers[i]));
        cr_expect(
            strstr(process_stdout(crowd.callers[i]), textf("\"pid\": %lld,", recorded_pid(&scene))),
            "%s", process_stdout(crowd.callers[i]));
        close(client(scene.endpoint));
    }
    cr_expect_eq(daemons_with(scene.config, &pid), 1);
    cr_expect_eq(count_in_history(&scene, false, 0), 1, "%s",
                 file_read(textf("%s/x.history", scene.run)));
    free_crowd(&crowd);
    leave(&scene);
}

static void sleep_ns(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* The process is found by searching for it, because it has no record yet. */
static int kill_the_first(const struct scene *scene, unsigned *seed)
{
    const int64_t deadline = now_ns() + (int64_t)LONG * 1000000000;
    pid_t pid = 0;

    while (daemons_with(scene->config, &pid) == 0 && now_ns() < deadline)
        continue;
    const int pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
    sleep_ns(rand_r(seed) % 4000000);
    if (pidfd >= 0)
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    return pidfd;
}

Test(ensure, a_start_that_is_killed_is_made_again, .timeout = 1800)
{
    const size_t rounds = is_long() ? 100 : is_sanitized() ? 2 : 6;
    unsigned seed = (unsigned)time(NULL);

    for (size_t round = 0; round < rounds; round++) {
        const struct scene scene = make_scene();
        configure(&scene, "samples/slow_start.so", "", "", "");
        struct crowd crowd = gather(&scene, is_sanitized() ? 20 : 50, ARGS("--json", scene.config));
        pid_t pid;

        let_go(&crowd);
        const int killed = kill_the_first(&scene, &seed);
        for (size_t i = 0; i < crowd.count; i++)
            cr_assert_eq(code_of(crowd.callers[i]), 0, "%d seed %u, round %zu: %s",
                         code_of(crowd.callers[i]), seed, round, process_stderr(crowd.callers[i]));
        /* It may have been killed when the last caller had its answer. */
        if (killed >= 0)
            wait_until_gone(killed);
        ensure_code(&scene);
        cr_expect_eq(daemons_with(scene.config, &pid), 1, "round %zu", round);
        cr_expect_eq(recorded_pid(&scene), pid);
        close(client(scene.endpoint));
        free_crowd(&crowd);
        leave(&scene);
    }
}

/* The process between a caller and the daemon is the leader of its session. */
static pid_t starter_of(const struct scene *scene)
{
    DIR *proc = opendir("/proc");
    pid_t found = 0;

    for (const struct dirent *entry; !found && (entry = readdir(proc));) {
        char line[4096];
        const pid_t pid = atoi(entry->d_name);
        const int fd = pid > 0 && getsid(pid) == pid
                           ? open(textf("/proc/%d/cmdline", (int)pid), O_RDONLY | O_CLOEXEC)
                           : -1;
        const ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof line);

        if (fd >= 0)
            close(fd);
        if (size > 0 && memmem(line, (size_t)size, "ensure", 7) &&
            memmem(line, (size_t)size, scene->config, strlen(scene->config)))
            found = pid;
    }
    closedir(proc);
    return found;
}

/* Then no caller learns the result, and the daemon starts or does not. */
Test(ensure, a_start_whose_starter_is_killed_is_found, .timeout = 1800)
{
    const size_t rounds = is_long() ? 100 : is_sanitized() ? 2 : 8;
    unsigned seed = (unsigned)time(NULL);

    for (size_t round = 0; round < rounds; round++) {
        const struct scene scene = make_scene();
        configure(&scene, round % 2 ? "tests/plugins/slow_constructor.so" : "samples/slow_start.so",
                  "", "", "");
        struct crowd crowd = gather(&scene, 20, ARGS("--json", scene.config));
        const int64_t deadline = now_ns() + (int64_t)1000000000;
        pid_t starter, pid;

        let_go(&crowd);
        while (!(starter = starter_of(&scene)) && now_ns() < deadline)
            continue;
        sleep_ns(rand_r(&seed) % 3000000);
        if (starter)
            kill(starter, SIGKILL);
        for (size_t i = 0; i < crowd.count; i++)
            cr_assert_eq(code_of(crowd.callers[i]), 0, "seed %u, round %zu: %s", seed, round,
                         process_stderr(crowd.callers[i]));
        ensure_code(&scene);
        cr_expect_eq(daemons_with(scene.config, &pid), 1, "round %zu", round);
        cr_expect_eq(recorded_pid(&scene), pid);
        close(client(scene.endpoint));
        free_crowd(&crowd);
        leave(&scene);
    }
}

/* Two configurations with one service in common are ensured at once, again and again. */
Test(ensure, overlapping_configurations_do_not_starve)
{
    const struct scene scene = make_scene();
    const char *other = textf("%s/d.json", scene.dir);
    configure(&scene, "plugins/echo.so", "", "", "");
    write_text(other,
               textf("{\"services\":[{\"name\":\"y\",\"plugin\":\"%s\"},{\"name\":\"x\","
                     "\"plugin\":\"%s\",\"listen\":[\"unix:%s/z.sock\"]}]}",
                     build_path("plugins/echo.so"), build_path("plugins/echo.so"), scene.dir));
    struct crowd one = gather(&scene, 10, ARGS(scene.config));
    struct crowd two = gather(&scene, 10, ARGS(other));
    size_t had[2] = {0, 0};
    pid_t pid;

    let_go(&one);
    let_go(&two);
    for (size_t i = 0; i < 10; i++) {
        const int first = code_of(one.callers[i]), second = code_of(two.callers[i]);

        cr_assert(first == 0 || first == 75, "%d: %s", first, process_stderr(one.callers[i]));
        cr_assert(second == 0 || second == 75, "%d: %s", second, process_stderr(two.callers[i]));
        had[0] += first == 0;
        had[1] += second == 0;
    }
    cr_expect((had[0] == 10 && had[1] == 0) || (had[0] == 0 && had[1] == 10), "%zu and %zu", had[0],
              had[1]);
    cr_expect_eq(daemons_with(scene.dir, &pid), 1);
    free_crowd(&one);
    free_crowd(&two);
    leave(&scene);
}

/* ---- starts that fail ---------------------------------------------------------------------- */

/* A caller that waits for a start learns its result, and does not start another. */
Test(ensure, failure_reaches_every_caller)
{
    const struct scene scene = make_scene();
    configure(&scene, "tests/plugins/misbehave.so", "\"code_deadline_ms\":3000,", "", "");
    setenv("TEST_CONSTRUCTOR", "hang", 1);
    struct crowd crowd = gather(&scene, 20, ARGS(scene.config));

    let_go(&crowd);
    for (size_t i = 0; i < crowd.count; i++) {
        cr_expect_eq(code_of(crowd.callers[i]), 76, "%s", process_stderr(crowd.callers[i]));
        cr_expect_str_eq(process_stderr(crowd.callers[i]), process_stderr(crowd.callers[0]));
    }
    cr_expect(strstr(process_stderr(crowd.callers[0]), "rpd: code: "), "%s",
              process_stderr(crowd.callers[0]));
    cr_expect_eq(count_in_history(&scene, true, 76), 1, "%s",
                 file_read(textf("%s/x.history", scene.run)));
    unsetenv("TEST_CONSTRUCTOR");
    free_crowd(&crowd);
    leave(&scene);
}

Test(ensure, a_crash_is_told)
{
    const struct scene scene = make_scene();
    configure(&scene, "tests/plugins/misbehave.so", "", "", "");
    if (is_sanitized())
        cr_skip("a sanitizer has crash reports of its own");
    setenv("TEST_CONSTRUCTOR", "segv", 1);
    struct process *caller = CALL(&scene, scene.config);

    cr_expect_eq(code_of(caller), 128 + SIGSEGV, "%s", process_stderr(caller));
    cr_expect(strstr(process_stderr(caller), "SIGSEGV"), "%s", process_stderr(caller));
    unsetenv("TEST_CONSTRUCTOR");
    leave(&scene);
}

Test(ensure, crash_loop_is_left_alone_for_a_while)
{
    const struct scene scene = make_scene();
    configure(&scene, "tests/plugins/misbehave.so", "", "", "\"load\":\"fail\"");

    for (int i = 0; i < 6; i++) {
        struct process *caller = CALL(&scene, "--ready", scene.config);
        const int code = code_of(caller);

        cr_expect_eq(code, 69, "%s", process_stderr(caller));
        cr_expect(strstr(process_stderr(caller), "rpd: load: x: the test wants it"), "%s",
                  process_stderr(caller));
        if (i == 5)
            cr_expect(strstr(process_stderr(caller), "times in a row; not tried again for "), "%s",
                      process_stderr(caller));
        process_free(caller);
    }
    const size_t starts = count_in_history(&scene, false, 0);
    cr_expect(starts >= 3 && starts <= 4, "%zu starts", starts);
    /* A caller with a corrected configuration need not wait. */
    configure(&scene, "tests/plugins/misbehave.so", "", "", "");
    ensure_code(&scene);
    leave(&scene);
}

/* Another file replaces the configuration, with a time before any failure: as with mv, and as with
 * cp -p. */
static void replace_by_older(const char *path, const char *other, bool by_copy)
{
    static const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};

    cr_assert_eq(utimensat(AT_FDCWD, other, long_ago, 0), 0);
    if (!by_copy) {
        cr_assert_eq(rename(other, path), 0);
        return;
    }
    copy_file(other, path, 0600);
    cr_assert_eq(utimensat(AT_FDCWD, path, long_ago, 0), 0);
}

/* Calls until one says that it is not tried again for now: that takes some seconds, which may pass
 * before a slow machine's next call. */
static void fail_until_left_alone(const struct scene *scene, int wanted)
{
    struct process *caller;
    bool is_left_alone;

    do {
        caller = CALL(scene, "--ready", scene->config);
        cr_assert_eq(code_of(caller), wanted, "%s", process_stderr(caller));
        is_left_alone = strstr(process_stderr(caller), "not tried again for ") != NULL;
        process_free(caller);
    } while (!is_left_alone);
}

/* After a correction of either file the start is immediate, whatever the time of the new file
 * is. */
static void assert_mended(bool plugin_is_mended, bool by_copy)
{
    const struct scene scene = make_scene();
    const char *plugin = textf("%s/p.so", scene.dir), *other = textf("%s/other", scene.dir);
    const char *const config = "{\"services\":[{\"name\":\"x\",\"plugin\":\"%s\","
                               "\"listen\":[\"%s\"],\"options\":{\"load\":\"%s\"}}]}";
    size_t starts;

    copy_file(test_plugin("misbehave"), plugin, 0600);
    write_text(scene.config, textf(config, plugin, scene.endpoint, "fail"));
    fail_until_left_alone(&scene, 69);
    starts = count_in_history(&scene, false, 0);
    if (plugin_is_mended) /* as far as it is visible */
        copy_file(test_plugin("misbehave"), other, 0600);
    else
        write_text(other, textf(config, plugin, scene.endpoint, ""));
    replace_by_older(plugin_is_mended ? plugin : scene.config, other, by_copy);
    struct process *caller = CALL(&scene, "--ready", scene.config);
    const int code = code_of(caller);
    cr_expect_eq(code, plugin_is_mended ? 69 : 0, "%s", process_stderr(caller));
    cr_expect(!strstr(process_stderr(caller), "not tried again"), "%s", process_stderr(caller));
    cr_expect_eq(count_in_history(&scene, false, 0), starts + 1, "%s",
                 file_read(textf("%s/x.history", scene.run)));
    process_free(caller);
    leave(&scene);
}

Test(ensure, a_configuration_that_was_moved_there_ends_a_crash_loop)
{
    assert_mended(false, false);
}

Test(ensure, a_configuration_that_was_copied_with_its_time_ends_a_crash_loop)
{
    assert_mended(false, true);
}

Test(ensure, a_plugin_that_was_moved_there_ends_a_crash_loop)
{
    assert_mended(true, false);
}

Test(ensure, a_plugin_that_was_copied_with_its_time_ends_a_crash_loop)
{
    assert_mended(true, true);
}

Test(ensure, one_that_was_killed_is_noted_and_started_again)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    ensure_code(&scene);
    const long long first = recorded_pid(&scene);
    const int pidfd = pidfd_open((pid_t)first, 0);

    pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    wait_until_gone(pidfd);
    ensure_code(&scene);
    cr_expect_neq(recorded_pid(&scene), first);
    cr_expect_eq(count_in_history(&scene, true, 128 + SIGKILL), 1, "%s",
                 file_read(textf("%s/x.history", scene.run)));
    leave(&scene);
}

Test(ensure, mistakes_in_a_configuration_are_all_told)
{
    const struct scene scene = make_scene();
    write_text(scene.config, "{\"workers\":0,\"servises\":1}");
    struct process *caller = CALL(&scene, scene.config);

    cr_expect_eq(code_of(caller), 78);
    cr_expect(strstr(process_stderr(caller), "workers") &&
                  strstr(process_stderr(caller), "servises"),
              "%s", process_stderr(caller));
    leave(&scene);
}

/* ---- other daemons are running --------------------------------------------------------------- */

/* A forced drain is not a failure of the next start. */
Test(ensure, waits_for_a_drain_then_starts)
{
    const struct scene scene = make_scene();
    configure(&scene, "tests/plugins/misbehave.so", "\"drain_s\":2,\"log\":{\"file\":\"own.log\"},",
              "", "");
    ensure_code(&scene);
    const long long first = recorded_pid(&scene);
    const int fd = client(scene.endpoint);

    tell(fd, "hang_job");
    await_in_log(&scene, "test: a job hangs"); /* A process that only waits would be cancelled. */
    kill((pid_t)first, SIGTERM);
    await_verdict(&scene, STATE_DRAINING);
    struct process *caller = CALL(&scene, "--json", scene.config);
    cr_expect_eq(code_of(caller), 0, "%s", process_stderr(caller));
    cr_expect_neq(recorded_pid(&scene), first);
    cr_expect(strstr(process_stdout(caller), "\"started\": true"), "%s", process_stdout(caller));
    cr_expect_eq(count_in_history(&scene, true, 70), 1, "%s",
                 file_read(textf("%s/x.history", scene.run)));
    close(fd);
    leave(&scene);
}

Test(ensure, leaves_what_runs_elsewhere)
{
    const struct scene scene = make_scene();
    const char *both = textf("%s/both.json", scene.dir);
    configure(&scene, "plugins/echo.so", "", "", "");
    write_text(both, textf("{\"services\":[{\"name\":\"x\",\"plugin\":\"%s\"},{\"name\":\"y\","
                           "\"plugin\":\"%s\"}]}",
                           build_path("plugins/echo.so"), build_path("plugins/echo.so")));
    ensure_code(&scene);
    const long long pid = recorded_pid(&scene);
    struct process *caller = CALL(&scene, both);

    cr_expect_eq(code_of(caller), 75);
    cr_expect(
        strstr(process_stderr(caller), textf("x runs as pid %lld from %s", pid, scene.config)),
        "%s", process_stderr(caller));
    cr_expect(strstr(process_stderr(caller), "y is not running"), "%s", process_stderr(caller));
    cr_expect(access(textf("%s/y.history", scene.run), F_OK) != 0, "y was started");
    leave(&scene);
}

Test(ensure, a_stalled_one_is_left_alone)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    ensure_code(&scene);
    const pid_t pid = (pid_t)recorded_pid(&scene);

    kill(pid, SIGSTOP);
    await_verdict(&scene, STATE_STALLED);
    struct process *caller = CALL(&scene, scene.config);
    cr_expect_eq(code_of(caller), 0);
    cr_expect(strstr(process_stderr(caller), "x: stalled: "), "%s", process_stderr(caller));
    cr_expect_eq(kill(pid, 0), 0);
    kill(pid, SIGCONT);
    leave(&scene);
}

/* Its endpoints are recorded nowhere else, and it cannot record them again. */
Test(ensure, one_without_a_record_is_told)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    ensure_code(&scene);
    const pid_t pid = (pid_t)recorded_pid(&scene);

    kill(pid, SIGSTOP);
    cr_assert_eq(unlinkat(scene.run_fd, "x.json", 0), 0);
    struct process *caller = CALL(&scene, scene.config);
    cr_expect_eq(code_of(caller), 73, "%s", process_stderr(caller));
    cr_expect(strstr(process_stderr(caller), textf("runs as pid %d", (int)pid)), "%s",
              process_stderr(caller));
    kill(pid, SIGCONT);
    ensure_code(&scene);
    leave(&scene);
}

Test(ensure, a_differing_configuration_is_warned_of)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    ensure_code(&scene);
    const long long pid = recorded_pid(&scene);

    configure(&scene, "plugins/echo.so", "\"drain_s\":7,", "", "");
    struct process *caller = CALL(&scene, scene.config);
    cr_expect_eq(code_of(caller), 0);
    cr_expect(strstr(process_stderr(caller), "another configuration"), "%s",
              process_stderr(caller));
    cr_expect_eq(recorded_pid(&scene), pid);
    leave(&scene);
}

/* ---- callers that do not wait --------------------------------------------------------------- */

Test(ensure, gives_up_when_told_to)
{
    const struct scene scene = make_scene();
    configure(&scene, "samples/slow_start.so", "", "", "\"load_s\":100");
    struct process *caller = CALL(&scene, "--ready", "--timeout", "0.3", scene.config);

    cr_expect_eq(code_of(caller), 1, "%s", process_stderr(caller));
    cr_expect(strstr(process_stderr(caller), "timed out"), "%s", process_stderr(caller));
    /* The start continues. */
    close(client(scene.endpoint));
    leave(&scene);
}

/* The caller that made the start is killed: the start continues, and other callers learn its
 * result. */
Test(ensure, a_killed_caller_stops_nothing)
{
    const struct scene scene = make_scene();
    configure(&scene, "tests/plugins/slow_constructor.so", "\"code_deadline_ms\":60000,", "", "");
    struct process *first = CALL(&scene, scene.config);
    pid_t pid;

    while (daemons_with(scene.config, &pid) == 0)
        continue;
    process_signal(first, SIGKILL);
    struct process *second = CALL(&scene, scene.config);
    cr_expect_eq(code_of(second), 0, "%s", process_stderr(second));
    cr_expect_eq(recorded_pid(&scene), pid);
    cr_expect_eq(count_in_history(&scene, false, 0), 1);
    leave(&scene);
}

/* ---- other starts meanwhile ----------------------------------------------------------------- */

static void write_history(const struct scene *scene, const char *line)
{
    write_text(textf("%s/x.history", scene->run), line);
}

/* The clock was put back: a failure in the future did not happen while we waited. */
Test(ensure, a_failure_of_the_future_is_none)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");

    write_history(&scene,
                  textf("%lld000 1 1 ended 69 load: x: no\n", (long long)time(NULL) + 3600));
    ensure_code(&scene);
    leave(&scene);
}

/* A service manager, or a person, starts the daemon at the same moment. */
Test(ensure, one_that_is_started_by_hand_meanwhile_is_found, .timeout = 600)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");

    for (int round = 0; round < 25; round++) {
        int gate[2];
        cr_assert_eq(pipe2(gate, O_CLOEXEC), 0);
        struct process *caller = call(&scene, ARGS(scene.config), gate[0]);
        struct process *rpd = process_start(&(struct process_options){
            .argv = ARGS("rpd", "-c", scene.config), .runtime_dir = scene.run, .gate_fd = gate[0]});
        close(gate[0]);
        cr_assert_eq(write(gate[1], "xx", 2), 2);
        close(gate[1]);
        cr_assert_eq(code_of(caller), 0, "round %d: %s", round, process_stderr(caller));
        /* The second one has ended by itself, or starts only now. */
        end_daemon(&scene);
        cr_assert_neq(process_code(process_stop(rpd)), -1);
        process_free(caller);
        process_free(rpd);
    }
    leave(&scene);
}

/* The same file by another name. */
Test(ensure, a_configuration_may_have_several_names)
{
    const struct scene scene = make_scene();
    const char *other = textf("%s/other.json", scene.dir);
    configure(&scene, "plugins/echo.so", "", "", "");
    ensure_code(&scene);

    cr_assert_eq(symlink(scene.config, other), 0);
    struct process *caller = CALL(&scene, other);
    cr_expect_eq(code_of(caller), 0, "%s", process_stderr(caller));
    leave(&scene);
}

static struct process *call_program(const struct scene *scene, const char *command)
{
    return process_start(
        &(struct process_options){.argv = ARGS("sh", "-c", command),
                                  .runtime_dir = scene->run,
                                  .env = ARGS(textf("XDG_STATE_HOME=%s/state", scene->dir))});
}

/* Another caller has its turn for longer than we wait: the test holds it here. */
static int hold_turn(const struct scene *scene)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = openat(scene->run_fd, "x.ensure.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_eq(fcntl(fd, F_OFD_SETLK, &whole), 0);
    return fd;
}

Test(ensure, gives_up_in_the_queue_whatever_is_blocked)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    const int turn = hold_turn(&scene);
    struct process *caller = call_program(
        &scene, textf("exec env --block-signal %s ensure --timeout 0.2 %s", build_path("rpdctl"),
                      scene.config));

    cr_expect_eq(code_of(caller), 1, "%s", process_stderr(caller));
    close(turn);
    leave(&scene);
}

Test(ensure, looks_at_least_once)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    ensure_code(&scene);
    struct process *caller = CALL(&scene, "--timeout", "0.000001", scene.config);

    cr_expect_eq(code_of(caller), 0, "%s", process_stderr(caller));
    leave(&scene);
}

/* A caller with too few descriptors says so: it neither waits for ever nor blames the daemon. */
Test(ensure, few_descriptors_are_told)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    if (is_sanitized())
        cr_skip("a sanitizer needs some of its own");
    for (int limit = 5; limit < 30; limit++) {
        struct process *caller = call_program(
            &scene,
            textf("ulimit -n %d; exec %s ensure %s", limit, build_path("rpdctl"), scene.config));
        const int code = code_of(caller);

        cr_expect(code == 71 || code == 0, "%d: %d: %s", limit, code, process_stderr(caller));
        cr_expect(!strstr(process_stderr(caller), "find out what kills it"), "%d: %s", limit,
                  process_stderr(caller));
        process_free(caller);
    }
    /* The failures above would make ensure pause. */
    write_history(&scene, "");
    ensure_code(&scene);
    leave(&scene);
}

Test(ensure, closed_streams_are_told)
{
    const struct scene scene = make_scene();
    configure(&scene, "plugins/echo.so", "", "", "");
    struct process *caller = call_program(
        &scene, textf("exec %s ensure %s <&- >&-", build_path("rpdctl"), scene.config));

    cr_expect_eq(code_of(caller), 1);
    cr_expect(strstr(process_stderr(caller), "stdout"), "%s", process_stderr(caller));
    ensure_code(&scene);
    leave(&scene);
}

/* A caller that is suspended at its terminal, for example, while it starts the daemon. */
Test(ensure, a_stopped_caller_holds_up_nobody)
{
    const struct scene scene = make_scene();
    configure(&scene, "tests/plugins/slow_constructor.so", "\"code_deadline_ms\":60000,", "", "");
    struct process *first = CALL(&scene, scene.config);
    pid_t pid;

    while (daemons_with(scene.config, &pid) == 0)
        continue;
    process_signal(first, SIGSTOP);
    /* The turn of a caller that has gone ends, too. */
    struct process *second = CALL(&scene, scene.config);
    cr_expect_eq(code_of(second), 0, "%s", process_stderr(second));
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = openat(scene.run_fd, "x.ensure.lock", O_RDWR | O_CLOEXEC);
    cr_expect_eq(fcntl(fd, F_OFD_SETLKW, &whole), 0);
    close(fd);
    process_signal(first, SIGCONT);
    cr_expect_eq(code_of(first), 0, "%s", process_stderr(first));
    leave(&scene);
}

/* Another configuration with the same service failed while we were waiting for our turn. */
Test(ensure, the_failure_of_another_configuration_is_not_ours)
{
    const struct scene scene = make_scene();
    const char *bad = textf("%s/bad.json", scene.dir);
    const char *gate = textf("%s/gate", scene.dir);
    configure(&scene, "tests/plugins/misbehave.so", "\"code_deadline_ms\":60000,", "",
              "\"number\":99");
    cr_assert_eq(rename(scene.config, bad), 0);
    configure(&scene, "plugins/echo.so", "", "", "");
    cr_assert_eq(mkfifo(gate, 0600), 0);
    setenv("TEST_CONSTRUCTOR", "gate", 1);
    setenv("TEST_GATE", gate, 1);
    struct process *theirs = CALL(&scene, bad);
    const int writer = open(gate, O_WRONLY | O_CLOEXEC); /* once ensure waits there */
    cr_assert_geq(writer, 0);
    struct process *ours = CALL(&scene, scene.config);
    /* ensure has begun when it opens the directory; then it waits for the result of the other
     * start. */
    while (descriptors_to(process_pid(ours), scene.run) == 0)
        continue;
    close(writer);
    cr_expect_eq(code_of(theirs), 78, "%s", process_stderr(theirs));
    cr_expect_eq(code_of(ours), 0, "%s", process_stderr(ours));
    unsetenv("TEST_CONSTRUCTOR");
    leave(&scene);
}

/* ---- the command line ----------------------------------------------------------------------- */

struct usage {
    const char *arguments[6], *says;
};

static const struct usage usages[] = {
    {{NULL}, "a configuration or a plugin is needed"},
    {{"--timeout", "c.json"}, "--timeout"},
    {{"--timeout", "x", "c.json"}, "--timeout"},
    {{"c.json", "-c", "d.json"}, "a second configuration"},
    {{"echo.so", "hello.so"}, "a second plugin"},
    {{"echo.so", "-t"}, "make sense here"},
    {{"echo.so", "--bogus"}, "--bogus"},
    {{"echo.so", "--notify-fd", "3"}, "no descriptor"},
};

Test(ensure, refuses_bad_command_lines)
{
    const struct scene scene = make_scene();

    for (size_t i = 0; i < sizeof usages / sizeof *usages; i++) {
        struct process *caller = call(&scene, usages[i].arguments, 0);

        cr_expect_eq(code_of(caller), 64, "%s", process_stderr(caller));
        cr_expect(strstr(process_stderr(caller), usages[i].says), "%s", process_stderr(caller));
    }
    close(scene.run_fd);
    temp_dir_remove(scene.dir);
}
