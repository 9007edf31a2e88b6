/* The properties of the contract, observed from outside. That bind has no state is a matter of
 * types: see test_types.c.
 *
 *   - bind alone yields an endpoint that connects: without the plugin's code and without serve;
 *   - bind comes before the record, the record before serve;
 *   - a bind that fails never reaches serve, and leaves no socket, no record,
 *     no private name, no process. */
#include "../integration/common.h"

#include <netinet/in.h>
#include <sys/inotify.h>

static const char *run_in(const char *dir)
{
    return textf("%s/run", dir);
}

/* Connects as soon as the path appears: no client may find a socket that refuses. The directory is
 * watched from before the start. */
static int connect_when_it_appears(const char *dir, const char *name)
{
    const int watch = inotify_init1(IN_CLOEXEC);
    _Alignas(struct inotify_event) char events[4096];
    int fd = -1;

    cr_assert_geq(inotify_add_watch(watch, dir, IN_CREATE | IN_MOVED_TO), 0);
    while ((fd = connect_to(textf("unix:%s/%s", dir, name))) < 0) {
        struct pollfd readable = {.fd = watch, .events = POLLIN};
        cr_assert_eq(errno, ENOENT, "a client met a socket that refuses: %s", strerror(errno));
        cr_assert_eq(poll(&readable, 1, 20000), 1, "no socket appeared");
        cr_assert_gt(read(watch, events, sizeof events), 0);
    }
    close(watch);
    return fd;
}

static void open_gate(const char *gate)
{
    const int fd = open(gate, O_WRONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    close(fd);
}

/* ---- bind alone yields an endpoint that connects ---- */

/* The plugin's code waits in its constructor: no line of the backend's serve has run, nor could
 * one. */
Test(conformance, connects_before_any_code_has_run)
{
    const char *dir = temp_dir_make(), *gate = textf("%s/gate", dir);
    char line[64];

    mkfifo(gate, 0600);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", test_plugin("misbehave"), "-l", textf("unix:%s/x.sock", dir)),
        .runtime_dir = run_in(dir),
        .env = ARGS("TEST_CONSTRUCTOR=gate", textf("TEST_GATE=%s", gate))});
    const int fd = connect_when_it_appears(dir, "x.sock");
    assert_line(rpd, "waits at the gate");
    const int second = connect_to(textf("unix:%s/x.sock", dir));
    cr_assert_geq(second, 0);
    cr_assert_eq(send_all(fd, "early\n", 6), 0);
    cr_assert_eq(lines_with(process_stderr(rpd), ": bound "), 0, "%s", process_stderr(rpd));
    open_gate(gate);
    cr_assert_eq(read_line(fd, line, sizeof line), 6, "%s", process_stderr(rpd));
    cr_assert_str_eq(line, "early\n");
    close(fd);
    close(second);
    assert_stops(rpd);
}

Test(conformance, a_slow_constructor_delays_nobody)
{
    const char *dir = temp_dir_make();
    char line[64];
    const int64_t before = now_ns();
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", test_plugin("slow_constructor"), "-l", textf("unix:%s/x.sock", dir)),
        .runtime_dir = run_in(dir)});
    const int fd = connect_when_it_appears(dir, "x.sock");
    const int64_t connected = now_ns() - before;

    cr_assert_eq(send_all(fd, "Ada\n", 4), 0);
    cr_assert_eq(read_line(fd, line, sizeof line), 11, "%s", process_stderr(rpd));
    cr_assert_str_eq(line, "hello, Ada\n");
    cr_assert_geq(now_ns() - before, 400000000, "the constructor took no 400 ms");
    if (!is_sanitized())
        cr_assert_lt(connected, 300000000, "%ld ms to connect", (long)(connected / 1000000));
    close(fd);
    assert_stops(rpd);
}

