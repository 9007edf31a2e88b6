/* Regressions: each test is a bug that was once found by attack and then fixed. plugins/attacks.c
 * has the backends with which the bugs were found. */
#include "common.h"

#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* "attacks" listens on x.sock and TCP, and "echo" beside it on the same loop: an answer of echo was
 * sent after attacks has read its input. */
struct server {
    const char *dir, *endpoint, *tcp, *echo;
    struct process *rpd;
};

static struct server prepare_with(const char *top, const char *keys, const char *options)
{
    struct server server = {.dir = temp_dir_make()};

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    server.echo = textf("unix:%s/echo.sock", server.dir);
    write_text(textf("%s/c.json", server.dir),
               textf("{%s\"services\":[{\"name\":\"attacks\",\"plugin\":\"%s\",\"listen\":[\"%s\","
                     "\"tcp:127.0.0.1:0\"],%s\"options\":{%s}},"
                     "{\"name\":\"echo\",\"plugin\":\"echo.so\",\"listen\":[\"%s\"]}]}",
                     top, test_plugin("attacks"), server.endpoint, keys, options, server.echo));
    return server;
}

static struct server prepare(const char *top, const char *options)
{
    return prepare_with(top, "", options);
}

static void start(struct server *server, const char *const *env)
{
    server->rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", "-c", textf("%s/c.json", server->dir)),
                                  .env = env,
                                  .runtime_dir = textf("%s/run", server->dir),
                                  .notify = true});
    assert_bound(server->rpd);
    assert_line(server->rpd, "rpd: attacks: bound ");
    server->tcp = process_endpoint(server->rpd, "tcp:");
}

static struct server serve(const char *mode, const char *top)
{
    struct server server = prepare(top, textf("\"mode\":\"%s\"", mode));

    start(&server, NULL);
    return server;
}

static void end_server(struct server *server)
{
    assert_stops(server->rpd);
    cr_assert_str_eq(listing(server->dir), textf("%s/c.json\n%s/run/\n", server->dir, server->dir),
                     "%s", listing(server->dir));
    process_free(server->rpd);
    temp_dir_remove(server->dir);
}

/* Waits until the condition holds, or the deadline. */
static bool wait_until(bool (*is_so)(const char *), const char *what)
{
    const int64_t end = now_ns() + INT64_C(20000000000);

    while (!is_so(what)) {
        if (now_ns() > end)
            return false;
        poll(NULL, 0, 5);
    }
    return true;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool is_missing(const char *path)
{
    return access(path, F_OK) != 0;
}

static bool is_connectable(const char *endpoint)
{
    const int fd = connect_to(endpoint);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- the end of input ---- */

/* The input comes in pieces; each has been read when the next one is sent. */
static void check_leftover(struct server *server, const char *endpoint, size_t size, size_t pieces)
{
    char *data = malloc(size + 1), *answer = malloc(size + 2);
    const int fd = client(endpoint), other = client(server->echo);

    for (size_t i = 0; i < size; i++)
        data[i] = "hello"[i % 5];
    for (size_t i = 0; i < pieces; i++) {
        const size_t from = size * i / pieces, to = size * (i + 1) / pieces;
        cr_assert_eq(send_all(fd, data + from, to - from), 0, "%s", strerror(errno));
        for (int k = 0; k < 3; k++)
            assert_text(ask(other, "meanwhile"), "meanwhile", server->rpd);
    }
    shutdown(fd, SHUT_WR);
    const ssize_t got = read_to_end(fd, answer, size + 2);
    cr_assert_eq(got, (ssize_t)size, "%s, %zu: %zd\n%s", endpoint, size, got,
                 process_stderr(server->rpd));
    cr_assert_eq(memcmp(answer, data, size), 0, "%s, %zu: other bytes: %.64s", endpoint, size,
                 answer);
    close(fd);
    close(other);
    free(data);
    free(answer);
}

Test(attacks, leftover_input_at_half_close)
{
    struct server server = serve("until_end", "");
    const char *endpoints[] = {server.endpoint, server.tcp};

    for (size_t i = 0; i < 2; i++) {
        check_leftover(&server, endpoints[i], 5, 1);
        check_leftover(&server, endpoints[i], 5, 2);
        check_leftover(&server, endpoints[i], 102400, 2);
        check_leftover(&server, endpoints[i], 102400, 10);
    }
    end_server(&server);
}

Test(attacks, last_line_without_newline)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    struct process *rpd = RPD_START(dir, build_path("samples/hello.so"), "-l", endpoint);
    static const struct {
        const char *sent, *wanted;
    } rows[] = {
        {"Ada", ""},
        {"Ada\n", "hello, Ada\n"},
        {"Ada\nGrace", "hello, Ada\n"},
        {"Ada\n\n", "hello, Ada\nhello, \n"},
        {"", ""},
    };

    assert_bound(rpd);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int later = 0; later < 2; later++) {
            char answer[128];
            const int fd = client(endpoint);
            cr_assert_eq(send_all(fd, rows[i].sent, strlen(rows[i].sent)), 0);
            if (later) /* the daemon has read the bytes when the end comes */
                assert_text(ask_once(endpoint, "Bob"), "hello, Bob", rpd);
            shutdown(fd, SHUT_WR);
            cr_assert_geq(read_to_end(fd, answer, sizeof answer), 0, "%s", strerror(errno));
            cr_assert_str_eq(answer, rows[i].wanted, "\"%s\" instead of \"%s\"", answer,
                             rows[i].wanted);
            close(fd);
        }
    }
    assert_stops(rpd);
    assert_empty(dir);
}

