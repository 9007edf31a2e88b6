/* rpd under a service manager: a fake one with its socket, its watchdog, its journal and its
 * listeners, which may be slow to read. tests/systemd tests the real one. */
#include "common.h"
#include "observe/state_view.h"

#include <sys/time.h>
#include <time.h>

static bool is_long(void)
{
    return getenv("RPD_TEST_LONG") != NULL;
}

/* ---- the manager's socket ---- */

struct manager {
    const char *path;
    int fd;
};

static struct manager manager_in(const char *dir)
{
    struct manager manager = {.path = textf("%s/notify", dir)};
    const char *seconds = getenv("RPD_TEST_DEADLINE_S");
    const struct timeval patience = {.tv_sec = seconds ? strtol(seconds, NULL, 10) : 60};

    manager.fd = listen_at(manager.path, SOCK_DGRAM, -1);
    cr_assert_geq(manager.fd, 0, "%s: %s", manager.path, strerror(errno));
    setsockopt(manager.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return manager;
}

/* One message; NULL: there is none (now). */
static const char *hear(const struct manager *manager, int flags)
{
    char message[2048];
    const ssize_t got = recv(manager->fd, message, sizeof message - 1, flags);

    return got < 0 ? NULL : textf("%.*s", (int)got, message);
}

/* All messages that have come so far, each followed by "|". */
static const char *hear_all(const struct manager *manager)
{
    const char *all = "";

    for (const char *message; (message = hear(manager, MSG_DONTWAIT));)
        all = textf("%s%s|", all, message);
    return all;
}

/* All messages up to and including one with this text. */
static const char *hear_until(const struct manager *manager, const char *text)
{
    const char *all = "";

    for (const char *message; (message = hear(manager, 0));) {
        all = textf("%s%s|", all, message);
        if (strstr(message, text))
            return all;
    }
    cr_assert_fail("no %s after \"%s\"", text, all);
    return all;
}

/* Fills its queue with messages from others. Returns how many. */
static int fill_up(const struct manager *manager)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int count = 0;

    memcpy(address.sun_path, manager->path, strlen(manager->path) + 1);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    while (send(fd, "STATUS=noise", 12, 0) > 0)
        count++;
    cr_assert_eq(errno, EAGAIN, "%s", strerror(errno));
    close(fd);
    cr_assert_gt(count, 0);
    return count;
}

static struct process *start_managed(const char *dir, const struct manager *manager,
                                     const char *more, const char *const *argv)
{
    return process_start(&(struct process_options){
        .argv = argv,
        .runtime_dir = textf("%s/run", dir),
        .notify = true,
        .env = ARGS(textf("NOTIFY_SOCKET=%s", manager->path),
                    textf("RUNTIME_DIRECTORY=%s/run", dir),
                    textf("STATE_DIRECTORY=%s/state:/nonsense", dir), more)});
}

/* On the loop, where a sanitizer also notices it at once. */
static void crash(struct process *rpd, const char *endpoint)
{
    const int fd = client(endpoint);

    tell(fd, "now segv");
    cr_assert_neq(process_wait_exit(rpd), -1);
    close(fd);
}

static void pass_ms(int milliseconds)
{
    poll(NULL, 0, milliseconds);
}

/* The manager does not read: READY waits for it, in both cases. Then STOPPING. */
static void check_slow_manager(const char *moment)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const struct manager manager = manager_in(dir);
    struct process *rpd;

    write_text(config,
               textf("{\"notify\":\"%s\",\"services\":[{\"plugin\":\"echo.so\"}]}", moment));
    fill_up(&manager);
    rpd = start_managed(dir, &manager, "X=", ARGS("rpd", "-c", config));
    assert_bound(rpd);
    assert_line(rpd, ": ready ");
    pass_ms(is_long() ? 10000 : 1000);
    const char *heard = hear_until(&manager, "READY=1");
    if (!strstr(heard, "STATUS=ready"))
        hear_until(&manager, "STATUS=ready");
    fill_up(&manager);
    process_signal(rpd, SIGTERM);
    assert_line(rpd, "echo: stopped");
    pass_ms(is_long() ? 5000 : 500);
    hear_until(&manager, "STOPPING=1");
    assert_ends(rpd, 0);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

Test(manager, that_does_not_read_for_a_while_hears_of_bound_and_of_the_stop)
{
    check_slow_manager("bound");
}