/* TCP and abstract names have no path to watch, so the client tries until it connects. */
Test(conformance, connects_on_an_abstract_name_before_any_code)
{
    const char *dir = temp_dir_make(), *gate = textf("%s/gate", dir);
    const char *endpoint = textf("unix:@rpd-conform-%d", getpid());

    mkfifo(gate, 0600);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", test_plugin("misbehave"), "-l", endpoint),
        .runtime_dir = run_in(dir),
        .env = ARGS("TEST_CONSTRUCTOR=gate", textf("TEST_GATE=%s", gate))});
    assert_line(rpd, "waits at the gate");
    const int fd = connect_to(endpoint);
    cr_assert_geq(fd, 0, "%s", strerror(errno));
    open_gate(gate);
    assert_text(ask(fd, "x"), "x", rpd);
    assert_stops(rpd);
}

/* All endpoints are up while the first plugin's code still waits. */
Test(conformance, all_endpoints_before_any_code)
{
    const char *dir = temp_dir_make(), *gate = textf("%s/gate", dir);
    const char *config = textf("%s/c.json", dir);

    mkfifo(gate, 0600);
    write_text(config,
               textf("{\"services\":["
                     "{\"name\":\"a\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/a.sock\"]},"
                     "{\"name\":\"b\",\"plugin\":\"echo.so\",\"listen\":[\"unix:%s/b.sock\","
                     "\"unix:%s/c.sock\"]}]}",
                     test_plugin("misbehave"), dir, dir, dir));
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", config),
        .runtime_dir = run_in(dir),
        .env = ARGS("TEST_CONSTRUCTOR=gate", textf("TEST_GATE=%s", gate))});
    assert_line(rpd, "waits at the gate");
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++)
        cr_assert_geq(connect_to(textf("unix:%s/%s.sock", dir, names[i])), 0, "%s", names[i]);
    open_gate(gate);
    assert_line(rpd, ": ready ");
    process_signal(rpd, SIGKILL);
}

/* A backend that never serves a client: its endpoint still connects. */
Test(conformance, connects_though_serve_waits)
{
    const char *dir = temp_dir_make(), *gate = textf("%s/gate", dir);

    mkfifo(gate, 0600);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", test_plugin("misbehave"), "-l",
                                               textf("unix:%s/x.sock", dir), "-o", "serve=gate"),
                                  .runtime_dir = run_in(dir),
                                  .notify = true,
                                  .env = ARGS(textf("TEST_GATE=%s", gate))});
    assert_line(rpd, "waits at the gate");
    assert_bound(rpd);
    const int fd = connect_to(textf("unix:%s/x.sock", dir));
    cr_assert_geq(fd, 0);
    open_gate(gate);
    assert_text(ask(fd, "x"), "x", rpd);
    assert_stops(rpd);
}

/* With a bind of its own the endpoint connects before READY, while load waits. */
Test(conformance, own_bind_connects_before_serve)
{
    const char *dir = temp_dir_make();
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", test_plugin("own_bind"), "-l", textf("unix:%s/x.sock", dir)),
        .runtime_dir = run_in(dir)});
    const int fd = connect_when_it_appears(dir, "x.sock");

    assert_text(ask(fd, "x"), "x", rpd);
    assert_stops(rpd);
}

/* Many clients start together with the daemon: none is ever refused. */
Test(conformance, never_refused)
{
    for (int round = 0; round < 20; round++) {
        const char *dir = temp_dir_make();
        struct process *rpd = process_start(&(struct process_options){
            .argv = ARGS("rpd", round % 2 ? "echo.so" : test_plugin("own_bind"), "-l",
                         textf("unix:%s/x.sock", dir)),
            .runtime_dir = run_in(dir)});
        const int fd = connect_when_it_appears(dir, "x.sock");
        assert_text(ask(fd, "x"), "x", rpd);
        close(fd);
        assert_stops(rpd);
    }
}

/* ---- bind before record, record before serve ---- */

/* Not sealed, because a bind that reports looks at files. */
static struct process *start_reporting(const char *dir, const char *plugin, const char *options)
{
    const char *config = textf("%s/c.json", dir);