Test(attacks, big_answer_to_the_end_of_input)
{
    enum { SIZE = 819200 };
    struct server server = serve("big_at_end", "");
    const char *endpoints[] = {server.endpoint, server.tcp};
    char *answer = malloc(SIZE + 2);

    for (size_t i = 0; i < 4; i++) {
        const int fd = client(endpoints[i % 2]);
        if (i < 2)
            cr_assert_eq(send_all(fd, "question", 8), 0);
        shutdown(fd, SHUT_WR);
        /* All output was written, but did not fit, before the client reads any. */
        assert_text(ask_once(server.echo, "me"), "me", server.rpd);
        const ssize_t got = read_to_end(fd, answer, SIZE + 2);
        cr_assert_eq(got, SIZE, "%zd of %d\n%s", got, SIZE, process_stderr(server.rpd));
        close(fd);
    }
    free(answer);
    end_server(&server);
}

/* The daemon was stopped, so the client did not stall. When rpd continues, it finds the time-out
 * and room for more output at once. */
Test(attacks, stopped_for_longer_than_write_stall)
{
    enum { SIZE = 819200 };
    struct server server = prepare_with("", "\"limits\":{\"write_stall_s\":1},",
                                        "\"mode\":\"big_at_end\"");
    char *answer = malloc(SIZE + 2);

    start(&server, NULL);
    const int fd = client(server.endpoint);
    cr_assert_eq(send_all(fd, "question", 8), 0);
    shutdown(fd, SHUT_WR);
    cr_assert_eq(read_exactly(fd, answer, 1), 1, "%s", strerror(errno));
    assert_text(ask_once(server.echo, "me"), "me", server.rpd);
    process_signal(server.rpd, SIGSTOP);
    ssize_t got = 1;
    for (ssize_t more; (more = recv(fd, answer, SIZE, MSG_DONTWAIT)) > 0;)
        got += more;
    cr_assert_lt(got, SIZE, "all of it did fit");
    poll(NULL, 0, 1200);
    process_signal(server.rpd, SIGCONT);
    got += read_to_end(fd, answer, SIZE + 2);
    cr_assert_eq(got, SIZE, "%zd of %d\n%s", got, SIZE, process_stderr(server.rpd));
    close(fd);
    free(answer);
    end_server(&server);
}

/* ---- the loop ---- */

Test(attacks, resume_in_on_data)
{
    struct server server = serve("resume", "\"drain_s\":1,");
    const int fd = client(server.endpoint), other = client(server.echo);

    cr_assert_eq(send_all(fd, "a partial line", 14), 0);
    assert_text(ask(other, "one"), "one", server.rpd);
    const int64_t cpu = cpu_time_ns(process_pid(server.rpd)), began = now_ns();
    poll(NULL, 0, 300);
    const int64_t burnt = cpu_time_ns(process_pid(server.rpd)) - cpu, passed = now_ns() - began;
    cr_assert_lt(burnt, passed / 2, "%ld ms of %ld ms", (long)(burnt / 1000000),
                 (long)(passed / 1000000));
    assert_text(ask(other, "two"), "two", server.rpd);
    /* The rest of the line is still offered. */
    assert_text(ask(fd, " and the rest"), "a partial line and the rest", server.rpd);
    cr_assert_eq(send_all(fd, "another", 7), 0);
    assert_text(ask(other, "three"), "three", server.rpd);
    end_server(&server);
    close(fd);
    close(other);
}

/* Sends without pause until the daemon closes the connection. */
static pid_t flood(const char *endpoint)
{
    static char block[65536];
    const pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int fd = getppid() == parent ? connect_to(endpoint) : -1;
    while (fd >= 0 && send_all(fd, block, sizeof block) == 0)
        continue;
    _exit(0);
}