Test(manager, that_does_not_read_for_a_while_hears_of_ready_and_of_the_stop)
{
    check_slow_manager("ready");
}

/* A manager that no longer reads delays a stop by at most drain_s. */
Test(manager, that_never_reads_again_does_not_keep_the_stop)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const struct manager manager = manager_in(dir);
    struct process *rpd;

    write_text(config, "{\"drain_s\":1,\"services\":[{\"plugin\":\"echo.so\"}]}");
    rpd = start_managed(dir, &manager, "X=", ARGS("rpd", "-c", config));
    assert_bound(rpd);
    fill_up(&manager);
    assert_stops(rpd);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

/* The manager was restarted: a new socket has the same name. */
Test(manager, that_was_started_anew_is_told)
{
    const char *dir = temp_dir_make();
    struct manager manager = manager_in(dir);
    struct process *rpd = start_managed(dir, &manager, "X=", ARGS("rpd", "echo.so"));

    hear_until(&manager, "STATUS=ready");
    close(manager.fd);
    cr_assert_eq(unlink(manager.path), 0);
    manager = manager_in(dir);
    process_signal(rpd, SIGTERM);
    hear_until(&manager, "STOPPING=1");
    assert_ends(rpd, 0);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

/* ---- its watchdog ---- */

/* The messages of a daemon that loads for 1.2 s, is ready, and stops. */
static const char *heard_of_a_life(const char *more)
{
    const char *dir = temp_dir_make();
    const struct manager manager = manager_in(dir);
    struct process *rpd = start_managed(
        dir, &manager, more, ARGS("rpd", build_path("samples/slow_start.so"), "-o", "load_s=1.2"));
    const char *all = hear_until(&manager, "STATUS=ready");

    process_signal(rpd, SIGTERM);
    assert_ends(rpd, 0);
    all = textf("%s%s", all, hear_all(&manager));
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
    return all;
}

static int pings_in(const char *heard)
{
    int count = 0;

    for (; (heard = strstr(heard, "WATCHDOG=1")); heard++)
        count++;
    return count;
}

Test(manager, with_a_watchdog_is_told_that_the_loop_turns)
{
    const char *heard = heard_of_a_life("WATCHDOG_USEC=1000000");

    cr_assert_geq(pings_in(heard), 2, "%s", heard);
}

/* The loop wakes up for the watchdog, and for nothing else. */
Test(manager, with_a_watchdog_is_told_in_time_by_a_loop_that_rests)
{
    enum { PERIOD_S = 6, PINGS = 4 };
    const char *dir = temp_dir_make();
    const struct manager manager = manager_in(dir);
    struct process *rpd = start_managed(dir, &manager, "WATCHDOG_USEC=6000000",
                                        ARGS("rpd", build_path("plugins/echo.so"), "-n", "x"));
    bool rested = false;
    int64_t last = 0;

    assert_bound(rpd);
    const int dirfd = open(textf("%s/run", dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < PINGS; i++) {
        struct rpd_state_page page;

        hear_until(&manager, "WATCHDOG=1");
        cr_expect(i == 0 || now_ns() - last < PERIOD_S * INT64_C(1000000000));
        last = now_ns();
        poll(NULL, 0, 100); /* it rests soon after, once it has no other work */
        rested |= state_view_read(dirfd, "x", &page) == 0 && page.turned_us == RPD_STATE_RESTS;
    }
    cr_expect(rested);
    close(dirfd);
    assert_stops(rpd);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

Test(manager, without_a_watchdog_is_told_nothing)
{
    const char *heard = heard_of_a_life("WATCHDOG_USEC");

    cr_assert_eq(pings_in(heard), 0, "%s", heard);
}

Test(manager, with_a_watchdog_for_another_process_is_told_nothing)
{
    const char *heard;

    setenv("WATCHDOG_PID", "1", 1);
    heard = heard_of_a_life("WATCHDOG_USEC=1000000");
    cr_assert_eq(pings_in(heard), 0, "%s", heard);
    unsetenv("WATCHDOG_PID");
    heard = heard_of_a_life("WATCHDOG_USEC=-1");
    cr_assert_eq(pings_in(heard), 0, "%s", heard);
}

/* A callback blocks: the pings end, because they come from the loop. */
Test(manager, with_a_watchdog_hears_nothing_of_a_loop_that_stands_still)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *endpoint = textf("unix:%s/x.sock", dir);
    const struct manager manager = manager_in(dir);
    struct process *rpd;

    write_text(config, textf("{\"stall_s\":4,\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\"],"
                             "\"options\":{\"where\":\"on_data\"}}]}",
                             test_plugin("stalls"), endpoint));
    rpd = start_managed(dir, &manager, "WATCHDOG_USEC=1000000", ARGS("rpd", "-c", config));
    hear_until(&manager, "WATCHDOG=1");
    const int fd = client(endpoint);
    tell(fd, "stall");
    assert_line(rpd, "test: stalls in on_data");
    hear_all(&manager);
    assert_ends(rpd, 70);
    const char *heard = hear_all(&manager);
    cr_assert_eq(pings_in(heard), 0, "%s", heard);
    close(fd);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

Test(manager, with_a_watchdog_that_is_too_short_is_warned_of)
{
    const char *dir = temp_dir_make();
    const struct manager manager = manager_in(dir);
    struct process *rpd = start_managed(dir, &manager, "WATCHDOG_USEC=100000",
                                        ARGS("rpd", "echo.so"));

    assert_line(rpd, "rpd: warning: announce: WATCHDOG_USEC: a watchdog of 100000 us");
    assert_stops(rpd);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

/* ---- acts that a backend cannot do ---- */

Test(manager, hears_what_a_backend_cannot_do)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *endpoint = textf("unix:%s/kv.sock", dir);
    const struct manager manager = manager_in(dir);
    struct process *rpd;

    write_text(config, textf("{\"services\":[{\"plugin\":\"kv.so\",\"listen\":[\"%s\"],"
                             "\"options\":{\"snapshot\":\"%s/snap\"}}]}",
                             endpoint, dir));
    cr_assert_eq(mkdir(textf("%s/snap.tmp", dir), 0700), 0);
    rpd = start_managed(dir, &manager, "X=", ARGS("rpd", "-c", config));
    hear_until(&manager, "STATUS=ready");
    const int fd = client(endpoint);
    cr_assert_not_null(strstr(ask(fd, "SAVE"), "-ERR not saved: "));
    hear_until(&manager, "STATUS=ready, degraded: kv: cannot save: ");
    struct process *status = process_start(&(struct process_options){
        .argv = ARGS("rpdctl", "status", "kv"), .runtime_dir = textf("%s/run", dir)});
    cr_assert_eq(process_code(process_wait_exit(status)), 0);
    cr_assert_not_null(strstr(process_stdout(status), ", degraded"), "%s", process_stdout(status));
    cr_assert_not_null(strstr(process_stdout(status), "cannot save: "), "%s",
                       process_stdout(status));
    cr_assert_eq(rmdir(textf("%s/snap.tmp", dir)), 0);
    cr_assert_str_eq(ask(fd, "SAVE"), "+OK\r");
    hear_until(&manager, "STATUS=ready");
    close(fd);
    assert_stops(rpd);
    process_free(status);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

/* ---- its journal ---------------------------------------------------------------------------- */

/* An rpd whose stderr is the stream that JOURNAL_STREAM names: a pipe works as well as systemd's
 * socket. */
static struct process *start_in_journal(const char *dir, const char *stream, const char *config)
{
    const char *script = textf("JOURNAL_STREAM=%s; export JOURNAL_STREAM; exec \"$@\"", stream);

    return process_start(&(struct process_options){
        .argv = ARGS("sh", "-c", script, "sh", build_path("rpd"), "-c", config),
        .runtime_dir = textf("%s/run", dir),
        .notify = true});
}

#define THIS_STREAM "$(stat -Lc %d:%i /proc/self/fd/2)"

static const char *debug_config(const char *dir, const char *format, const char *plugin)
{
    const char *config = textf("%s/c.json", dir);

    write_text(config, textf("{\"log\":{\"level\":\"debug\",\"format\":\"%s\"},"
                             "\"services\":[{\"plugin\":\"%s\"}]}",
                             format, plugin));
    return config;
}

/* All lines begin this way, or none does. */
static void assert_heads(const char *text, bool wanted)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        const bool has_head = line[0] == '<' && strchr("3467", line[1]) && line[2] == '>';
        cr_assert_eq(has_head, wanted, "%s", text);
        if (!line[strcspn(line, "\n")])
            break;
    }
}

Test(manager, with_a_journal_gets_priorities)
{
    const char *dir = temp_dir_make();
    const char *config = debug_config(dir, "text", test_plugin("faulty"));
    struct process *rpd = start_in_journal(dir, THIS_STREAM, config);

    assert_bound(rpd);
    assert_line(rpd, "<6>rpd: faulty: ready ");
    write_text(config, "{");
    process_signal(rpd, SIGHUP);
    assert_line(rpd, "<3>rpd: config: ");
    assert_line(rpd, "<4>rpd: warning: reload: failed");
    assert_line(rpd, "<7>rpd: faulty: debug: ");
    crash(rpd, textf("unix:%s/run/faulty.sock", dir));
    assert_line(rpd, "<3>rpd: crash: ");
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(manager, with_a_journal_gets_priorities_of_json_too)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_in_journal(dir, THIS_STREAM, debug_config(dir, "json", "echo.so"));

    assert_line(rpd, "<6>{\"time\":");
    assert_stops(rpd);
    assert_heads(process_stderr(rpd), true);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* Errors before the configuration is read, and those of signal handlers, have a priority too. */
Test(manager, with_a_journal_gets_the_priority_of_failures)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_in_journal(dir, THIS_STREAM, textf("%s/missing.json", dir));

    assert_ends(rpd, 66);
    assert_heads(process_stderr(rpd), true);
    cr_assert_eq(strncmp(process_stderr(rpd), "<3>rpd: config: ", 16), 0, "%s",
                 process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

/* stderr has been redirected since. */
Test(manager, with_a_journal_elsewhere_gets_no_priorities)
{
    static const char *const streams[] = {
        "1:2", "", "x", "1:", THIS_STREAM "x", "99999999999999999999:1"};

    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        const char *dir = temp_dir_make();
        struct process *rpd = start_in_journal(dir, streams[i], textf("%s/missing.json", dir));

        assert_ends(rpd, 66);
        assert_heads(process_stderr(rpd), false);
        process_free(rpd);
        temp_dir_remove(dir);
    }
}

/* "2026-01-02T03:04:05.678+05:30 rpd: " */
static void assert_stamped(const char *line, const char *offset)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.ddd";

    for (size_t i = 0; i < sizeof form - 1; i++)
        cr_assert(form[i] == 'd' ? line[i] >= '0' && line[i] <= '9' : line[i] == form[i], "%s",
                  line);
    cr_assert_eq(strncmp(line + sizeof form - 1, textf("%s rpd: ", offset), strlen(offset) + 6), 0,
                 "%s", line);
}

/* The seconds since 1970 of a time stamp, computed by libc. */
static time_t seconds_of(const char *stamp)
{
    struct tm tm = {0};

    cr_assert_not_null(strptime(stamp, "%Y-%m-%dT%H:%M:%S", &tm), "%s", stamp);
    return timegm(&tm);
}

Test(manager, with_a_file_gets_times_with_their_offset)
{
    const char *dir = temp_dir_make(), *log = textf("%s/log", dir);
    const time_t before = time(NULL);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("sh", "-c", "exec \"$@\" 2>\"$0\"", log,
                                               build_path("rpd"), test_plugin("faulty")),
                                  .runtime_dir = textf("%s/run", dir),
                                  .env = ARGS("TZ=XST-05:30"),
                                  .notify = true});

    assert_bound(rpd);
    crash(rpd, textf("unix:%s/run/faulty.sock", dir));
    const char *text = file_read(log), *crash = strstr(text, " rpd: crash: ");
    assert_stamped(text, "+05:30");
    cr_assert_not_null(crash, "%s", text);
    assert_stamped(crash - strlen("2026-01-02T03:04:05.678+05:30"), "+05:30");
    const time_t told = seconds_of(text) - (5 * 60 + 30) * 60;
    cr_assert(told >= before && told <= time(NULL), "%lld is not within %lld and %lld",
              (long long)told, (long long)before, (long long)time(NULL));
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(manager, with_a_file_gets_the_time_of_json_once)
{
    const char *dir = temp_dir_make(), *log = textf("%s/log", dir);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("sh", "-c", "exec \"$@\" 2>\"$0\"", log, build_path("rpd"), "-c",
                     debug_config(dir, "json", "echo.so")),
        .runtime_dir = textf("%s/run", dir),
        .notify = true});

    assert_bound(rpd);
    assert_stops(rpd);
    cr_assert_eq(strncmp(file_read(log), "{\"time\":", 8), 0, "%s", file_read(log));
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- the sender of a signal ----------------------------------------------------------------- */