    write_text(config, textf("{\"services\":[{\"plugin\":\"%s\",\"listen\":[\"unix:%s/x.sock\"],"
                             "\"seal\":\"off\",\"options\":{%s}}]}",
                             test_plugin(plugin), dir, options));
    return process_start(
        &(struct process_options){.argv = ARGS("rpd", "-c", config),
                                  .runtime_dir = run_in(dir),
                                  .notify = true,
                                  .env = ARGS("TEST_CONSTRUCTOR=report", "TEST_BIND=report",
                                              textf("TEST_RECORD=%s/run/%s.json", dir, plugin),
                                              textf("TEST_SOCKET=%s/x.sock", dir))});
}

Test(conformance, order_of_an_owned_bind)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_reporting(dir, "misbehave",
                                          "\"serve\":\"report\",\"load\":\"report\"");

    assert_line(rpd, ": ready ");
    assert_stops(rpd);
    const char *text = process_stderr(rpd);
    cr_expect_eq(lines_with(text, "test: constructor: socket yes, record no"), 1, "%s", text);
    cr_expect_eq(lines_with(text, "test: serve: socket yes, record yes"), 1, "%s", text);
    cr_expect_eq(lines_with(text, "test: load: socket yes, record yes"), 1, "%s", text);
    const char *constructor = strstr(text, "test: constructor"), *bound = strstr(text, ": bound ");
    const char *serve = strstr(text, "test: serve"), *load = strstr(text, "test: load");
    cr_expect(constructor && bound && serve && load && constructor < bound && bound < serve &&
                  serve < load,
              "%s", text);
}

Test(conformance, order_of_an_own_bind)
{
    const char *dir = temp_dir_make();
    struct process *rpd = start_reporting(dir, "own_bind", "");

    assert_line(rpd, ": ready ");
    assert_stops(rpd);
    const char *text = process_stderr(rpd);
    cr_expect_eq(lines_with(text, "test: constructor: socket no, record no"), 1, "%s", text);
    cr_expect_eq(lines_with(text, "test: bind: socket no, record no"), 1, "%s", text);
    cr_expect_eq(lines_with(text, "test: serve: socket yes, record yes"), 1, "%s", text);
}

/* The events in the directories, in the order in which the kernel reports them. */
Test(conformance, order_of_the_files)
{
    static const char *const plugins[] = {"misbehave", "own_bind"};

    for (size_t p = 0; p < 2; p++) {
        const char *dir = temp_dir_make(), *names = "|";
        const int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        _Alignas(struct inotify_event) char events[65536];

        cr_assert_geq(inotify_add_watch(watch, dir, IN_CREATE | IN_MOVED_TO | IN_DELETE), 0);
        struct process *rpd = RPD_START(dir, test_plugin(plugins[p]), "-l",
                                        textf("unix:%s/x.sock", dir));
        assert_line(rpd, ": ready ");
        assert_stops(rpd);
        const ssize_t size = read(watch, events, sizeof events);
        for (ssize_t at = 0; at < size;) {
            const struct inotify_event *event = (const struct inotify_event *)(events + at);
            names = textf("%s%s%s|", names, event->mask & IN_DELETE ? "-" : "+", event->name);
            at += (ssize_t)(sizeof *event + event->len);
        }
        const char *const order[] = {textf("|+%s.lock|", plugins[p]), "|+x.sock|",
                                     textf("|+%s.json|", plugins[p])};
        const char *last = names;
        for (size_t i = 0; i < 3; i++) {
            const char *found = strstr(names, order[i]);
            cr_assert(found && found >= last, "%s is not in its place in %s", order[i], names);
            last = found;
        }
        /* The lock of the path comes before its socket. */
        cr_assert_lt(strstr(names, "|+.x.sock.lock|"), strstr(names, "|+x.sock|"), "%s", names);
        /* The public name appears only once, by a rename. */
        cr_assert_null(strstr(strstr(names, "|+x.sock|") + 1, "|+x.sock|"), "%s", names);
        cr_assert_null(strstr(names, ".lock|-"), "%s", names);
        close(watch);
    }
}