Test(attacks, flood_during_drain)
{
    struct server server = serve("slow", "\"drain_s\":1,");
    const pid_t flooders[] = {flood(server.endpoint), flood(server.endpoint)};

    cr_assert_eq(process_wait_lines(server.rpd, "test: is flooded", 2), 0);
    assert_text(ask_once(server.echo, "me"), "me", server.rpd);
    const int code = process_code(process_stop(server.rpd));
    for (size_t i = 0; i < 2; i++)
        waitpid(flooders[i], NULL, 0);
    /* The client is closed after drain_s; or earlier, if the machine is so busy that the client
     * sent nothing for a moment. */
    cr_assert_eq(code, 0, "exit code %d:\n%s", code, process_stderr(server.rpd));
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* An event in the same turn as the pause or the end. The first client blocks the loop until both
 * events are ready, the attacker's before the victim's. */
static void check_same_turn(char attacker)
{
    struct server server = prepare("\"drain_s\":1,", "\"mode\":\"roles\"");
    const char *gate = textf("%s/gate", server.dir);
    char byte, answer[16];

    cr_assert_eq(mkfifo(gate, 0600), 0);
    const int fifo = open(gate, O_RDWR | O_CLOEXEC);
    start(&server, ARGS(textf("TEST_GATE=%s", gate)));
    const char roles[] = {'V', 'W', attacker};
    int fds[3];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = client(server.endpoint);
        cr_assert_eq(send_all(fds[i], &roles[i], 1), 0);
        cr_assert_eq(read_exactly(fds[i], &byte, 1), 1);
    }
    cr_assert_eq(send_all(fds[1], "x", 1), 0);
    assert_line(server.rpd, "test: waits at the gate");
    cr_assert_eq(send_all(fds[2], "x", 1), 0);
    cr_assert_eq(send_all(fds[0], "data", 4), 0);
    cr_assert_eq(write(fifo, "x", 1), 1);
    cr_assert_eq(read_exactly(fds[1], &byte, 1), 1);
    cr_assert_eq(read_exactly(fds[2], &byte, 1), 1);
    for (int k = 0; k < 3; k++)
        assert_text(ask_once(server.echo, "me"), "me", server.rpd);
    cr_assert(!strstr(process_stderr(server.rpd), "VIOLATION"), "%s", process_stderr(server.rpd));
    if (attacker == 'P') {
        /* No input is lost: it comes after the resume. */
        const int resumer = client(server.endpoint);
        cr_assert_eq(send_all(resumer, "Rx", 2), 0);
        cr_assert_eq(read_exactly(fds[0], answer, 4), 4, "%s", strerror(errno));
        cr_assert_eq(memcmp(answer, "data", 4), 0);
        close(resumer);
    } else {
        assert_eof(fds[0]);
    }
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
    close(fifo);
    unlink(gate);
    assert_stops(server.rpd);
    cr_assert(!strstr(process_stderr(server.rpd), "VIOLATION"), "%s", process_stderr(server.rpd));
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

Test(attacks, paused_in_the_same_turn)
{
    check_same_turn('P');
}

Test(attacks, finished_in_the_same_turn)
{
    check_same_turn('F');
}

static void check_drip(const char *endpoint, struct server *server)
{
    char answer[8];
    const int fd = client(endpoint);
    const int64_t began = now_ns();
    bool closed = false;

    cr_assert_eq(send_all(fd, "x", 1), 0);
    cr_assert_eq(read_line(fd, answer, sizeof answer), 4);
    assert_eof(fd);
    while (!closed && now_ns() - began < INT64_C(15000000000)) {
        struct pollfd hangup = {.fd = fd};
        closed = poll(&hangup, 1, 200) > 0 || send(fd, "z", 1, MSG_NOSIGNAL) < 0;
    }
    const int64_t took = now_ns() - began;
    cr_assert_lt(took, INT64_C(10000000000), "%s: %s after %ld ms\n%s", endpoint,
                 closed ? "closed" : "still open", (long)(took / 1000000),
                 process_stderr(server->rpd));
    close(fd);
}

Test(attacks, drip_after_finish)
{
    struct server server = serve("finish", "");

    assert_text(ask_once(server.echo, "me"), "me", server.rpd);
    check_drip(server.endpoint, &server);
    check_drip(server.tcp, &server);
    end_server(&server);
}

/* ---- the log ---- */

/* stderr is a full pipe without a reader. */
struct deaf {
    struct server server;
    int pipe;
};

static struct deaf serve_deaf(const char *top, const char *options)
{
    struct deaf deaf = {
        .server = prepare(top, options),
    };
    const char *path = textf("%s/pipe", deaf.server.dir);
    static char block[4096];

    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(mkfifo(textf("%s/gate", deaf.server.dir), 0600), 0);
    deaf.pipe = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    for (size_t size = sizeof block; size > 0; size = size > 1 ? 1 : 0)
        while (write(deaf.pipe, block, size) > 0)
            continue;
    deaf.server.rpd = process_start(&(struct process_options){
        .argv = ARGS("sh", "-c", "exec \"$0\" \"$@\" 2>\"$TEST_PIPE\"", build_path("rpd"), "-c",
                     textf("%s/c.json", deaf.server.dir)),
        .env = ARGS(textf("TEST_PIPE=%s", path), textf("TEST_GATE=%s/gate", deaf.server.dir)),
        .runtime_dir = textf("%s/run", deaf.server.dir),
        .notify = true});
    assert_bound(deaf.server.rpd);
    return deaf;
}

static void end_deaf(struct deaf *deaf, int wanted)
{
    const int code = process_code(process_wait_exit(deaf->server.rpd));

    cr_assert_eq(code, wanted, "exit code %d instead of %d", code, wanted);
    cr_assert(!exists(deaf->server.endpoint + strlen("unix:")), "%s", listing(deaf->server.dir));
    close(deaf->pipe);
    process_free(deaf->server.rpd);
    temp_dir_remove(deaf->server.dir);
}

Test(attacks, stderr_that_nobody_reads)
{
    struct deaf deaf = serve_deaf("", "\"mode\":\"log\"");
    const int fd = client(deaf.server.endpoint);

    for (int i = 0; i < 2000; i++) {
        const char *answer = ask(fd, "x");
        cr_assert(answer && strcmp(answer, "ok") == 0, "no answer to request %d", i);
    }
    close(fd);
    process_signal(deaf.server.rpd, SIGTERM);
    end_deaf(&deaf, 0);
}

/* A reader takes one page and stops again: the count of lost lines and the line itself must fit
 * into that room. */
Test(attacks, stderr_with_little_room)
{
    struct deaf deaf = serve_deaf("", "\"mode\":\"log_long\"");
    const int fd = client(deaf.server.endpoint);
    char page[4096];

    for (int i = 0; i < 20; i++) {
        const char *answer = ask(fd, "x");
        cr_assert(answer && strcmp(answer, "ok") == 0,
                  "no answer to request %d: rpd hangs in write() on stderr", i);
        cr_assert_gt(read(deaf.pipe, page, sizeof page), 0, "%s", strerror(errno));
    }
    close(fd);
    process_signal(deaf.server.rpd, SIGTERM);
    end_deaf(&deaf, 0);
}

/* Unexpected ends have a last line too. */
Test(attacks, interrupted_twice_and_nobody_reads)
{
    struct deaf deaf = serve_deaf("\"drain_s\":60,", "\"mode\":\"log\"");
    const int fd = client(deaf.server.endpoint);

    assert_text(ask(fd, "x"), "ok", deaf.server.rpd);
    cr_assert_eq(send_all(fd, "half a line", 11), 0);
    process_signal(deaf.server.rpd, SIGINT);
    cr_assert(wait_until(is_missing, deaf.server.endpoint + strlen("unix:")));
    process_signal(deaf.server.rpd, SIGINT);
    end_deaf(&deaf, 70);
    close(fd);
}

/* Such an open succeeds only if there is a reader: the part of the load that waits there. */
static bool has_reader(const char *fifo)
{
    const int fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    return fd >= 0; /* and stays open, so that the reader continues to wait */
}

Test(attacks, forced_end_and_nobody_reads)
{
    struct deaf deaf = serve_deaf("\"drain_s\":0,", "\"parts\":1");

    cr_assert(wait_until(has_reader, textf("%s/gate", deaf.server.dir)));
    process_signal(deaf.server.rpd, SIGTERM);
    end_deaf(&deaf, 70);
}

/* ---- descriptors ---- */

/* The notification is alone on stdout, and stands between the other lines on stderr. */
static bool wait_empty_line(struct process *rpd, int number)
{
    const int64_t end = now_ns() + INT64_C(20000000000);

    for (;;) {
        const char *told = number == 1 ? process_stdout(rpd) : process_stderr(rpd);
        if (told[0] == '\n' || strstr(told, "\n\n"))
            return true;
        if (now_ns() > end)
            return false;
        process_poll(&rpd, 1, 100000000);
    }
}

static void check_notify_fd(int number)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "echo.so", "-l", endpoint, "--notify-fd", textf("%d", number)),
        .runtime_dir = dir});
    char target[64] = "", rest[512];

    assert_line(rpd, "rpd: echo: bound ");
    cr_assert(wait_until(is_connectable, endpoint));
    const int fd = client(endpoint);
    assert_text(ask(fd, "before"), "before", rpd);
    cr_assert(wait_empty_line(rpd, number), "no newline on %d: \"%s\", \"%s\"", number,
              process_stdout(rpd), process_stderr(rpd));
    cr_assert_gt(
        readlink(textf("/proc/%d/fd/%d", (int)process_pid(rpd), number), target, sizeof target - 1),
        0, "%d is closed", number);
    cr_assert(strncmp(target, "pipe:", 5) == 0, "%d is %s", number, target);
    cr_assert_eq(process_signal(rpd, SIGHUP), 0);
    assert_line(rpd, "reload: nothing has changed");
    assert_text(ask(fd, "after"), "after", rpd);
    shutdown(fd, SHUT_WR);
    cr_assert_eq(read_to_end(fd, rest, sizeof rest), 0, "%s", rest);
    close(fd);
    assert_stops(rpd);
    assert_empty(dir);
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(attacks, notify_fd_is_stdout)
{
    check_notify_fd(1);
}