Test(manager, is_named_when_it_sends_a_signal)
{
    const char *dir = temp_dir_make();
    struct process *rpd = RPD_START(dir, "echo.so");
    char own[32] = "";

    const char *comm = file_read(textf("/proc/%d/comm", (int)getpid()));
    snprintf(own, sizeof own, "%.*s", (int)strcspn(comm, "\n"), comm);
    assert_bound(rpd);
    assert_line(rpd, ": ready ");
    process_signal(rpd, SIGHUP);
    assert_line(rpd, textf("reload: asked for by SIGHUP from pid %d (%s), uid %u", (int)getpid(),
                           own, (unsigned)getuid()));
    process_signal(rpd, SIGTERM);
    assert_line(rpd, textf("stopping: requested by SIGTERM from pid %d (%s), uid %u", (int)getpid(),
                           own, (unsigned)getuid()));
    assert_ends(rpd, 0);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- its listeners ---- */

struct waiting {
    const char *endpoint;
    int listener, clients[3];
};

/* Three clients wait, two of them with a request. */
static struct waiting make_waiting(const char *dir)
{
    struct waiting waiting = {.endpoint = textf("unix:%s/x.sock", dir)};

    waiting.listener = listen_at(textf("%s/x.sock", dir), SOCK_STREAM, 64);
    cr_assert_geq(waiting.listener, 0);
    for (size_t i = 0; i < 3; i++) {
        waiting.clients[i] = client(waiting.endpoint);
        if (i > 0)
            tell(waiting.clients[i], "hello");
    }
    return waiting;
}

static struct process *start_for(const struct waiting *waiting, const char *dir,
                                 const char *const *argv)
{
    return process_start(&(struct process_options){.argv = argv,
                                                   .runtime_dir = textf("%s/run", dir),
                                                   .listen_fds = &waiting->listener,
                                                   .listen_count = 1});
}

static bool has_queue(int listener)
{
    struct pollfd look = {.fd = listener, .events = POLLIN};

    return poll(&look, 1, 0) > 0;
}

static void check_turned_away(const char *dir, int code, const char *const *argv)
{
    const struct waiting waiting = make_waiting(dir);
    struct process *rpd = start_for(&waiting, dir, argv);

    assert_ends(rpd, code);
    cr_assert_not(has_queue(waiting.listener), "%d: clients are left\n%s", code,
                  process_stderr(rpd));
    for (size_t i = 0; i < 3; i++) {
        assert_eof(waiting.clients[i]);
        close(waiting.clients[i]);
    }
    /* The socket itself stays. */
    const int next = client(waiting.endpoint);
    close(next);
    close(waiting.listener);
    process_free(rpd);
    cr_assert_eq(unlink(textf("%s/x.sock", dir)), 0);
}

/* Otherwise they would make the manager repeat a hopeless start until it gives up the socket. */
Test(manager, with_clients_that_wait_has_them_closed_where_a_start_is_hopeless)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *endpoint = textf("unix:%s/x.sock", dir);

    check_turned_away(dir, 64, ARGS("rpd", "--nonsense"));
    check_turned_away(dir, 65, ARGS("rpd", test_plugin("no_note"), "-l", endpoint));
    check_turned_away(dir, 65, ARGS("rpd", test_plugin("undefined_symbol"), "-l", endpoint));
    check_turned_away(dir, 66, ARGS("rpd", "-c", textf("%s/missing.json", dir)));
    check_turned_away(dir, 66, ARGS("rpd", "missing.so", "-l", endpoint));
    write_text(config, "{\"services\":[{\"plugin\":\"echo.so\",}]}");
    check_turned_away(dir, 78, ARGS("rpd", "-c", config));
    check_turned_away(dir, 78, ARGS("rpd", "echo.so", "-l", endpoint, "-o", "typo=1"));
    check_turned_away(dir, 78, ARGS("rpd", "echo.so", "-l", textf("unix:%s/other", dir)));
    cr_assert_eq(chmod(config, 0666), 0);
    check_turned_away(dir, 77, ARGS("rpd", "-c", config));
    temp_dir_remove(dir);
}

