/* The control socket, from outside: its answers, and that no broken client, no plugin and no
 * shortage can take it away. */
#include "warm_scene.h"

#include <time.h>

#define NS_PER_S INT64_C(1000000000)

static const char pong[] = "{\"v\":1,\"id\":1,\"ok\":true,\"pid\":";

static const char *path_of(const struct warm *warm)
{
    return textf("%s/warm.control", warm->run);
}

static int control_of(const struct warm *warm)
{
    return client_of(textf("unix:%s", path_of(warm)));
}

/* One line of an answer, without its newline. */
static const char *next_line(int fd)
{
    static char text[65536];
    const ssize_t got = read_line(fd, text, sizeof text);

    if (got <= 0 || text[got - 1] != '\n')
        return got < 0 ? textf("(%s)", strerror(errno)) : "(end)";
    text[got - 1] = '\0';
    return textf("%s", text);
}

static const char *request(int fd, const char *line)
{
    const char *whole = textf("%s\n", line);

    cr_assert_eq(send_all(fd, whole, strlen(whole)), 0, "%s: %s", line, strerror(errno));
    return next_line(fd);
}

static const char *request_once(const struct warm *warm, const char *line)
{
    const int fd = control_of(warm);
    const char *reply = request(fd, line);

    close(fd);
    return reply;
}

#define PING "{\"v\":1,\"id\":1,\"do\":\"ping\"}"
#define STATUS "{\"v\":1,\"id\":2,\"do\":\"status\"}"
#define WATCH "{\"v\":1,\"id\":3,\"do\":\"watch\"}"

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        const char *text_ = (text), *part_ = (part);                                               \
        cr_assert(strstr(text_, part_), "no %s in %s", part_, text_);                              \
    } while (0)

static void assert_pong(const char *reply)
{
    cr_assert(strncmp(reply, pong, strlen(pong)) == 0, "%s", reply);
}

static struct warm plain_warm(void)
{
    return bound_warm(&(struct warm_start){0});
}

/* ---- what is answered -------------------------------------------------------------- */

Test(control, answers_while_it_warms)
{
    struct warm warm = plain_warm();
    const char *reply = request_once(&warm, PING);

    assert_has(reply, textf("\"ok\":true,\"pid\":%d,\"build\":\"", process_pid(warm.rpd)));
    assert_has(reply, page_of(&warm).build);
    const int held = client_of(warm.endpoint);
    wait_page(&warm, page.clients_held == 1);
    reply = request_once(&warm, STATUS);
    assert_has(reply, "{\"v\":1,\"id\":2,\"ok\":true,\"pid\":");
    assert_has(reply, textf("\"services\":[{\"name\":\"warm\",\"phase\":\"warming\",\"degraded\":"
                            "false,\"endpoints\":[\"%s\",\"%s\"],\"warmup\":\"hold\",\"clients\":"
                            "{\"held\":1,\"active\":0,\"accepted\":1},\"load_permille\":0,"
                            "\"parts\":[{\"name\":\"load\",\"done\":0,\"total\":0,\"unit\":\"\","
                            "\"state\":\"loading\"}]}]}",
                            warm.endpoint, warm.tcp));
    make_ready(&warm);
    assert_text(ask(held, "a"), "1 a 0", warm.rpd);
    wait_page(&warm, page.load_permille == 1000);
    reply = request_once(&warm, STATUS);
    assert_has(reply, "\"phase\":\"ready\"");
    assert_has(reply, "\"clients\":{\"held\":0,\"active\":1,\"accepted\":1}");
    assert_has(reply, "\"load_permille\":1000");
    close(held);
    end_warm(&warm);
}

/* The record has its path; only its user may connect. */
Test(control, is_where_the_record_says)
{
    struct warm warm = plain_warm();
    struct stat status;

    assert_has(file_read(textf("%s/warm.json", warm.run)),
               textf("\"control\": \"%s\"", path_of(&warm)));
    cr_assert_eq(lstat(path_of(&warm), &status), 0);
    cr_assert(S_ISSOCK(status.st_mode));
    cr_assert_eq(status.st_mode & 07777, 0600, "%o", status.st_mode);
    make_ready(&warm);
    end_warm(&warm);
}