/* A daemon that cannot write its record does not serve. */
Test(conformance, no_record_no_serve)
{
    const char *dir = temp_dir_make();

    mkdir(run_in(dir), 0700);
    mkdir(textf("%s/run/misbehave.json", dir), 0700);
    struct process *rpd = start_reporting(dir, "misbehave", "\"serve\":\"report\"");
    assert_ends(rpd, 73);
    cr_assert_null(strstr(process_stderr(rpd), "test: serve"), "%s", process_stderr(rpd));
    cr_assert_null(strstr(process_stderr(rpd), ": bound "), "%s", process_stderr(rpd));
    cr_assert_eq(access(textf("%s/x.sock", dir), F_OK), -1);
}

/* ---- a failing bind ---- */

/* The daemon did not reach serve, and left nothing but lock files. */
static void assert_nothing_came_of(struct process *rpd, const char *dir, int code, const char *what,
                                   const char *left)
{
    const int found = process_code(process_wait_exit(rpd));
    const char *text = process_stderr(rpd);

    cr_expect_eq(found, code, "%s: exit code %d instead of %d:\n%s", what, found, code, text);
    cr_expect_eq(lines_with(text, "rpd: "), 1, "%s: not one line:\n%s", what, text);
    cr_expect(!strstr(text, "test: serve") && !strstr(text, ": bound "), "%s: %s", what, text);
    cr_expect_eq(kill(process_pid(rpd), 0), -1, "%s: the process is there", what);
    cr_expect_str_eq(listing(dir), left, "%s left:\n%s", what, listing(dir));
}

Test(conformance, failing_own_bind)
{
    static const struct {
        const char *bind;
        int code;
    } cases[] = {{"invalid", 78},       {"in_use", 75},    {"io", 71},
                 {"io_in_use", 75},     {"other", 71},     {"udp", 76},
                 {"not_listening", 76}, {"elsewhere", 76}, {"no_descriptor", 76},
                 {"garbage", 76}};
    static const char *const endpoints[] = {"unix:%s/x.sock", "tcp:127.0.0.1:0"};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t e = 0; e < 2; e++) {
            if (e == 1 && strcmp(cases[i].bind, "elsewhere") == 0)
                continue; /* any port is accepted */
            const char *dir = temp_dir_make();
            struct process *rpd = process_start(&(struct process_options){
                .argv = ARGS("rpd", test_plugin("own_bind"), "-l",
                             e == 0 ? textf("unix:%s/x.sock", dir) : endpoints[e]),
                .runtime_dir = run_in(dir),
                .env = ARGS(textf("TEST_BIND=%s", cases[i].bind))});
            assert_nothing_came_of(rpd, dir, cases[i].code,
                                   textf("%s on %s", cases[i].bind, endpoints[e]),
                                   textf("%s/run/\n", dir));
        }
    }
}

/* The first endpoint is bound, the second is not: neither stays. */
Test(conformance, failing_second_endpoint_of_an_own_bind)
{
    const char *dir = temp_dir_make();
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", test_plugin("own_bind"), "-l", textf("unix:%s/a.sock", dir), "-l",
                     textf("unix:%s/b.sock", dir)),
        .runtime_dir = run_in(dir),
        .env = ARGS("TEST_BIND=other", "TEST_BIND_ONLY=b.sock")});

    assert_nothing_came_of(rpd, dir, 71, "b.sock", textf("%s/run/\n", dir));
}

