/* The life of a daemon from outside: what it announces and records, how it stops, what it adopts,
 * and how it keeps its paths. */
#include "common.h"

#include <netinet/in.h>
#include <sys/file.h>
#include <sys/resource.h>

/* A directory, a client's endpoint in it, and rpd on it. */
struct life {
    const char *dir;
    const char *path, *endpoint;
    struct process *rpd;
};

static struct life life_in(const char *plugin, const char *config_top, const char *service_more)
{
    struct life life = {.dir = temp_dir_make()};

    life.path = textf("%s/x.sock", life.dir);
    life.endpoint = textf("unix:%s", life.path);
    const char *config = textf("%s/c.json", life.dir);
    write_text(config, textf("{%s\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\"]%s}]}",
                             config_top, plugin, life.endpoint, service_more));
    life.rpd = process_start(&(struct process_options){.argv = ARGS("rpd", "-c", config),
                                                       .runtime_dir = textf("%s/run", life.dir),
                                                       .notify = true});
    return life;
}

static struct life echo_life(void)
{
    struct life life = life_in("echo.so", "", "");

    assert_bound(life.rpd);
    return life;
}

/* Only lock files, and the configuration, are left. */
static void assert_left_nothing(const struct life *life)
{
    const char *left = listing(life->dir);
    const char *wanted = textf("%s/c.json\n%s/run/\n", life->dir, life->dir);

    cr_assert_str_eq(left, wanted, "left behind:\n%s", left);
}

static void end_life(struct life *life)
{
    assert_stops(life->rpd);
    assert_left_nothing(life);
    process_free(life->rpd);
    temp_dir_remove(life->dir);
}

/* ---- announce and record ---- */

Test(life, bound_then_ready)
{
    struct life life = life_in(build_path("samples/slow_start.so"), "",
                               ",\"options\":{\"load_s\":0.05}");

    assert_line(life.rpd, "ready (");
    const char *text = process_stderr(life.rpd);
    const char *bound = strstr(text, textf("rpd: slow_start: bound %s (pid %d, ", life.endpoint,
                                           (int)process_pid(life.rpd)));
    const char *ready = strstr(text, "rpd: slow_start: ready (");
    cr_assert(bound && ready && bound < ready, "%s", text);
    assert_text(ask_once(life.endpoint, "a"), "a: loaded in 0.05 s", life.rpd);
    end_life(&life);
}

Test(life, bound_line_names_all_endpoints)
{
    const char *dir = temp_dir_make();
    const char *path = textf("unix:%s/x.sock", dir), *name = textf("unix:@rpd-life-%d", getpid());
    struct process *rpd = RPD_START(dir, "echo.so", "-l", path, "-l", name, "-l", "tcp:127.0.0.1:0",
                                    "-l", "unix:relative.sock");

    assert_bound(rpd);
    assert_line(rpd, ": bound ");
    const char *wanted[] = {path, name, process_endpoint(rpd, "tcp:127.0.0.1:"),
                            textf("unix:%s/relative.sock", dir)};
    cr_assert_str_neq(wanted[2], "tcp:127.0.0.1:0");
    for (size_t i = 0; i < 4; i++) {
        cr_assert(strstr(process_stderr(rpd), wanted[i]), "no %s in %s", wanted[i],
                  process_stderr(rpd));
        assert_text(ask_once(wanted[i], "hi"), "hi", rpd);
    }
    assert_stops(rpd);
    assert_empty(dir);
}

Test(life, record)
{
    struct life life = echo_life();
    const char *text = file_read(textf("%s/run/echo.json", life.dir));
    const char *stat = file_read(textf("/proc/%d/stat", (int)process_pid(life.rpd)));
    const char *at = strrchr(stat, ')') + 2; /* field 3; the start time is field 22 */
    for (int field = 3; field < 22; field++)
        at = strchr(at, ' ') + 1;
    char plugin[PATH_MAX];
    cr_assert_not_null(realpath(build_path("plugins/echo.so"), plugin));
    const char *const wanted[] = {
        textf("\"pid\": %d,", (int)process_pid(life.rpd)),
        textf("\"start_time\": %.*s,", (int)strcspn(at, " "), at),
        textf("\"boot_id\": \"%.36s\",", file_read("/proc/sys/kernel/random/boot_id")),
        "\"service\": \"echo\",",
        textf("\"config\": \"%s/c.json\"", life.dir),
        textf("\"plugin\": \"%s\"", plugin),
        "\"endpoints\": [",
        textf("\"%s\"", life.endpoint),
        "\"control\": ",
        "\"version\": 1",
    };

    cr_assert_not_null(text);
    cr_assert_eq(text[0], '{');
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        cr_expect(strstr(text, wanted[i]), "no %s in:\n%s", wanted[i], text);
    end_life(&life);
}

Test(life, modes)
{
    struct life life = echo_life();
    static const struct {
        const char *file;
        mode_t mode;
    } files[] = {{"x.sock", 0600},           {".x.sock.lock", 0600},    {"run", 0700},
                 {"run/echo.lock", 0600},    {"run/echo.json", 0644},   {"run/echo.state", 0644},
                 {"run/echo.control", 0600}, {"run/echo.history", 0644}};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct stat status;
        cr_assert_eq(lstat(textf("%s/%s", life.dir, files[i].file), &status), 0, "%s",
                     files[i].file);
        cr_expect_eq(status.st_mode & 07777, files[i].mode, "%s: %o", files[i].file,
                     status.st_mode);
    }
    end_life(&life);
}