Test(control, echoes_ids)
{
    static const char *const ids[] = {"0",    "-1.5", "\"a\\\"é\"",   "null",
                                      "true", "[]",   "{\"a\":[1,2]}"};
    struct warm warm = plain_warm();
    const int fd = control_of(&warm);

    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assert_has(request(fd, textf("{\"v\":1,\"do\":\"ping\",\"id\":%s}", ids[i])),
                   textf("{\"v\":1,\"id\":%s,\"ok\":true,", ids[i]));
    assert_has(request(fd, "{\"v\":1,\"do\":\"ping\"}"), "{\"v\":1,\"id\":null,\"ok\":true,");
    close(fd);
    make_ready(&warm);
    end_warm(&warm);
}

/* Several requests at once, from a client that has ended its input. */
Test(control, answers_in_order)
{
    struct warm warm = plain_warm();
    const int fd = control_of(&warm);
    const char *many = "";

    for (int i = 0; i < 100; i++)
        many = textf("%s{\"v\":1,\"id\":%d,\"do\":\"%s\"}\n", many, i, i % 2 ? "ping" : "status");
    cr_assert_eq(send_all(fd, many, strlen(many)), 0);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 100; i++)
        assert_has(next_line(fd), textf("{\"v\":1,\"id\":%d,\"ok\":true,", i));
    assert_eof(fd);
    close(fd);
    make_ready(&warm);
    end_warm(&warm);
}

/* ---- watching -------------------------------------------------------------------------- */

static const char *phase_line(const char *service, const char *phase)
{
    return textf("{\"v\":1,\"event\":\"phase\",\"service\":\"%s\",\"phase\":\"%s\"}", service,
                 phase);
}

/* Between two answers to one client the loop does its other work: meanwhile a service's client
 * connects and leaves. */
Test(control, many_requests_do_not_hold_up_others)
{
    enum { MANY = 100 };
    struct warm warm = plain_warm();
    const int fd = control_of(&warm);
    const char *first, *last;

    assert_pong(request(fd, PING)); /* the client is accepted */
    cr_assert_eq(process_signal(warm.rpd, SIGSTOP), 0);
    for (int i = 0; i < MANY; i++)
        tell(fd, STATUS);
    close(client_of(warm.endpoint));
    cr_assert_eq(process_signal(warm.rpd, SIGCONT), 0);
    first = next_line(fd);
    for (int i = 0; i < MANY - 2; i++)
        next_line(fd);
    last = next_line(fd);
    cr_expect_str_neq(first, last);
    assert_has(last, "\"clients\":{\"held\":0,\"active\":0,\"accepted\":1}");
    close(fd);
    end_warm(&warm);
}

Test(control, watchers_hear_every_phase_and_the_end)
{
    struct warm warm = plain_warm();
    const int fd = control_of(&warm), other = control_of(&warm);

    assert_same(request(fd, WATCH),
                "{\"v\":1,\"id\":3,\"ok\":true,\"services\":[{\"name\":\"warm\",\"phase\":"
                "\"warming\",\"degraded\":false}]}",
                &warm);
    assert_pong(request(other, PING));
    make_ready(&warm);
    assert_same(next_line(fd), phase_line("warm", "ready"), &warm);
    assert_pong(request(fd, PING));
    process_signal(warm.rpd, SIGTERM);
    assert_same(next_line(fd), phase_line("warm", "draining"), &warm);
    assert_same(next_line(fd), phase_line("warm", "stopping"), &warm);
    assert_eof(fd);
    /* This is the last thing that the daemon does: the next one can start now. */
    struct process *next = RPD_START(warm.run, "echo.so", "-n", "warm");
    assert_bound(next);
    assert_stops(next);
    /* A client that does not watch hears nothing but the end. */
    assert_eof(other);
    close(fd);
    close(other);
    end_warm_with(&warm, 0);
}

Test(control, watchers_hear_of_each_service)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", temp_dir_make());

    write_text(config, textf("{\"services\":[{\"name\":\"b\",\"plugin\":\"%s\",\"options\":{"
                             "\"load\":\"gate\"}},{\"name\":\"a\",\"plugin\":\"echo.so\"}]}",
                             test_plugin("misbehave")));
    const char *gate = textf("%s/gate", dir);
    cr_assert_eq(mkfifo(gate, 0600), 0);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", "-c", config),
                                  .runtime_dir = dir,
                                  .env = ARGS(textf("TEST_GATE=%s", gate))});
    assert_line(rpd, "a: ready ");
    assert_line(rpd, "test: waits at the gate");
    /* One socket per process, named after the first service. */
    cr_assert_neq(access(textf("%s/a.control", dir), F_OK), 0);
    assert_has(file_read(textf("%s/a.json", dir)), textf("\"control\": \"%s/b.control\"", dir));
    const int fd = client(textf("unix:%s/b.control", dir));
    assert_text(request(fd, WATCH),
                "{\"v\":1,\"id\":3,\"ok\":true,\"services\":[{\"name\":\"b\",\"phase\":\"warming\","
                "\"degraded\":false},{\"name\":\"a\",\"phase\":\"ready\",\"degraded\":false}]}",
                rpd);
    write_text(gate, "x");
    assert_text(next_line(fd), phase_line("b", "ready"), rpd);
    process_signal(rpd, SIGTERM);
    assert_text(next_line(fd), phase_line("b", "draining"), rpd);
    assert_text(next_line(fd), phase_line("a", "draining"), rpd);
    close(fd);
    assert_ends(rpd, 0);
}