static int listen_tcp(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(fd, 8), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

Test(conformance, failing_owned_bind)
{
    const char *dir = temp_dir_make();
    int port;
    const int taken = listen_tcp(&port);
    const struct {
        const char *what, *endpoint;
        int code;
    } cases[] = {
        {"EADDRINUSE", textf("tcp:127.0.0.1:%d", port), 75},
        {"EADDRNOTAVAIL", "tcp:192.0.2.1:0", 71},
        {"a missing directory", textf("unix:%s/none/x.sock", dir), 71},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* The good endpoint comes first, and is removed with the bad one. */
        struct process *rpd = process_start(&(struct process_options){
            .argv = ARGS("rpd", test_plugin("misbehave"), "-l", textf("unix:%s/x.sock", dir), "-l",
                         cases[i].endpoint, "-o", "serve=report"),
            .runtime_dir = run_in(dir),
            .env = ARGS("TEST_CONSTRUCTOR=report")});
        assert_nothing_came_of(rpd, dir, cases[i].code, cases[i].what, textf("%s/run/\n", dir));
        cr_expect(!strstr(process_stderr(rpd), "test: constructor"), "%s: code was loaded: %s",
                  cases[i].what, process_stderr(rpd));
    }
    close(taken);
}

/* EACCES needs a user other than root. */
Test(conformance, failing_bind_for_lack_of_rights)
{
    if (geteuid() != 0 || is_sanitized() || !others_reach_the_build())
        cr_skip("needs root, and another user that can reach the build tree");
    const char *dir = temp_dir_make(), *run = run_in(dir), *open_dir = textf("%s/ro", dir);

    chmod(dir, 0755);
    mkdir(run, 0700);
    mkdir(open_dir, 0755);
    cr_assert_eq(chown(run, 65534, 65534), 0);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                     build_path("rpd"), test_plugin("misbehave"), "-l",
                     textf("unix:%s/x.sock", open_dir)),
        .runtime_dir = run});
    assert_nothing_came_of(rpd, dir, 73, "a directory that is not writable",
                           textf("%s/\n%s/\n", open_dir, run));
    rpd = process_start(&(struct process_options){
        .argv = ARGS("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                     build_path("rpd"), test_plugin("own_bind"), "-l", "tcp:127.0.0.1:0"),
        .runtime_dir = run,
        .notify = false});
    assert_line(rpd, ": bound ");
    assert_stops(rpd);
}

/* Two services, the second of which fails: all traces of the first are removed too, and a client
 * that was connected to it sees the end. */
Test(conformance, failing_second_service)
{
    static const struct {
        const char *bind;
        int code;
    } cases[] = {{"invalid", 78}, {"in_use", 75}, {"io", 71}, {"other", 71}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
        write_text(config, textf("{\"services\":["
                                 "{\"name\":\"a\",\"plugin\":\"%s\",\"listen\":"
                                 "[\"unix:%s/a.sock\"],\"options\":{\"serve\":\"report\"}},"
                                 "{\"name\":\"b\",\"plugin\":\"%s\",\"listen\":"
                                 "[\"unix:%s/b.sock\"]}]}",
                                 test_plugin("misbehave"), dir, test_plugin("own_bind"), dir));
        struct process *rpd = process_start(
            &(struct process_options){.argv = ARGS("rpd", "-c", config),
                                      .runtime_dir = run_in(dir),
                                      .env = ARGS(textf("TEST_BIND=%s", cases[i].bind))});
        assert_nothing_came_of(rpd, dir, cases[i].code, cases[i].bind,
                               textf("%s\n%s/run/\n", config, dir));
    }
}

Test(conformance, client_of_a_failed_start_sees_the_end)
{
    const char *dir = temp_dir_make(), *gate = textf("%s/gate", dir);
    const char *config = textf("%s/c.json", dir);

    mkfifo(gate, 0600);
    write_text(config, textf("{\"services\":["
                             "{\"name\":\"a\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/a.sock\"]},"
                             "{\"name\":\"b\",\"plugin\":\"%s\",\"listen\":[\"unix:%s/b.sock\"]}]}",
                             test_plugin("misbehave"), dir, test_plugin("own_bind"), dir));
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", config),
        .runtime_dir = run_in(dir),
        .env = ARGS("TEST_CONSTRUCTOR=gate", "TEST_BIND=other", textf("TEST_GATE=%s", gate))});
    assert_line(rpd, "waits at the gate");
    const int fd = connect_to(textf("unix:%s/a.sock", dir));
    cr_assert_geq(fd, 0);
    open_gate(gate);
    assert_ends(rpd, 71);
    /* The client sent nothing, so it sees an end and not a reset. */
    char byte;
    const ssize_t got = read_exactly(fd, &byte, 1);
    cr_assert(got == 0 || errno == ECONNRESET, "%zd: %s", got, strerror(errno));
    cr_assert_str_eq(listing(dir), textf("%s\n%s\n%s/run/\n", config, gate, dir), "%s",
                     listing(dir));
}