Test(life, notify_fd_at_ready)
{
    struct life life = life_in(test_plugin("misbehave"), "\"notify\":\"ready\",",
                               ",\"options\":{\"load\":\"forever\"}");

    assert_line(life.rpd, "test: loads");
    cr_assert(!process_bound(life.rpd));
    end_life(&life);

    struct life other = life_in(build_path("samples/slow_start.so"), "\"notify\":\"ready\",",
                                ",\"options\":{\"load_s\":0.05}");
    cr_assert_eq(process_wait_bound(other.rpd), 0);
    assert_line(other.rpd, ": ready ");
    end_life(&other);
}

/* ---- sd_notify ---- */

static int manager_at(const char *name)
{
    const int fd = listen_at(name, SOCK_DGRAM, -1);
    const struct timeval deadline = {.tv_sec = 20};

    cr_assert_geq(fd, 0, "%s: %s", name, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    return fd;
}

/* All messages up to and including one that contains this text, separated by "|". */
static const char *messages_until(int fd, const char *text)
{
    const char *all = "";
    char message[1024];

    for (;;) {
        const ssize_t got = recv(fd, message, sizeof message - 1, 0);
        cr_assert_gt(got, 0, "no %s after \"%s\": %s", text, all, strerror(errno));
        message[got] = '\0';
        all = textf("%s%s|", all, message);
        if (strstr(message, text))
            return all;
    }
}

static void check_sd_notify(const char *name, const char *dir, const char *when)
{
    const int manager = manager_at(name);
    const char *config = textf("%s/c.json", dir);
    write_text(config, textf("{\"notify\":\"%s\",\"services\":[{\"plugin\":\"%s\"}]}", when,
                             test_plugin("misbehave")));
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", "-c", config),
                                  .runtime_dir = dir,
                                  .env = ARGS(textf("NOTIFY_SOCKET=%s", name))});

    const char *start = messages_until(manager, "STATUS=ready");
    if (!strstr(start, "READY=1"))
        start = textf("%s%s", start, messages_until(manager, "READY=1"));
    const char *bound = strstr(start, "STATUS=bound"), *ready = strstr(start, "READY=1");
    const char *loaded = strstr(start, "STATUS=ready");
    cr_expect(bound && ready && loaded && bound < ready, "%s", start);
    cr_expect_eq(strcmp(when, "bound") == 0, ready < loaded, "%s: %s", when, start);
    process_signal(rpd, SIGTERM);
    const char *end = messages_until(manager, "STATUS=");
    cr_expect(strstr(end, "STOPPING=1"), "%s", end);
    assert_ends(rpd, 0);
    cr_expect_null(strstr(strstr(textf("%s%s", start, end), "READY=1") + 1, "READY=1"),
                   "told twice: %s%s", start, end);
    cr_expect(!strstr(process_stderr(rpd), "was not cleaned"), "%s", process_stderr(rpd));
    close(manager);
}

Test(life, sd_notify_by_path)
{
    const char *dir = temp_dir_make();

    check_sd_notify(textf("%s/notify", dir), dir, "bound");
}

Test(life, sd_notify_by_abstract_name)
{
    check_sd_notify(textf("@rpd-notify-%d", getpid()), temp_dir_make(), "bound");
}

Test(life, sd_notify_at_ready)
{
    const char *dir = temp_dir_make();

    check_sd_notify(textf("%s/notify", dir), dir, "ready");
}

/* ---- priorities ---- */

/* 99: the thread has ended. */
static int nice_of_thread(pid_t pid, const char *thread)
{
    const char *text = file_read(textf("/proc/%d/task/%s/stat", (int)pid, thread));
    const char *field = text ? strrchr(text, ')') : NULL;

    for (int number = 2; field && number < 19; number++)
        field = strchr(field + 1, ' ');
    return field ? (int)strtol(field, NULL, 10) : 99;
}

static int threads_of_nice(pid_t pid, int value)
{
    DIR *tasks = opendir(textf("/proc/%d/task", (int)pid));
    int count = 0;

    cr_assert(tasks);
    for (const struct dirent *task; (task = readdir(tasks));)
        count += task->d_name[0] != '.' && nice_of_thread(pid, task->d_name) == value;
    closedir(tasks);
    return count;
}

/* Otherwise answers would wait for computing threads on a busy machine. */
Test(life, the_loop_goes_before_workers)
{
    enum { WORKERS = 3, LOWER = 5, LOWEST = 19 };
    struct life life = life_in("echo.so", textf("\"workers\":%d,", WORKERS), "");
    const pid_t pid = process_pid(life.rpd);
    const int own = getpriority(PRIO_PROCESS, 0);
    const int64_t give_up = now_ns() + INT64_C(20000000000);

    if (own + LOWER > LOWEST)
        cr_skip_test("the priority of this test is too low");
    assert_line(life.rpd, "ready (");
    while (threads_of_nice(pid, own + LOWER) != WORKERS && now_ns() < give_up)
        poll(NULL, 0, 1);
    cr_expect_eq(threads_of_nice(pid, own + LOWER), WORKERS);
    cr_expect_eq(nice_of_thread(pid, textf("%d", (int)pid)), own, "the loop's");
    end_life(&life);
}