Test(control, watchers_hear_that_it_is_degraded)
{
    struct warm warm = bound_warm(
        &(struct warm_start){.service = "\"on_load_failure\":\"degraded\",\"warmup\":\"serve\",",
                             .options = "\"parts\":2,\"failing\":\"part-1\","});
    const int fd = control_of(&warm);

    assert_has(request(fd, WATCH), "\"phase\":\"warming\",");
    open_gate(&warm, "load");
    open_gate(&warm, "part-0");
    assert_same(next_line(fd),
                "{\"v\":1,\"event\":\"phase\",\"service\":\"warm\",\"phase\":\"ready\","
                "\"degraded\":true}",
                &warm);
    assert_has(request(fd, STATUS), "\"phase\":\"ready\",\"degraded\":true");
    close(fd);
    end_warm(&warm);
}

/* An exit that is attempted, and cancelled or not. */
Test(control, watchers_hear_of_an_idle_exit)
{
    struct warm warm = bound_warm(&(struct warm_start){.service = "\"idle_exit_s\":1,"});
    const int fd = control_of(&warm), path_fd = open(warm.path, O_PATH | O_CLOEXEC);

    request(fd, WATCH);
    make_ready(&warm);
    assert_same(next_line(fd), phase_line("warm", "ready"), &warm);
    assert_same(next_line(fd), phase_line("warm", "draining"), &warm);
    const int visitor = connect_to(textf("unix:/proc/self/fd/%d", path_fd));
    const char *line = next_line(fd);
    if (visitor >= 0 && strcmp(line, phase_line("warm", "ready")) == 0) {
        cr_assert_eq(access(warm.path, F_OK), 0, "it is ready, and has no path");
        assert_text(ask(visitor, "a"), "1 a 0", warm.rpd);
        close(visitor);
        assert_same(next_line(fd), phase_line("warm", "draining"), &warm);
        line = next_line(fd);
    }
    assert_same(line, phase_line("warm", "stopping"), &warm);
    assert_eof(fd);
    close(fd);
    close(path_fd);
    end_warm_with(&warm, 0);
}

Test(control, a_process_that_dies_is_the_end)
{
    struct warm warm = plain_warm();
    const int fd = control_of(&warm);

    request(fd, WATCH);
    process_signal(warm.rpd, SIGKILL);
    assert_eof(fd);
    assert_ends(warm.rpd, 128 + SIGKILL);
    cr_assert_eq(access(path_of(&warm), F_OK), 0);
    /* The socket that it left does not hinder the next start. */
    struct process *next = RPD_START(warm.run, "echo.so", "-n", "warm");
    assert_bound(next);
    assert_pong(request_once(&warm, PING));
    assert_stops(next);
    assert_empty(warm.run);
}

/* ---- broken clients -------------------------------------------------------------------------- */