Test(attacks, notify_fd_is_stderr)
{
    check_notify_fd(2);
}

Test(attacks, notify_fd_is_a_listener)
{
    const char *dir = temp_dir_make(), *path = textf("%s/x.sock", dir);
    const int listener = listen_at(path, SOCK_STREAM, 8);
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "echo.so", "-l", textf("unix:%s", path), "--notify-fd", "3"),
        .runtime_dir = dir,
        .listen_fds = &listener,
        .listen_count = 1});

    assert_ends(rpd, 64);
    cr_assert(strstr(process_stderr(rpd), "--notify-fd"), "%s", process_stderr(rpd));
    cr_assert(exists(path));
    close(listener);
}

/* A child that a plugin forked, and that outlives rpd, holds no descriptor of it. */
Test(attacks, forked_child_keeps_nothing)
{
    struct server server = serve("fork", "");
    const char *answer = ask_once(server.endpoint, "x");
    const pid_t child = answer ? (pid_t)strtol(answer, NULL, 10) : 0;

    cr_assert_gt(child, 0, "%s", process_stderr(server.rpd));
    process_signal(server.rpd, SIGKILL);
    const int killed = process_code(process_wait_exit(server.rpd));
    const bool child_lives = kill(child, 0) == 0;
    /* The port is free again, too. */
    const char *config = textf("%s/c.json", server.dir), *text = file_read(config);
    const char *port = strstr(text, "tcp:127.0.0.1:0");
    write_text(config, textf("%.*s%s%s", (int)(port - text), text, server.tcp,
                             port + strlen("tcp:127.0.0.1:0")));
    struct process *next = process_start(
        &(struct process_options){.argv = ARGS("rpd", "-c", config),
                                  .runtime_dir = textf("%s/run", server.dir),
                                  .notify = true});
    const int bound = process_wait_bound(next);
    const bool child_lived = kill(child, 0) == 0;
    kill(child, SIGKILL);
    cr_assert_eq(killed, 128 + SIGKILL);
    cr_assert(child_lives && child_lived);
    cr_assert_eq(bound, 0, "%s", process_stderr(next));
    process_free(server.rpd);
    server.rpd = next;
    end_server(&server);
}