/* ---- stop ---- */

Test(life, stops_by_sigterm)
{
    struct life life = echo_life();

    end_life(&life);
}

Test(life, stops_by_sigint)
{
    struct life life = echo_life();

    process_signal(life.rpd, SIGINT);
    assert_ends(life.rpd, 0);
    assert_left_nothing(&life);
}

Test(life, second_sigint_ends_at_once)
{
    struct life life = echo_life();
    const int fd = connect_to(life.endpoint);

    /* Unread output delays the end of the drain. */
    char *block = calloc(1, 4 << 20);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (send(fd, block, 4 << 20, MSG_NOSIGNAL) > 0)
        continue;
    free(block);
    process_signal(life.rpd, SIGINT);
    assert_line(life.rpd, "stopping");
    process_signal(life.rpd, SIGINT);
    assert_ends(life.rpd, 70);
    cr_assert(strstr(process_stderr(life.rpd), "SIGINT"), "%s", process_stderr(life.rpd));
    assert_left_nothing(&life);
    close(fd);
}

Test(life, ten_thousand_sigterms)
{
    struct life life = echo_life();
    const int fd = connect_to(life.endpoint);

    assert_text(ask(fd, "here"), "here", life.rpd);
    for (int i = 0; i < 10000; i++)
        process_signal(life.rpd, SIGTERM);
    assert_ends(life.rpd, 0);
    cr_assert_eq(lines_with(process_stderr(life.rpd), "stopping"), 1, "%s",
                 process_stderr(life.rpd));
    assert_left_nothing(&life);
    close(fd);
}

Test(life, sigint_after_sigterm_is_the_first)
{
    struct life life = life_in(test_plugin("talk"), "", "");

    assert_bound(life.rpd);
    const int fd = connect_to(life.endpoint);
    send_all(fd, "id\njob 300 late\n", 16);
    char line[64];
    cr_assert_gt(read_line(fd, line, sizeof line), 0);
    process_signal(life.rpd, SIGTERM);
    assert_line(life.rpd, "stopping");
    process_signal(life.rpd, SIGINT);
    cr_assert_gt(read_line(fd, line, sizeof line), 0, "%s", process_stderr(life.rpd));
    cr_assert_str_eq(line, "late\n");
    assert_ends(life.rpd, 0);
    close(fd);
}

/* A hundred at once become a few reloads. */
Test(life, sighup_is_a_reload)
{
    struct life life = echo_life();
    const int fd = connect_to(life.endpoint);

    for (int i = 0; i < 100; i++)
        process_signal(life.rpd, SIGHUP);
    assert_line(life.rpd, "reload: nothing has changed");
    assert_text(ask(fd, "still here"), "still here", life.rpd);
    close(fd);
    assert_stops(life.rpd);
    cr_assert_leq(lines_with(process_stderr(life.rpd), "reload: asked for by SIGHUP"), 100);
    assert_left_nothing(&life);
}

Test(life, other_signals_change_nothing)
{
    static const int numbers[] = {SIGPIPE, SIGCHLD, SIGWINCH, SIGURG, SIGCONT};
    struct life life = echo_life();
    const int fd = connect_to(life.endpoint);

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        process_signal(life.rpd, numbers[i]);
        assert_text(ask(fd, "still here"), "still here", life.rpd);
    }
    close(fd);
    end_life(&life);
}

/* The signal is ignored in every phase. */
Test(life, user_signals_change_nothing)
{
    const int numbers[] = {SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMAX};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct life life = echo_life();
        const int fd = connect_to(life.endpoint);

        assert_text(ask(fd, "here"), "here", life.rpd);
        process_signal(life.rpd, numbers[i]);
        assert_text(ask(fd, "still here"), "still here", life.rpd);
        close(fd);
        end_life(&life);
    }
}