Test(control, what_is_no_request)
{
    static const struct {
        const char *line, *id, *error;
    } rows[] = {
        {"", "null", "expected a JSON object in a line"},
        {"ping", "null", "expected a JSON object in a line"},
        {"{\"v\":1,\"id\":1,\"do\":\"ping\"", "null", "expected a JSON object in a line"},
        {"[1]", "null", "expected a JSON object in a line"},
        {"{\"v\":1,\"v\":1,\"do\":\"ping\"}", "null", "expected a JSON object in a line"},
        {"{\"v\":1,\"id\":\"\xff\",\"do\":\"ping\"}", "null", "expected a JSON object in a line"},
        {"{\"id\":1,\"do\":\"ping\"}", "1", "expected \\\"v\\\": 1"},
        {"{\"v\":2,\"id\":1,\"do\":\"ping\"}", "1", "expected \\\"v\\\": 1"},
        {"{\"v\":\"1\",\"id\":1,\"do\":\"ping\"}", "1", "expected \\\"v\\\": 1"},
        {"{\"v\":1,\"id\":1}", "1", "expected \\\"do\\\": "},
        {"{\"v\":1,\"id\":1,\"do\":1}", "1", "expected \\\"do\\\": "},
        {"{\"v\":1,\"id\":1,\"do\":\"stop\"}", "1", "expected \\\"do\\\": "},
    };
    struct warm warm = plain_warm();
    const int fd = control_of(&warm);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_has(
            request(fd, rows[i].line),
            textf("{\"v\":1,\"id\":%s,\"ok\":false,\"error\":\"%s", rows[i].id, rows[i].error));
    cr_assert_eq(send_all(fd, "{\"v\":1\0}\n", 10), 0);
    assert_has(next_line(fd), "\"ok\":false");
    const char *deep = textf("%02000d", 0);
    for (char *at = (char *)deep; *at; at++)
        *at = '[';
    assert_has(request(fd, deep), "\"ok\":false");
    assert_pong(request(fd, PING));
    close(fd);
    make_ready(&warm);
    end_warm(&warm);
}

Test(control, lines_have_a_limit)
{
    struct warm warm = plain_warm();
    const int fd = control_of(&warm);

    assert_pong(request(fd, textf("%s%*s", PING, (int)(4095 - strlen(PING)), "")));
    assert_has(request(fd, textf("%s%*s", PING, (int)(4096 - strlen(PING)), "")),
               "{\"v\":1,\"id\":null,\"ok\":false,\"error\":\"a request is a line of at most 4096 "
               "bytes\"}");
    const int long_one = control_of(&warm);
    assert_has(request(long_one, textf("%05000d", 0)), "at most 4096");
    cr_assert_leq(recv(long_one, (char[1]){0}, 1, 0), 0, "it goes on");
    assert_pong(request_once(&warm, PING));
    close(fd);
    close(long_one);
    make_ready(&warm);
    end_warm(&warm);
}

Test(control, clients_have_a_limit)
{
    struct warm warm = plain_warm();
    int fds[100];

    for (int i = 0; i < 100; i++)
        fds[i] = control_of(&warm);
    for (int i = 0; i < 64; i++)
        assert_pong(request(fds[i], PING));
    for (int i = 64; i < 100; i++) {
        assert_has(next_line(fds[i]), "\"ok\":false,\"error\":\"too many clients");
        assert_eof(fds[i]);
        close(fds[i]);
    }
    /* The service has its own limits, which do not count control clients. */
    make_ready(&warm);
    assert_text(ask_once(warm.endpoint, "a"), "1 a 0", warm.rpd);
    close(fds[0]);
    /* The time at which the daemon noticed that. */
    while (
        strncmp(request_once(&warm, ""), "{\"v\":1,\"id\":null,\"ok\":false,\"error\":\"exp", 40))
        continue;
    for (int i = 1; i < 64; i++) {
        assert_pong(request(fds[i], PING));
        close(fds[i]);
    }
    end_warm(&warm);
}

static double seconds_since(int64_t began)
{
    return (double)(now_ns() - began) / 1e9;
}

/* Ten seconds, for half a request, which more bytes do not prolong, and for an unread answer. A
 * watcher may be silent for ever. */
Test(control, who_does_not_go_on_is_closed)
{
    struct warm warm = plain_warm();
    const int half = control_of(&warm), deaf = control_of(&warm), watcher = control_of(&warm),
              drip = control_of(&warm);
    const int64_t began = now_ns();
    size_t sent = 0;

    request(watcher, WATCH);
    cr_assert_eq(send_all(half, "{\"v\":1,", 7), 0);
    fcntl(deaf, F_SETFL, O_NONBLOCK);
    while (send(deaf, STATUS "\n", strlen(STATUS "\n"), MSG_NOSIGNAL) > 0)
        sent++;
    cr_assert_geq(sent, 100);
    struct pollfd drip_end = {.fd = drip, .events = POLLIN};
    while (poll(&drip_end, 1, 1000) == 0) {
        cr_assert_lt(seconds_since(began), 60, "it goes on for ever");
        send(drip, " ", 1, MSG_NOSIGNAL);
        assert_pong(request_once(&warm, PING));
    }
    cr_assert_geq(seconds_since(began), 9.5, "%f s", seconds_since(began));
    /* Or a reset, because of the byte that the daemon has not read. */
    cr_assert_leq(recv(drip, (char[1]){0}, 1, 0), 0);
    assert_eof(half);
    struct pollfd deaf_end = {.fd = deaf, .events = 0};
    cr_assert_eq(poll(&deaf_end, 1, 20000), 1, "the deaf one is there");
    make_ready(&warm);
    assert_same(next_line(watcher), phase_line("warm", "ready"), &warm);
    close(half), close(deaf), close(watcher), close(drip);
    end_warm(&warm);
}