/* ---- names ---- */

/* The path must fit the address, so the directory has a short name. */
Test(attacks, long_name_of_a_live_foreigner)
{
    const char *dir = NULL, *runtime_dir = temp_dir_make();

    for (int i = 0; !dir && i < 10000; i++) {
        const char *tried = textf("/tmp/%04d", (getpid() + i) % 10000);
        if (mkdir(tried, 0700) == 0)
            dir = tried;
    }
    cr_assert_not_null(dir);
    const char *path = textf("%s/%097d", dir, 0);
    const int listener = listen_at(path, SOCK_STREAM, 8);
    struct stat before = {0}, after = {0};
    stat(path, &before);
    struct process *rpd = RPD_START(runtime_dir, "echo.so", "-l", textf("unix:%s", path));
    const int bound = process_wait_bound(rpd); /* rpd must not bind the path */
    const int code = process_code(bound == 0 ? process_stop(rpd) : process_wait_exit(rpd));
    const bool connectable = is_connectable(textf("unix:%s", path));
    stat(path, &after);
    const char *left = listing(dir);
    unlink(path);
    unlink(textf("%s/.%097d.lock", dir, 0));
    const bool removed = rmdir(dir) == 0;
    cr_assert_geq(listener, 0);
    cr_assert_eq(code, 75, "exit code %d:\n%s", code, process_stderr(rpd));
    cr_assert(connectable, "no client can connect to it any more");
    cr_assert_eq(before.st_ino, after.st_ino);
    cr_assert_str_eq(left, textf("%s\n", path), "%s", left);
    cr_assert(removed);
    close(listener);
    assert_empty(runtime_dir);
}

static void plant_stale(const char *path)
{
    const int fd = listen_at(path, SOCK_STREAM, -1);

    cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
    close(fd);
}

Test(attacks, sweep_leaves_the_longer_name_alone)
{
    const char *dir = temp_dir_make();
    const char *longer = textf("%s/.echo.sock.123.tmp", dir);
    const char *own = textf("%s/.echo.123.tmp", dir);

    plant_stale(longer);
    plant_stale(own);
    struct process *one = RPD_START(dir, "echo.so", "-n", "one", "-l", textf("unix:%s/echo", dir));
    assert_bound(one);
    assert_line(one, "rpd: one: ready ");
    cr_assert(wait_until(is_missing, own), "%s", listing(dir));
    cr_assert(exists(longer), "the start of \"echo\" removed what is \"echo.sock\"'s");
    struct process *two = RPD_START(dir, "echo.so", "-n", "two", "-l",
                                    textf("unix:%s/echo.sock", dir));
    assert_bound(two);
    cr_assert(wait_until(is_missing, longer), "%s", listing(dir));
    assert_text(ask_once(textf("unix:%s/echo", dir), "a"), "a", one);
    assert_text(ask_once(textf("unix:%s/echo.sock", dir), "b"), "b", two);
    assert_stops(one);
    assert_stops(two);
    assert_empty(dir);
}

static void check_failing_bind(const char *act, int code)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);

    write_text(config,
               textf("{\"endpoint_deadline_ms\":300,\"services\":[{\"plugin\":\"%s\",\"listen\":["
                     "\"unix:%s/x.sock\"]}]}",
                     test_plugin("attacks_bind"), dir));
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", "-c", config),
                                  .env = ARGS(textf("TEST_BIND=%s", act)),
                                  .runtime_dir = textf("%s/run", dir)});
    assert_ends(rpd, code);
    cr_assert(strstr(process_stderr(rpd), "test: bound"), "%s", process_stderr(rpd));
    cr_assert_str_eq(listing(dir), textf("%s/c.json\n%s/run/\n", dir, dir), "%s", listing(dir));
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(attacks, own_bind_hangs_when_it_has_bound)
{
    check_failing_bind("hang", 76);
}

Test(attacks, own_bind_exits_when_it_has_bound)
{
    check_failing_bind("exit", 70);
}

/* A crash removes nothing; the next start does. */
Test(attacks, own_bind_crashes_when_it_has_bound)
{
    if (strstr(build_path(""), "tsan"))
        cr_skip("handlers run with all signals blocked there, and a sealed thread dies of SIGSYS");
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    struct process *rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", test_plugin("attacks_bind"), "-l", endpoint),
                                  .env = ARGS("TEST_BIND=abort"),
                                  .runtime_dir = dir});

    assert_ends(rpd, 128 + SIGABRT);
    const char *left = textf("%s/.x.sock.%d.tmp", dir, (int)process_pid(rpd));
    cr_assert(exists(left), "%s", listing(dir));
    process_free(rpd);
    rpd = RPD_START(dir, test_plugin("attacks_bind"), "-l", endpoint);
    assert_bound(rpd);
    cr_assert(wait_until(is_missing, left), "%s", listing(dir));
    assert_stops(rpd);
    assert_empty(dir);
}