/* A start that waits at a gate, in the constructor or in bind. */
static void check_sigterm_at_gate(const char *plugin, const char *variable, int signal_number)
{
    const char *dir = temp_dir_make(), *gate = textf("%s/gate", dir);
    mkfifo(gate, 0600);
    const char *run = textf("%s/run", dir), *config = textf("%s/c.json", dir);
    /* The gate is a file, which a sealed bind cannot open. */
    write_text(config, textf("{\"services\":[{\"plugin\":\"%s\",\"listen\":[\"unix:%s/x.sock\"],"
                             "\"seal\":\"off\"}]}",
                             test_plugin(plugin), dir));
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", config),
        .runtime_dir = run,
        .env = ARGS(textf("%s=gate", variable), textf("TEST_GATE=%s", gate))});

    assert_line(rpd, "waits at the gate");
    process_signal(rpd, signal_number);
    /* Opening the gate for writing lets the start continue; meanwhile a keeper may end its runner
     * at the gate. */
    int fd;
    while ((fd = open(gate, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 && errno == ENXIO &&
           process_alive(rpd))
        process_poll(&rpd, 1, 10000000);
    cr_assert(fd >= 0 || with_keeper(), "%s", strerror(errno));
    if (fd >= 0)
        close(fd);
    assert_ends(rpd, 0);
    cr_assert(!strstr(process_stderr(rpd), ": bound "), "%s", process_stderr(rpd));
    cr_assert_str_eq(listing(dir), textf("%s\n%s\n%s/\n", config, gate, run), "%s", listing(dir));
}

Test(life, sigterm_in_the_constructor)
{
    check_sigterm_at_gate("misbehave", "TEST_CONSTRUCTOR", SIGTERM);
}

Test(life, sigint_in_the_constructor)
{
    check_sigterm_at_gate("misbehave", "TEST_CONSTRUCTOR", SIGINT);
}

Test(life, sigterm_in_bind)
{
    check_sigterm_at_gate("own_bind", "TEST_BIND", SIGTERM);
}

Test(life, sigterm_while_loading_with_held_clients)
{
    struct life life = life_in(test_plugin("misbehave"), "", ",\"options\":{\"load\":\"forever\"}");
    int held[20];
    char byte;

    assert_line(life.rpd, "test: loads");
    for (size_t i = 0; i < 20; i++) {
        held[i] = connect_to(life.endpoint);
        cr_assert_geq(held[i], 0);
        send_all(held[i], "hello\n", 6);
    }
    const int64_t before = now_ns();
    process_signal(life.rpd, SIGTERM);
    assert_ends(life.rpd, 0);
    const int64_t took = now_ns() - before;
    cr_assert_lt(took, 2000000000, "%ld ms", (long)(took / 1000000));
    cr_assert(strstr(process_stderr(life.rpd), "load cancelled"), "%s", process_stderr(life.rpd));
    for (size_t i = 0; i < 20; i++) {
        cr_expect_leq(read_exactly(held[i], &byte, 1), 0);
        close(held[i]);
    }
    assert_left_nothing(&life);
}

/* ---- several services ---- */

Test(life, several_services)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);

    write_text(config, textf("{\"services\":["
                             "{\"name\":\"a\",\"plugin\":\"echo.so\",\"listen\":[\"unix:a.sock\"]},"
                             "{\"name\":\"b\",\"plugin\":\"echo.so\",\"listen\":[\"unix:b.sock\"]},"
                             "{\"name\":\"p1\",\"plugin\":\"%s\",\"options\":{\"parts\":3}},"
                             "{\"name\":\"p2\",\"plugin\":\"%s\",\"options\":{\"parts\":7}},"
                             "{\"name\":\"own\",\"plugin\":\"%s\"},"
                             "{\"plugin\":\"%s\",\"options\":{\"load_s\":3600}}]}",
                             test_plugin("parts"), test_plugin("parts"), test_plugin("own_bind"),
                             build_path("samples/slow_start.so")));
    struct process *rpd = RPD_START(textf("%s/run", dir), "-c", config);
    static const char *const names[] = {"a", "b", "p1", "p2", "own", "slow_start"};

    assert_bound(rpd);
    cr_assert_eq(process_wait_lines(rpd, ": bound ", 6), 0);
    cr_assert_eq(process_wait_lines(rpd, ": ready ", 5), 0, "%s", process_stderr(rpd));
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(access(textf("%s/run/%s.json", dir, names[i]), F_OK), 0, "%s", names[i]);
    assert_text(ask_once(textf("unix:%s/run/a.sock", dir), "x"), "x", rpd);
    assert_text(ask_once(textf("unix:%s/run/b.sock", dir), "y"), "y", rpd);
    assert_text(ask_once(textf("unix:%s/run/own.sock", dir), "z"), "z", rpd);
    const char *answer = ask_once(textf("unix:%s/run/p1.sock", dir), "");
    cr_assert(answer && strncmp(answer, "3 3 ", 4) == 0, "%s", answer);
    answer = ask_once(textf("unix:%s/run/p2.sock", dir), "");
    cr_assert(answer && strncmp(answer, "7 21 ", 5) == 0, "%s", answer);
    const int held = connect_to(textf("unix:%s/run/slow_start.sock", dir));
    cr_assert_geq(held, 0);
    assert_stops(rpd);
    cr_assert_eq(lines_with(process_stderr(rpd), ": stopped"), 6, "%s", process_stderr(rpd));
    cr_assert_str_eq(listing(dir), textf("%s\n%s/run/\n", config, dir));
}

Test(life, all_or_nothing)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *run = textf("%s/run", dir);

    write_text(config, textf("{\"services\":[{\"name\":\"a\",\"plugin\":\"echo.so\"},"
                             "{\"name\":\"b\",\"plugin\":\"%s\",\"options\":{\"serve\":\"fail\"}},"
                             "{\"name\":\"c\",\"plugin\":\"echo.so\"}]}",
                             test_plugin("misbehave")));
    struct process *rpd = RPD_START(run, "-c", config);
    assert_ends(rpd, 71);
    cr_assert_str_eq(listing(dir), textf("%s\n%s/\n", config, run));
    cr_assert_eq(lines_with(process_stderr(rpd), ": ready "), 0, "%s", process_stderr(rpd));
}

Test(life, a_failed_load_ends_all_services)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *run = textf("%s/run", dir);

    write_text(config, textf("{\"services\":[{\"name\":\"a\",\"plugin\":\"echo.so\"},"
                             "{\"name\":\"b\",\"plugin\":\"%s\",\"options\":{\"load\":\"fail\"}}]}",
                             test_plugin("misbehave")));
    struct process *rpd = RPD_START(run, "-c", config);
    assert_ends(rpd, 69);
    cr_assert_str_eq(listing(dir), textf("%s\n%s/\n", config, run));
}