/* A client that sends and does not read costs no more than one answer. */
Test(control, memory_is_bounded)
{
    struct warm warm = plain_warm();
    int fds[32];

    make_ready(&warm);
    assert_pong(request_once(&warm, PING));
    const long before = rss_kib(process_pid(warm.rpd));
    for (int i = 0; i < 32; i++) {
        fds[i] = control_of(&warm);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        while (send(fds[i], STATUS "\n", strlen(STATUS "\n"), MSG_NOSIGNAL) > 0)
            continue;
    }
    assert_pong(request_once(&warm, PING));
    /* A sanitizer keeps what was freed. */
    if (!is_sanitized())
        cr_assert_lt(rss_kib(process_pid(warm.rpd)) - before, 4000);
    for (int i = 0; i < 32; i++)
        close(fds[i]);
    end_warm(&warm);
}

/* Another user, if the mode of the file does not keep that user out. */
Test(control, another_user_is_closed_unheard)
{
    if (geteuid() != 0)
        cr_skip("only root can become another user");
    struct warm warm = plain_warm();

    cr_assert(chmod(warm.dir, 0711) == 0 && chmod(warm.run, 0711) == 0 &&
              chmod(path_of(&warm), 0666) == 0);
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        const int fd = connect_to(textf("unix:%s", path_of(&warm)));
        if (fd < 0)
            _exit(3);
        send(fd, PING "\n", strlen(PING "\n"), MSG_NOSIGNAL);
        _exit(read(fd, &byte, 1) <= 0 ? 0 : 4);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(process_code(status), 0);
    assert_pong(request_once(&warm, PING));
    make_ready(&warm);
    end_warm(&warm);
}

/* ---- other faults --------------------------------------------------------------------------- */

/* The answer comes when the loop turns, and not before: that is its purpose. */
Test(control, a_blocked_loop_is_late)
{
    enum { BLOCKED_MS = 800 };
    struct warm warm = bound_warm(&(struct warm_start){.options = "\"data_ms\":800,"});
    const int fd = control_of(&warm), client_fd = client_of(warm.endpoint);

    make_ready(&warm);
    assert_pong(request(fd, PING));
    const int64_t began = now_ns();
    say(client_fd, "a\n");
    /* The loop is in the callback once its page is no longer updated. */
    pass_ms(300);
    assert_pong(request(fd, PING));
    cr_assert_geq(seconds_since(began), 0.75, "%f s", seconds_since(began));
    cr_assert_str_eq(line_of(client_fd), "1 a 0\n");
    close(fd);
    close(client_fd);
    end_warm(&warm);
}

static int highest_descriptor(pid_t pid)
{
    DIR *stream = opendir(textf("/proc/%d/fd", pid));
    int highest = 0;

    cr_assert_not_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));)
        if (atoi(entry->d_name) > highest)
            highest = atoi(entry->d_name);
    closedir(stream);
    return highest;
}