/* ---- removed while a constructor runs ---- */

static void check_removed_early(bool lock)
{
    const char *dir = temp_dir_make();
    const char *endpoint = textf("unix:%s/x.sock", dir);
    const char *removed = textf(lock ? "%s/.x.sock.lock" : "%s/x.sock", dir);
    struct process *rpd = RPD_START(dir, test_plugin("slow_constructor"), "-l", endpoint);

    cr_assert(wait_until(is_connectable, endpoint), "%s", process_stderr(rpd));
    cr_assert_eq(unlink(removed), 0, "%s: %s", removed, strerror(errno));
    assert_line(rpd, "ready (");
    cr_assert(wait_until(exists, removed), "%s does not come back:\n%s", removed,
              process_stderr(rpd));
    cr_assert(wait_until(is_connectable, endpoint), "%s", process_stderr(rpd));
    assert_text(ask_once(endpoint, "Ada"), "hello, Ada", rpd);
    /* The lock still works: another daemon does not get it. */
    struct process *second = RPD_START(textf("%s/run2", dir), "echo.so", "-n", "second", "-l",
                                       endpoint);
    const int code = process_code(process_wait_exit(second));
    cr_assert_eq(code, 75, "exit code %d:\n%s", code, process_stderr(second));
    assert_text(ask_once(endpoint, "Bob"), "hello, Bob", rpd);
    assert_stops(rpd);
    process_free(rpd);
    process_free(second);
    temp_dir_remove(dir);
}

Test(attacks, socket_removed_while_the_constructor_runs)
{
    check_removed_early(false);
}

Test(attacks, lock_removed_while_the_constructor_runs)
{
    check_removed_early(true);
}

/* No event says when descriptors are available again. */
Test(attacks, socket_removed_without_descriptors)
{
    const char *dir = temp_dir_make(), *endpoint = textf("unix:%s/x.sock", dir);
    struct process *rpd = RPD_START(dir, "echo.so", "-l", endpoint);
    struct rlimit usual, none;

    assert_bound(rpd);
    assert_line(rpd, "ready (");
    cr_assert_eq(prlimit(process_pid(rpd), RLIMIT_NOFILE, NULL, &usual), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = usual.rlim_max};
    cr_assert_eq(prlimit(process_pid(rpd), RLIMIT_NOFILE, &none, NULL), 0, "%s", strerror(errno));
    cr_assert_eq(unlink(endpoint + strlen("unix:")), 0);
    assert_line(rpd, "Too many open files");
    cr_assert_eq(prlimit(process_pid(rpd), RLIMIT_NOFILE, &usual, NULL), 0, "%s", strerror(errno));
    cr_assert(wait_until(is_connectable, endpoint), "%s", process_stderr(rpd));
    assert_text(ask_once(endpoint, "me"), "me", rpd);
    assert_stops(rpd);
    assert_empty(dir);
}

/* ---- loads ---- */