/* ---- adopted listeners ---- */

static struct process *start_adopting(const char *dir, const int *fds, size_t count,
                                      const char *names, const char *const *argv)
{
    return process_start(
        &(struct process_options){.argv = argv,
                                  .runtime_dir = dir,
                                  .listen_fds = fds,
                                  .listen_count = count,
                                  .notify = true,
                                  .env = names ? ARGS(textf("LISTEN_FDNAMES=%s", names)) : NULL});
}

Test(life, adopts_a_unix_listener)
{
    const char *dir = temp_dir_make(), *path = textf("%s/x.sock", dir);
    const char *endpoint = textf("unix:%s", path);
    const int fd = listen_at(path, SOCK_STREAM, 64);
    struct process *rpd = start_adopting(dir, &fd, 1, NULL,
                                         ARGS("rpd", test_plugin("misbehave"), "-l", endpoint));

    assert_bound(rpd);
    assert_text(ask_once(endpoint, "hi"), "hi", rpd);
    /* The listener was blocking; a loop that blocked in accept would not answer twice. */
    assert_text(ask_once(endpoint, "again"), "again", rpd);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert(access(textf("%s/.x.sock.lock", dir), F_OK) != 0, "a lock beside an adopted path");
    assert_stops(rpd);
    cr_assert(!strstr(process_stderr(rpd), "was not cleaned"), "%s", process_stderr(rpd));
    cr_assert_eq(access(path, F_OK), 0, "it was unlinked");

    /* A client that connects in between waits for the next daemon. */
    const int client = connect_to(endpoint);
    cr_assert_geq(client, 0);
    send_all(client, "in between\n", 11);
    rpd = start_adopting(dir, &fd, 1, NULL, ARGS("rpd", "echo.so", "-l", endpoint));
    char line[64];
    cr_assert_eq(read_line(client, line, sizeof line), 11, "%s", process_stderr(rpd));
    assert_stops(rpd);
}

/* Clients that are queued at SIGTERM are left to the next daemon: none is reset. */
Test(life, adopted_queue_survives_a_stop)
{
    const char *dir = temp_dir_make(), *path = textf("%s/x.sock", dir);
    const char *endpoint = textf("unix:%s", path);
    const int fd = listen_at(path, SOCK_STREAM, 64);
    struct process *rpd = start_adopting(dir, &fd, 1, NULL, ARGS("rpd", "echo.so", "-l", endpoint));
    int clients[10];

    assert_bound(rpd);
    assert_line(rpd, ": ready ");
    process_signal(rpd, SIGSTOP);
    for (size_t i = 0; i < 10; i++) {
        clients[i] = connect_to(endpoint);
        cr_assert_geq(clients[i], 0);
        send_all(clients[i], "hi\n", 3);
    }
    process_signal(rpd, SIGTERM);
    process_signal(rpd, SIGCONT);
    assert_ends(rpd, 0);
    rpd = start_adopting(dir, &fd, 1, NULL, ARGS("rpd", "echo.so", "-l", endpoint));
    assert_bound(rpd);
    for (size_t i = 0; i < 10; i++) {
        char line[16];
        cr_assert_eq(read_line(clients[i], line, sizeof line), 3, "client %zu: %s\n%s", i,
                     strerror(errno), process_stderr(rpd));
    }
    assert_stops(rpd);
}

static int listen_tcp(const char **ret_endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(fd, 64), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    *ret_endpoint = textf("tcp:127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

Test(life, adopts_tcp_listeners)
{
    const char *dir = temp_dir_make();
    const char *endpoints[2];
    const int fds[2] = {listen_tcp(&endpoints[0]), listen_tcp(&endpoints[1])};
    struct process *rpd = start_adopting(
        dir, fds, 2, "x:y", ARGS("rpd", "echo.so", "-l", endpoints[1], "-l", endpoints[0]));

    assert_bound(rpd);
    assert_text(ask_once(endpoints[0], "a"), "a", rpd);
    assert_text(ask_once(endpoints[1], "b"), "b", rpd);
    assert_stops(rpd);
}

/* Both sockets fit: the name of the service decides. */
Test(life, adopted_names_break_ties)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *endpoints[2];
    const int fds[2] = {listen_tcp(&endpoints[0]), listen_tcp(&endpoints[1])};

    write_text(config,
               textf("{\"services\":["
                     "{\"name\":\"parts\",\"plugin\":\"%s\",\"listen\":[\"tcp:127.0.0.1:0\"]},"
                     "{\"name\":\"echo\",\"plugin\":\"echo.so\","
                     "\"listen\":[\"tcp:127.0.0.1:0\"]}]}",
                     test_plugin("parts")));
    struct process *rpd = start_adopting(textf("%s/run", dir), fds, 2, "echo:parts",
                                         ARGS("rpd", "-c", config));
    assert_bound(rpd);
    assert_text(ask_once(endpoints[0], "a"), "a", rpd);
    const char *answer = ask_once(endpoints[1], "a");
    cr_assert(answer && strncmp(answer, "100 ", 4) == 0, "%s", answer);
    assert_stops(rpd);
}

/* A service listed first must not take, because of its address, the listener that has the name of a
 * later one. */
Test(life, adopted_names_count_before_order)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *endpoint;
    const int fd = listen_tcp(&endpoint);

    write_text(config,
               textf("{\"services\":["
                     "{\"name\":\"parts\",\"plugin\":\"%s\",\"listen\":[\"tcp:127.0.0.1:0\"]},"
                     "{\"name\":\"echo\",\"plugin\":\"echo.so\","
                     "\"listen\":[\"tcp:127.0.0.1:0\"]}]}",
                     test_plugin("parts")));
    struct process *rpd = start_adopting(textf("%s/run", dir), &fd, 1, "echo",
                                         ARGS("rpd", "-c", config));
    assert_bound(rpd);
    assert_text(ask_once(endpoint, "a"), "a", rpd);
    assert_stops(rpd);
}