/* The clients of the service have taken all descriptors. */
Test(control, is_there_without_descriptors)
{
    struct warm warm = plain_warm();
    struct rlimit limit;
    int fds[64], control_fds[8];

    make_ready(&warm);
    cr_assert_eq(prlimit(process_pid(warm.rpd), RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = (rlim_t)highest_descriptor(process_pid(warm.rpd)) + 8;
    cr_assert_eq(prlimit(process_pid(warm.rpd), RLIMIT_NOFILE, &limit, NULL), 0);
    for (int i = 0; i < 64; i++)
        fds[i] = client_of(warm.endpoint);
    assert_line(warm.rpd, "cannot accept clients (Too many open files)");
    for (int i = 0; i < 20; i++)
        assert_pong(request_once(&warm, PING));
    for (int i = 0; i < 4; i++) {
        control_fds[i] = control_of(&warm);
        assert_pong(request(control_fds[i], PING));
    }
    /* Clients beyond the limit wait until another one leaves. */
    control_fds[4] = control_of(&warm);
    say(control_fds[4], PING "\n");
    struct pollfd answer = {.fd = control_fds[4], .events = POLLIN};
    cr_assert_eq(poll(&answer, 1, 500), 0, "there were more descriptors");
    close(control_fds[0]);
    assert_pong(next_line(control_fds[4]));
    for (int i = 0; i < 64; i++)
        close(fds[i]);
    assert_line(warm.rpd, "accepts clients again");
    for (int i = 1; i < 5; i++)
        close(control_fds[i]);
    assert_pong(request_once(&warm, PING));
    end_warm(&warm);
}

#define HEALED "warm.control was removed; recreated"

Test(control, is_made_again)
{
    struct warm warm = plain_warm();
    const int fd = control_of(&warm);

    request(fd, WATCH);
    for (int round = 1; round <= 3; round++) {
        if (round == 3) /* a different file in its place */
            write_text(textf("%s/other", warm.run), "");
        cr_assert_eq(round < 3 ? unlink(path_of(&warm))
                               : rename(textf("%s/other", warm.run), path_of(&warm)),
                     0, "%s", strerror(errno));
        cr_assert_eq(process_wait_lines(warm.rpd, HEALED, (size_t)round), 0, "%s",
                     process_stderr(warm.rpd));
        assert_pong(request_once(&warm, PING));
    }
    /* The connected clients stay. */
    make_ready(&warm);
    assert_same(next_line(fd), phase_line("warm", "ready"), &warm);
    close(fd);
    end_warm(&warm);
}

/* The socket cannot be made again: the daemon says so once, and tries until it can. */
Test(control, is_made_again_later)
{
    struct warm warm = plain_warm();

    cr_assert_eq(mkdir(textf("%s/other", warm.run), 0700), 0);
    cr_assert_eq(mkdir(textf("%s/other/full", warm.run), 0700), 0);
    unlink(path_of(&warm));
    rename(textf("%s/other", warm.run), path_of(&warm));
    while (!strstr(process_stderr(warm.rpd), "warm.control: it was removed, and")) {
        /* The daemon was faster than the test: once more. */
        unlink(path_of(&warm));
        rename(textf("%s/other", warm.run), path_of(&warm));
        process_poll(&warm.rpd, 1, 10 * NS_PER_MS);
    }
    const size_t healed = lines_with(process_stderr(warm.rpd), HEALED); /* if it was faster */
    rmdir(textf("%s/full", path_of(&warm)));
    rmdir(path_of(&warm));
    cr_assert_eq(process_wait_lines(warm.rpd, HEALED, healed + 1), 0, "%s",
                 process_stderr(warm.rpd));
    assert_pong(request_once(&warm, PING));
    make_ready(&warm);
    end_warm(&warm);
}

/* Its path may be longer than a socket address. */
Test(control, in_a_directory_with_a_long_name)
{
    const char *dir = temp_dir_make(), *run = textf("%s/%0120d", dir, 0);

    cr_assert_eq(mkdir(run, 0700), 0);
    struct process *rpd = RPD_START(run, "echo.so", "-l", "tcp:127.0.0.1:0");
    assert_bound(rpd);
    const int run_fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int fd = client(textf("unix:/proc/self/fd/%d/echo.control", run_fd));
    assert_pong(request(fd, PING));
    close(fd);
    close(run_fd);
    assert_stops(rpd);
    assert_empty(run);
}

/* Locks and histories, and nothing else. */
Test(control, a_clean_stop_leaves_locks_and_histories)
{
    struct warm warm = plain_warm();
    size_t count = 0;

    write_text(textf("%s/.warm.control.4711.tmp", warm.run), "of a killed start");
    make_ready(&warm);
    const int fd = control_of(&warm);
    assert_pong(request(fd, PING));
    assert_stops(warm.rpd);
    close(fd);
    unlink(textf("%s/.warm.control.4711.tmp", warm.run));
    DIR *stream = opendir(warm.run);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_name[0] == '.' && strlen(entry->d_name) <= 2)
            continue;
        count++;
        cr_expect(strcmp(entry->d_name, "warm.lock") == 0 ||
                      strcmp(entry->d_name, "warm.history") == 0,
                  "%s", entry->d_name);
    }
    closedir(stream);
    cr_assert_eq(count, 2);
}

/* The files that a killed start left. */
Test(control, is_swept)
{
    const char *dir = temp_dir_make(), *left = textf("%s/.echo.control.4711.tmp", dir);

    write_text(left, "");
    struct process *rpd = RPD_START(dir, "echo.so");
    assert_line(rpd, "ready");
    cr_assert_neq(access(left, F_OK), 0);
    assert_stops(rpd);
    assert_empty(dir);
}