Test(manager, with_clients_that_wait_has_them_closed_where_another_has_the_name)
{
    const char *dir = temp_dir_make();
    struct process *first = RPD_START(textf("%s/run", dir), "echo.so");

    assert_bound(first);
    check_turned_away(dir, 75, ARGS("rpd", "echo.so", "-l", textf("unix:%s/x.sock", dir)));
    assert_stops(first);
    process_free(first);
    temp_dir_remove(dir);
}

/* The manager has started the service without its socket unit, which is therefore missing. (In
 * /proc not even root can make a file.) */
Test(manager, without_a_socket_unit_is_told_of_it)
{
    const char *dir = temp_dir_make();
    const struct manager manager = manager_in(dir);
    struct process *rpd = start_managed(dir, &manager,
                                        "X=", ARGS("rpd", "echo.so", "-l", "unix:/proc/x.sock"));

    assert_ends(rpd, 73);
    cr_assert_not_null(strstr(process_stderr(rpd), "; or start its socket unit"), "%s",
                       process_stderr(rpd));
    process_free(rpd);
    rpd = RPD_START(textf("%s/run", dir), "echo.so", "-l", "unix:/proc/x.sock");
    assert_ends(rpd, 73);
    cr_assert_null(strstr(process_stderr(rpd), "socket unit"), "%s", process_stderr(rpd));
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

/* A start that may succeed the next time finds them waiting. */
Test(manager, with_clients_that_wait_keeps_them_where_a_start_has_hope)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const struct waiting waiting = make_waiting(dir);
    struct process *rpd;

    write_text(config, textf("{\"code_deadline_ms\":50,\"services\":[{\"plugin\":\"%s\","
                             "\"listen\":[\"%s\"]}]}",
                             test_plugin("slow_constructor"), waiting.endpoint));
    rpd = start_for(&waiting, dir, ARGS("rpd", "-c", config));
    assert_ends(rpd, 76);
    cr_assert(has_queue(waiting.listener), "%s", process_stderr(rpd));
    for (size_t i = 0; i < 3; i++)
        close(waiting.clients[i]);
    close(waiting.listener);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- restarts ---- */

static struct process *start_fragile(const char *dir, const struct manager *manager)
{
    return start_managed(dir, manager, "X=", ARGS("rpd", test_plugin("faulty"), "-n", "echo"));
}

static const char *fragile_endpoint(const char *dir)
{
    return textf("unix:%s/run/echo.sock", dir);
}

static void crash_once(const char *dir, const struct manager *manager)
{
    struct process *rpd = start_fragile(dir, manager);

    assert_bound(rpd);
    crash(rpd, fragile_endpoint(dir));
    hear_all(manager);
    process_free(rpd);
}

/* systemd removes the run-time directory at each stop. */
static void remove_run(const char *dir)
{
    struct process *rm = process_start(
        &(struct process_options){.argv = ARGS("rm", "-rf", textf("%s/run", dir))});

    cr_assert_eq(process_code(process_wait_exit(rm)), 0);
    process_free(rm);
}

Test(manager, that_removes_the_directory_leaves_the_history)
{
    const char *dir = temp_dir_make();
    const struct manager manager = manager_in(dir);
    struct process *rpd;

    cr_assert_eq(mkdir(textf("%s/state", dir), 0700), 0);
    crash_once(dir, &manager);
    remove_run(dir);
    rpd = start_fragile(dir, &manager);
    assert_bound(rpd);
    const char *history = file_read(textf("%s/run/echo.history", dir));
    cr_assert_eq(lines_with(history, " ended 139 crash: "), 1, "%s", history);
    cr_assert_eq(lines_with(history, " bound "), 2, "%s", history);
    cr_assert_str_eq(file_read(textf("%s/state/echo.history", dir)), history);
    /* The daemon cannot report this end: the next one does. */
    process_signal(rpd, SIGKILL);
    process_wait_exit(rpd);
    process_free(rpd);
    remove_run(dir);
    rpd = start_fragile(dir, &manager);
    assert_bound(rpd);
    history = file_read(textf("%s/run/echo.history", dir));
    cr_assert_eq(lines_with(history, " ended 137 start: pid "), 1, "%s", history);
    assert_stops(rpd);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

/* None of ten quick restarts loses a message or a client. */
Test(manager, that_starts_it_ten_times_is_told_ten_times)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    const struct manager manager = manager_in(dir);
    const int listener = listen_at(textf("%s/x.sock", dir), SOCK_STREAM, 64);

    for (int i = 0; i < 10; i++) {
        const int early = client(endpoint);
        tell(early, "hello");
        struct process *rpd = process_start(
            &(struct process_options){.argv = ARGS("rpd", "echo.so", "-l", endpoint),
                                      .runtime_dir = textf("%s/run", dir),
                                      .listen_fds = &listener,
                                      .listen_count = 1,
                                      .env = ARGS(textf("NOTIFY_SOCKET=%s", manager.path))});
        assert_text(hear_line(early), "hello", rpd);
        hear_until(&manager, "READY=1");
        hear_until(&manager, "STATUS=ready");
        process_signal(rpd, SIGTERM);
        hear_until(&manager, "STOPPING=1");
        assert_ends(rpd, 0);
        hear_all(&manager);
        close(early);
        process_free(rpd);
    }
    close(listener);
    close(manager.fd);
    temp_dir_remove(dir);
}

/* Without such a directory nothing changes. */
Test(manager, without_a_state_directory_has_no_history_of_it)
{
    const char *dir = temp_dir_make();
    const struct manager manager = manager_in(dir);

    crash_once(dir, &manager);
    cr_assert_neq(access(textf("%s/state", dir), F_OK), 0);
    const char *history = file_read(textf("%s/run/echo.history", dir));
    cr_assert_eq(lines_with(history, " ended 139 crash: "), 1, "%s", history);
    close(manager.fd);
    temp_dir_remove(dir);
}

/* The pause grows with the failures: after the sixth it is 8 s. Clients still find the endpoint,
 * and a stop does not wait. */
Test(manager, that_starts_a_crash_again_and_again_waits_longer_and_longer)
{
    const char *dir = temp_dir_make(), *endpoint = fragile_endpoint(dir);
    const struct manager manager = manager_in(dir);
    struct process *rpd;

    for (int failures = 0; failures < 2; failures++)
        crash_once(dir, &manager);
    const int64_t before = now_ns();
    crash_once(dir, &manager);
    rpd = start_fragile(dir, &manager);
    assert_line(rpd, "failed 3 times in a row: its code runs in 1 s; clients wait");
    assert_text(ask_once(endpoint, "hello"), "hello", rpd);
    cr_assert_geq(now_ns() - before, INT64_C(990000000), "it has not waited");
    crash(rpd, endpoint);
    process_free(rpd);
    rpd = start_fragile(dir, &manager);
    assert_line(rpd, "failed 4 times in a row: its code runs in 2 s");
    hear_until(&manager, "failed 4 times in a row");
    hear_until(&manager, "EXTEND_TIMEOUT_USEC=");
    process_signal(rpd, SIGTERM);
    assert_ends(rpd, 0);
    process_free(rpd);
    /* The start that was stopped is not a failure, and ends the series. */
    rpd = start_fragile(dir, &manager);
    assert_bound(rpd);
    cr_assert_eq(lines_with(process_stderr(rpd), "times in a row"), 0, "%s", process_stderr(rpd));
    assert_stops(rpd);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}

Test(manager, is_not_there_then_nothing_waits)
{
    const char *dir = temp_dir_make();

    for (int failures = 0; failures < 4; failures++) {
        struct process *rpd = RPD_START(dir, test_plugin("faulty"));

        assert_bound(rpd);
        cr_assert_eq(lines_with(process_stderr(rpd), "times in a row"), 0);
        crash(rpd, textf("unix:%s/faulty.sock", dir));
        process_free(rpd);
    }
    temp_dir_remove(dir);
}

/* A text of a plugin's becomes one line of the status, whatever it contains, and no other
 * message. */
Test(manager, takes_no_other_message_from_a_backend)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/t.sock", dir);
    const struct manager manager = manager_in(dir);
    struct process *rpd = start_managed(
        dir, &manager, "X=", ARGS("rpd", build_path("tests/plugins/talk.so"), "-l", endpoint));

    hear_until(&manager, "STATUS=ready");
    const int fd = client(endpoint);
    cr_assert_str_eq(ask(fd, "trouble"), "ok");
    const char *said = hear_until(&manager, "degraded: talk: ");
    cr_assert_not_null(strstr(said, "no room?MAINPID=1?\xc3\xbc ?.|"), "%s", said);
    close(fd);
    assert_stops(rpd);
    process_free(rpd);
    close(manager.fd);
    temp_dir_remove(dir);
}