Test(life, refuses_what_it_cannot_adopt)
{
    const char *dir = temp_dir_make(), *run = textf("%s/run", dir);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const char *unused;
    struct {
        const char *what, *endpoint, *cause;
        int fd;
    } cases[5] = {
        {"unmatched", "unix:y.sock", "no service listens on", listen_tcp(&unused)},
        {"not listening", NULL, "does not listen",
         listen_at(textf("%s/a.sock", dir), SOCK_STREAM, -1)},
        {"datagrams on a path", NULL, "not a stream socket",
         listen_at(textf("%s/b.sock", dir), SOCK_DGRAM, -1)},
        {"UDP", NULL, "not a stream socket", socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)},
        {"a file", "unix:y.sock", "not a socket", open("/dev/null", O_RDONLY | O_CLOEXEC)},
    };

    cases[1].endpoint = textf("unix:%s/a.sock", dir);
    cases[2].endpoint = textf("unix:%s/b.sock", dir);
    bind(cases[3].fd, (struct sockaddr *)&address, size);
    getsockname(cases[3].fd, (struct sockaddr *)&address, &size);
    cases[3].endpoint = textf("tcp:127.0.0.1:%d", ntohs(address.sin_port));
    for (size_t i = 0; i < 5; i++) {
        struct process *rpd = start_adopting(run, &cases[i].fd, 1, NULL,
                                             ARGS("rpd", "echo.so", "-l", cases[i].endpoint));
        const int code = process_code(process_wait_exit(rpd));
        cr_expect_eq(code, 78, "%s: %d\n%s", cases[i].what, code, process_stderr(rpd));
        cr_expect(strstr(process_stderr(rpd), cases[i].cause), "%s: %s", cases[i].what,
                  process_stderr(rpd));
        cr_expect_eq(lines_with(process_stderr(rpd), ""), 1, "%s", process_stderr(rpd));
        cr_expect_str_empty(listing(run), "%s", listing(run));
        process_free(rpd);
    }
    cr_expect_eq(access(textf("%s/a.sock", dir), F_OK), 0);
}

/* ---- endpoints ---- */

Test(life, ipv6)
{
    const int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
                                          .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (probe < 0 || bind(probe, (const struct sockaddr *)&loopback, sizeof loopback) != 0)
        cr_skip("no IPv6 here");
    const char *dir = temp_dir_make();
    struct process *rpd = RPD_START(dir, "echo.so", "-l", "tcp:[::1]:0");

    assert_bound(rpd);
    assert_line(rpd, ": bound ");
    assert_text(ask_once(process_endpoint(rpd, "tcp:[::1]:"), "six"), "six", rpd);
    assert_stops(rpd);
}

Test(life, mode_and_group)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    struct stat status;

    write_text(config, textf("{\"services\":[{\"plugin\":\"echo.so\",\"listen\":[{\"endpoint\":"
                             "\"unix:%s/x.sock\",\"mode\":\"0660\",\"group\":\"65534\"}]}]}",
                             dir));
    struct process *rpd = RPD_START(textf("%s/run", dir), "-c", config);
    assert_bound(rpd);
    cr_assert_eq(lstat(textf("%s/x.sock", dir), &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0660, "%o", status.st_mode);
    cr_assert_eq(status.st_gid, 65534);
    assert_stops(rpd);
}

Test(life, long_names)
{
    const char *dir = temp_dir_make();
    /* As long as an address allows: "DIR/NAME" and the NUL. */
    const int room = 107 - (int)strlen(dir) - 1;
    char name[128];

    memset(name, 'n', sizeof name);
    const char *first = textf("%.*s", room < 90 ? room : 90, name);
    name[room - 1] = 'm'; /* differs from the first only at its end */
    const char *second = textf("%.*s", room < 90 ? room : 90, name);
    struct process *rpd = RPD_START(textf("%s/run", dir), "echo.so", "-l",
                                    textf("unix:%s/%s", dir, first), "-l",
                                    textf("unix:%s/%.80s", dir, second));
    assert_bound(rpd);
    assert_text(ask_once(textf("unix:%s/%s", dir, first), "long"), "long", rpd);
    assert_text(ask_once(textf("unix:%s/%.80s", dir, second), "long"), "long", rpd);
    assert_stops(rpd);
    cr_assert_str_eq(listing(dir), textf("%s/run/\n", dir), "%s", listing(dir));
}

/* ---- leftovers and holders ---- */