/* An empty text gives no reason, but the load has failed all the same. */
Test(attacks, load_fails_with_an_empty_text)
{
    struct server server = prepare_with("", "\"on_load_failure\":\"exit\",",
                                        "\"load\":\"no_reason\"");

    start(&server, NULL);
    assert_ends(server.rpd, 69);
    assert_line(server.rpd, "rpd: load: attacks: it returned no state and no reason");
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* In one turn the loop sees first the signal and then the failed load: it is blocked until both are
 * ready. */
Test(attacks, load_fails_in_the_turn_of_the_stop)
{
    struct server server = prepare_with("\"drain_s\":1,",
                                        "\"warmup\":\"serve\",\"on_load_failure\":\"exit\",",
                                        "\"mode\":\"roles\",\"load\":\"gate\"");
    const char *gates[] = {textf("%s/gate", server.dir), textf("%s/load", server.dir)};
    int fifos[2];

    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(mkfifo(gates[i], 0600), 0);
        fifos[i] = open(gates[i], O_RDWR | O_CLOEXEC);
    }
    start(&server, ARGS(textf("TEST_GATE=%s", gates[0]), textf("TEST_LOAD_GATE=%s", gates[1])));
    const int fd = client(server.endpoint);
    cr_assert_eq(send_all(fd, "Wx", 2), 0);
    assert_line(server.rpd, "test: waits at the gate");
    process_signal(server.rpd, SIGTERM);
    poll(NULL, 0, 50);
    cr_assert_eq(write(fifos[1], "x", 1), 1);
    poll(NULL, 0, 100); /* the rest of the worker takes microseconds */
    cr_assert_eq(write(fifos[0], "x", 1), 1);
    assert_ends(server.rpd, 0);
    close(fd);
    for (size_t i = 0; i < 2; i++) {
        close(fifos[i]);
        unlink(gates[i]);
    }
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* Asking one thread where it is takes the loop some time; asking five at once would be a stall. */
Test(attacks, loads_hang_at_once_and_do_not_answer)
{
    struct server server = prepare_with("\"workers\":8,\"stall_s\":1,\"drain_s\":0,",
                                        "\"no_progress_s\":1,\"on_load_failure\":\"degraded\",",
                                        "\"load\":\"deaf\",\"parts\":8");

    start(&server, NULL);
    cr_assert_eq(process_wait_lines(server.rpd, "no progress for 1 s; its worker is in", 8), 0,
                 "%s", process_stderr(server.rpd));
    assert_text(ask_once(server.echo, "me"), "me", server.rpd);
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* It occupies the only worker. */
Test(attacks, optional_part_that_never_returns)
{
    struct server server = prepare_with("\"workers\":1,\"drain_s\":0,", "\"no_progress_s\":1,",
                                        "\"mode\":\"log\",\"load\":\"optional\",\"parts\":2");

    start(&server, NULL);
    assert_line(server.rpd, "going on without it");
    assert_line(server.rpd, "rpd: attacks: ready, degraded");
    assert_text(ask_once(server.endpoint, "x"), "ok", server.rpd);
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* ---- clients of a service that warms ---- */

/* The clients have sent requests, and see the end of file, not a reset, whether or not they were
 * accepted already. */
Test(attacks, stop_while_it_warms_resets_nobody)
{
    static const char *const policies[] = {"hold", "backlog"};

    for (size_t i = 0; i < 2; i++) {
        struct server server = prepare_with("", textf("\"warmup\":\"%s\",", policies[i]),
                                            "\"load\":\"long\"");

        start(&server, NULL);
        const int fds[] = {client(server.endpoint), client(server.tcp), client(server.endpoint)};
        for (size_t k = 0; k < 2; k++)
            cr_assert_eq(send_all(fds[k], "question\n", 9), 0);
        assert_text(ask_once(server.echo, "me"), "me", server.rpd);
        end_server(&server);
        for (size_t k = 0; k < 3; k++) {
            assert_eof(fds[k]);
            close(fds[k]);
        }
    }
}

/* The queue belongs to a socket that no client can find any more. */
Test(attacks, socket_removed_while_its_queue_waits)
{
    struct server server = prepare_with("", "\"warmup\":\"backlog\",",
                                        "\"mode\":\"log\",\"parts\":1");
    const char *gate = textf("%s/gate", server.dir), *path;

    cr_assert_eq(mkfifo(gate, 0600), 0);
    const int fifo = open(gate, O_RDWR | O_CLOEXEC);
    start(&server, ARGS(textf("TEST_GATE=%s", gate)));
    const int before = client(server.endpoint);
    path = server.endpoint + strlen("unix:");
    cr_assert_eq(unlink(path), 0);
    assert_line(server.rpd, "was removed");
    const int after = client(server.endpoint);
    cr_assert_eq(write(fifo, "x", 1), 1);
    assert_text(ask(before, "x"), "ok", server.rpd);
    assert_text(ask(after, "x"), "ok", server.rpd);
    close(before);
    close(after);
    close(fifo);
    unlink(gate);
    end_server(&server);
}

/* ---- an idle exit ---- */

static void start_idle(struct server *server, const char *const *env)
{
    server->dir = temp_dir_make();
    server->endpoint = textf("unix:%s/x.sock", server->dir);
    write_text(textf("%s/c.json", server->dir),
               textf("{\"services\":[{\"plugin\":\"echo.so\",\"listen\":[\"%s\","
                     "\"tcp:127.0.0.1:0\"],\"idle_exit_s\":1}]}",
                     server->endpoint));
    server->rpd = process_start(
        &(struct process_options){.argv = ARGS("rpd", "-c", textf("%s/c.json", server->dir)),
                                  .env = env,
                                  .runtime_dir = textf("%s/run", server->dir),
                                  .notify = true});
    assert_bound(server->rpd);
    assert_line(server->rpd, "rpd: echo: ready ");
    server->tcp = process_endpoint(server->rpd, "tcp:");
}

/* A client that waits for a descriptor counts as a client. */
Test(attacks, idle_exit_without_descriptors)
{
    const char *dir = temp_dir_make(), *file = textf("%s/fail", dir);
    struct server server = {0};

    write_text(file, "");
    start_idle(&server,
               ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/accept_errors.so")),
                    textf("TEST_ACCEPT_ERROR=%d", EMFILE), textf("TEST_ACCEPT_FILE=%s", file)));
    const int fd = client(server.endpoint);
    assert_line(server.rpd, "cannot accept clients");
    process_poll(&server.rpd, 1, 0);
    for (const int64_t end = now_ns() + INT64_C(2000000000); now_ns() < end;)
        poll(NULL, 0, 50);
    unlink(file);
    assert_text(ask(fd, "me"), "me", server.rpd);
    close(fd);
    process_free(server.rpd);
    temp_dir_remove(server.dir);
    temp_dir_remove(dir);
}

/* Another process takes the path while it is hidden. The daemon cancels the exit, and does not take
 * the path back. */
Test(attacks, path_taken_during_an_idle_exit)
{
    struct server server = {0};
    struct stat before = {0}, after = {0};

    start_idle(&server, NULL);
    const char *path = server.endpoint + strlen("unix:");
    while (exists(path))
        poll(NULL, 0, 1);
    const int other = listen_at(path, SOCK_STREAM, 8);
    const int fd = connect_to(server.tcp);
    stat(path, &before);
    const int code = process_code(process_wait_exit(server.rpd));
    /* 0 if the test was late and the daemon has stopped. */
    cr_assert(code == 75 || code == 0, "exit code %d\n%s", code, process_stderr(server.rpd));
    cr_assert_geq(other, 0);
    cr_assert(stat(path, &after) == 0 && after.st_ino == before.st_ino, "%s",
              process_stderr(server.rpd));
    close(fd);
    close(other);
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* ---- configuration ---- */

Test(attacks, socket_called_like_the_record)
{
    const char *dir = temp_dir_make();
    const char *endpoints[] = {"unix:echo.json", textf("unix:%s/echo.json", dir)};

    for (size_t i = 0; i < 2; i++) {
        struct process *rpd = RPD_START(dir, "echo.so", "-l", endpoints[i]);
        assert_ends(rpd, 78);
        process_free(rpd);
        assert_empty(dir);
    }
}

/* Both the start and the check refuse this with 78. */
static void check_listed_twice(const char *dir, const char *endpoint, const char *between)
{
    const char *config = textf("%s/c.json", dir);

    write_text(config,
               textf("{\"services\":[{\"plugin\":\"echo.so\",\"listen\":[\"%s\"%s\"%s\"]}]}",
                     endpoint, between, endpoint));
    for (int test = 0; test < 2; test++) {
        const char *const start_it[] = {"rpd", "-c", config, NULL};
        const char *const test_it[] = {"rpd", "-t", "-c", config, NULL};
        struct process *rpd = process_start(
            &(struct process_options){.argv = test ? test_it : start_it,
                                      .runtime_dir = textf("%s/run", dir),
                                      .notify = true});
        if (process_wait_bound(rpd) == 0)
            process_stop(rpd);
        const int code = process_code(process_wait_exit(rpd));
        const char *said = process_stderr(rpd);
        cr_assert_eq(code, 78, "%s%s: exit code %d:\n%s", endpoint, test ? ", -t" : "", code, said);
        cr_assert(strstr(said, "listed twice"), "%s%s: %s", endpoint, test ? ", -t" : "", said);
        process_free(rpd);
    }
}

Test(attacks, listed_twice)
{
    const char *dir = temp_dir_make();
    const char *const endpoints[] = {textf("unix:%s/x.sock", dir), "unix:x.sock",
                                     textf("unix:@%s/x", dir), "tcp:127.0.0.1:47999",
                                     "tcp:[::1]:47999"};

    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        check_listed_twice(dir, endpoints[i], ",");
        check_listed_twice(dir, endpoints[i],
                           "]},{\"name\":\"b\",\"plugin\":\"echo.so\",\"listen\":[");
    }
}

/* ---- order ---- */

/* The signal comes when the daemon opens its configuration, which takes it a while to read: its
 * handlers must be installed by then. */
Test(attacks, stop_while_the_configuration_is_read)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const size_t size = 1000000; /* 1 MiB is the most */
    char *filler = malloc(size + 1);

    memset(filler, 'x', size);
    filler[size] = '\0';
    write_text(config,
               textf("{\"services\":[{\"plugin\":\"echo.so\",\"x-filler\":\"%s\"}]}", filler));
    free(filler);
    for (int i = 0; i < 20; i++) {
        struct pollfd watch = {.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
        cr_assert_geq(inotify_add_watch(watch.fd, config, IN_OPEN), 0, "%s", strerror(errno));
        struct process *rpd = process_start(&(struct process_options){
            .argv = ARGS("rpd", "-c", config), .runtime_dir = textf("%s/run", dir)});
        cr_assert_eq(poll(&watch, 1, 20000), 1, "it was not opened: %s", process_stderr(rpd));
        assert_stops(rpd);
        process_free(rpd);
        close(watch.fd);
    }
    /* No file, if none of them got far enough to make it. */
    if (exists(textf("%s/run", dir)))
        assert_empty(textf("%s/run", dir));
}

Test(attacks, jobs_go_before_parts_of_loads)
{
    const char *dir = temp_dir_make(), *config = textf("%s/c.json", dir);
    const char *talk = textf("unix:%s/talk.sock", dir), *slow = textf("unix:%s/slow.sock", dir);

    write_text(config, textf("{\"workers\":1,\"services\":["
                             "{\"name\":\"talk\",\"plugin\":\"%s\",\"listen\":[\"%s\"]},"
                             "{\"name\":\"slow\",\"plugin\":\"%s\",\"listen\":[\"%s\"],"
                             "\"options\":{\"mode\":\"log\",\"parts\":50,\"part_ms\":50}}]}",
                             test_plugin("talk"), talk, test_plugin("attacks"), slow));
    struct process *rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", "-c", config), .runtime_dir = textf("%s/run", dir), .notify = true});

    assert_bound(rpd);
    assert_line(rpd, "rpd: talk: ready ");
    for (int i = 0; i < 3; i++)
        assert_text(ask_once(talk, "job 5 done"), "done", rpd);
    process_poll(&rpd, 1, 0);
    cr_assert(!strstr(process_stderr(rpd), "rpd: slow: ready "), "the job waited for the load:\n%s",
              process_stderr(rpd));
    assert_text(ask_once(slow, "x"), "ok", rpd);
    assert_line(rpd, "rpd: slow: ready ");
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}