Test(life, replaces_leftovers)
{
    const char *dir = temp_dir_make(), *run = textf("%s/run", dir);
    const char *endpoint = textf("unix:%s/x.sock", dir);

    mkdir(run, 0700);
    close(listen_at(textf("%s/x.sock", dir), SOCK_STREAM, 8)); /* a stale socket */
    close(listen_at(textf("%s/.x.sock.1.tmp", dir), SOCK_STREAM, 8));
    write_text(textf("%s/.x.sock.lock", dir), "garbage\1\2");
    write_text(textf("%s/echo.lock", run), "");
    write_text(textf("%s/echo.json", run), "{\"pid\": 1, torn");
    struct process *rpd = RPD_START(run, "echo.so", "-l", endpoint);
    assert_bound(rpd);
    assert_text(ask_once(endpoint, "new"), "new", rpd);
    cr_assert(strstr(file_read(textf("%s/echo.json", run)),
                     textf("\"pid\": %d,", (int)process_pid(rpd))));
    assert_stops(rpd);
    cr_assert_str_eq(listing(dir), textf("%s/\n", run), "%s", listing(dir));
}

Test(life, live_holder_with_a_full_queue)
{
    const char *dir = temp_dir_make(), *path = textf("%s/x.sock", dir);
    const char *endpoint = textf("unix:%s", path);
    const int holder = listen_at(path, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    for (;;) {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
            cr_assert_eq(errno, EAGAIN);
            break;
        }
    }
    const int64_t before = now_ns();
    struct process *rpd = RPD_START(textf("%s/run", dir), "echo.so", "-l", endpoint);
    assert_ends(rpd, 75);
    const int64_t took = now_ns() - before;
    cr_assert_lt(took, 2000000000, "%ld ms", (long)(took / 1000000));
    cr_assert_eq(access(path, F_OK), 0);
    close(holder);
}

Test(life, stopped_holder)
{
    struct life life = echo_life();

    process_signal(life.rpd, SIGSTOP);
    const int64_t before = now_ns();
    struct process *second = RPD_START(textf("%s/run", life.dir), "echo.so", "-l", life.endpoint);
    assert_ends(second, 75);
    const int64_t took = now_ns() - before;
    cr_assert_lt(took, 2000000000, "%ld ms", (long)(took / 1000000));
    cr_assert(strstr(process_stderr(second), textf("pid %d", (int)process_pid(life.rpd))), "%s",
              process_stderr(second));
    process_signal(life.rpd, SIGCONT);
    assert_text(ask_once(life.endpoint, "mine"), "mine", life.rpd);
    end_life(&life);
}

Test(life, somebody_holds_the_directory)
{
    const char *dir = temp_dir_make();
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    cr_assert_eq(flock(fd, LOCK_EX), 0);
    struct process *rpd = RPD_START(textf("%s/run", dir), "echo.so", "-l",
                                    textf("unix:%s/x.sock", dir));
    assert_bound(rpd);
    assert_stops(rpd);
    close(fd);
}

/* ---- healing ---- */

Test(life, deleted_lock_is_made_again)
{
    static const char *const locks[] = {".x.sock.lock", "run/echo.lock"};

    for (size_t i = 0; i < 2; i++) {
        struct life life = echo_life();
        const char *lock = textf("%s/%s", life.dir, locks[i]);
        struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

        cr_assert_eq(unlink(lock), 0);
        /* The daemon notices within a second: until then the test checks whether the file exists
         * and is locked. */
        const int64_t deadline = now_ns() + 5000000000;
        bool held = false;
        while (!held && now_ns() < deadline) {
            const int fd = open(lock, O_RDWR | O_CLOEXEC);
            asked = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
            held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &asked) == 0 && asked.l_type != F_UNLCK;
            if (fd >= 0)
                close(fd);
            poll(NULL, 0, 1);
        }
        cr_assert(held, "%s: %s", locks[i], process_stderr(life.rpd));
        struct process *second = RPD_START(
            textf("%s/%s", life.dir, i == 0 ? "run2" : "run"), "echo.so", "-l",
            i == 0 ? life.endpoint : textf("unix:%s/y.sock", life.dir));
        assert_ends(second, 75);
        unlink(textf("%s/run2/echo.lock", life.dir));
        rmdir(textf("%s/run2", life.dir));
        assert_text(ask_once(life.endpoint, "mine"), "mine", life.rpd);
        end_life(&life);
    }
}

Test(life, deleted_socket_is_made_again)
{
    struct life life = echo_life();
    const int old = connect_to(life.endpoint);

    assert_text(ask(old, "old"), "old", life.rpd);
    for (size_t round = 1; round <= 3; round++) {
        cr_assert_eq(unlink(life.path), 0);
        cr_assert_eq(process_wait_lines(life.rpd, "recreated", round), 0, "%s",
                     process_stderr(life.rpd));
        assert_text(ask_once(life.endpoint, "new"), "new", life.rpd);
        assert_text(ask(old, "old"), "old", life.rpd);
    }
    close(old);
    end_life(&life);
}

/* Clients in the queue of the removed socket had found the service: they are served. */
Test(life, queue_of_a_removed_socket_is_served)
{
    struct life life = echo_life();
    int clients[10];
    char line[16];

    assert_line(life.rpd, ": ready ");
    process_signal(life.rpd, SIGSTOP);
    for (size_t i = 0; i < 10; i++) {
        clients[i] = connect_to(life.endpoint);
        cr_assert_geq(clients[i], 0);
        send_all(clients[i], "hi\n", 3);
    }
    unlink(life.path);
    close(listen_at(life.path, SOCK_STREAM, 8)); /* a stale socket in its place */
    process_signal(life.rpd, SIGCONT);
    for (size_t i = 0; i < 10; i++) {
        cr_assert_eq(read_line(clients[i], line, sizeof line), 3, "client %zu: %s", i,
                     process_stderr(life.rpd));
        close(clients[i]);
    }
    assert_line(life.rpd, "recreated");
    assert_text(ask_once(life.endpoint, "new"), "new", life.rpd);
    end_life(&life);
}

Test(life, renamed_away_socket_is_made_again)
{
    struct life life = echo_life();
    const char *away = textf("%s/away", life.dir);

    cr_assert_eq(rename(life.path, away), 0);
    assert_line(life.rpd, "recreated");
    assert_text(ask_once(life.endpoint, "new"), "new", life.rpd);
    unlink(away);
    end_life(&life);
}

Test(life, socket_replaced_by_a_living_stranger)
{
    struct life life = echo_life();
    const char *theirs = textf("%s/theirs", life.dir);
    const int stranger = listen_at(theirs, SOCK_STREAM, 8);

    cr_assert_geq(stranger, 0);
    cr_assert_eq(rename(theirs, life.path), 0);
    assert_ends(life.rpd, 75);
    cr_assert_eq(access(life.path, F_OK), 0, "the stranger's socket was removed");
    const int fd = connect_to(life.endpoint);
    cr_assert_geq(fd, 0, "the stranger's socket does not work any more");
    cr_assert_str_eq(listing(life.dir),
                     textf("%s/c.json\n%s/run/\n%s\n", life.dir, life.dir, life.path));
    close(fd);
    close(stranger);
}

Test(life, deleted_record_and_sockets_of_others_do_no_harm)
{
    struct life life = echo_life();

    unlink(textf("%s/run/echo.json", life.dir));
    write_text(textf("%s/some.file", life.dir), "x");
    unlink(textf("%s/some.file", life.dir));
    assert_text(ask_once(life.endpoint, "mine"), "mine", life.rpd);
    end_life(&life);
}

/* The path now belongs to another process: a stop must not touch it. */
Test(life, stop_leaves_a_strangers_socket)
{
    struct life life = echo_life();
    const char *theirs = textf("%s/theirs", life.dir);
    const int stranger = listen_at(theirs, SOCK_STREAM, 8);

    process_signal(life.rpd, SIGSTOP);
    cr_assert_eq(rename(theirs, life.path), 0);
    process_signal(life.rpd, SIGTERM);
    process_signal(life.rpd, SIGCONT);
    cr_assert_neq(process_wait_exit(life.rpd), -1);
    cr_assert_eq(access(life.path, F_OK), 0, "the stranger's socket was removed");
    close(stranger);
}

/* A daemon that has seen this before, and continues, must not touch it either: it cannot make its
 * own socket again. */
Test(life, stop_leaves_a_strangers_socket_that_was_seen)
{
    const char *dir = temp_dir_make(), *path = textf("%s/x.sock", dir);
    const char *theirs = textf("%s/theirs", dir);
    const int stranger = listen_at(theirs, SOCK_STREAM, 8);
    struct process *rpd = RPD_START(textf("%s/run", dir), test_plugin("own_bind"), "-l",
                                    textf("unix:%s", path));

    assert_line(rpd, "ready (");
    cr_assert_eq(rename(theirs, path), 0);
    assert_line(rpd, "only its backend could make it again");
    assert_stops(rpd);
    cr_assert_eq(access(path, F_OK), 0, "the stranger's socket was removed");
    close(stranger);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- withdraw ---- */

static void check_queue_at_stop(const char *listen)
{
    const char *dir = temp_dir_make();
    struct process *rpd = RPD_START(dir, "echo.so", "-l", listen);
    int clients[50];
    char line[16];

    assert_bound(rpd);
    assert_line(rpd, ": ready ");
    const char *endpoint = process_endpoint(rpd, "");
    process_signal(rpd, SIGSTOP);
    for (size_t i = 0; i < 50; i++) {
        clients[i] = connect_to(endpoint);
        cr_assert_geq(clients[i], 0, "%s: %s", endpoint, strerror(errno));
        send_all(clients[i], "hi\n", 3);
    }
    process_signal(rpd, SIGTERM);
    process_signal(rpd, SIGCONT);
    for (size_t i = 0; i < 50; i++) {
        const ssize_t got = read_line(clients[i], line, sizeof line);
        cr_assert_eq(got, 3, "client %zu: %zd %s\n%s", i, got, strerror(errno),
                     process_stderr(rpd));
        assert_eof(clients[i]);
        close(clients[i]);
    }
    assert_ends(rpd, 0);
    assert_empty(dir);
}

Test(life, queue_at_stop_is_served_on_a_path)
{
    check_queue_at_stop("unix:x.sock");
}

Test(life, queue_at_stop_is_served_on_an_abstract_name)
{
    check_queue_at_stop(textf("unix:@rpd-stop-%d", getpid()));
}

Test(life, queue_at_stop_is_served_on_tcp)
{
    check_queue_at_stop("tcp:127.0.0.1:0");
}
