/* Connections, jobs, holding, draining and loading in parts, as clients see them. plugins/talk.c
 * does what its clients ask; at its end it reports whether all jobs and connections that began have
 * ended. */
#include "common.h"

#include <netinet/in.h>
#include <sys/resource.h>

struct server {
    const char *dir, *endpoint, *tcp;
    struct process *rpd;
};

static struct server serve(const char *plugin, const char *top, const char *more)
{
    struct server server = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", server.dir);

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    write_text(config, textf("{%s\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\","
                             "\"tcp:127.0.0.1:0\"]%s}]}",
                             top, plugin, server.endpoint, more));
    server.rpd = RPD_START(textf("%s/run", server.dir), "-c", config);
    assert_bound(server.rpd);
    assert_line(server.rpd, ": bound ");
    server.tcp = process_endpoint(server.rpd, "tcp:");
    return server;
}

static struct server serve_echo(void)
{
    return serve("echo.so", "", "");
}

static struct server serve_talk(void)
{
    return serve(test_plugin("talk"), "", "");
}

static void end_server(struct server *server)
{
    assert_stops(server->rpd);
    const char *text = process_stderr(server->rpd);
    cr_assert(!strstr(text, "WRONG") && !strstr(text, "NOT BALANCED"), "%s", text);
    cr_assert_str_eq(listing(server->dir), textf("%s/c.json\n%s/run/\n", server->dir, server->dir),
                     "%s", listing(server->dir));
    process_free(server->rpd);
    temp_dir_remove(server->dir);
}

#define assert_next(fd, wanted, server)                                                            \
    do {                                                                                           \
        char next_[512];                                                                           \
        const ssize_t got_ = read_line(fd, next_, sizeof next_);                                   \
        cr_assert(got_ > 0 && strcmp(next_, wanted "\n") == 0,                                     \
                  "\"%s\" instead of \"%s\" (%s)\n%s", next_, wanted,                              \
                  got_ < 0 ? strerror(errno) : "", process_stderr((server)->rpd));                 \
    } while (0)

static void fill(char *data, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345u;
        data[i] = (char)(seed >> 16);
    }
}

/* ---- bytes ---- */

static void check_half_close(const char *endpoint, struct server *server)
{
    char answer[64];
    const int fd = client(endpoint);

    cr_assert_eq(send_all(fd, "question", 8), 0);
    shutdown(fd, SHUT_WR);
    cr_assert_eq(read_to_end(fd, answer, sizeof answer), 8, "%s", process_stderr(server->rpd));
    cr_assert_str_eq(answer, "question");
    close(fd);
}

Test(connections, half_close_is_answered)
{
    struct server server = serve_echo();

    check_half_close(server.endpoint, &server);
    check_half_close(server.tcp, &server);
    end_server(&server);
}

/* The end of input is reported once; output written after it still arrives. */
Test(connections, end_of_input_is_told)
{
    struct server server = serve_talk();
    char answer[64];
    const int fd = client(server.endpoint);

    tell(fd, "ended goodbye");
    shutdown(fd, SHUT_WR);
    cr_assert_eq(read_to_end(fd, answer, sizeof answer), 8, "%s", process_stderr(server.rpd));
    cr_assert_str_eq(answer, "goodbye\n");
    close(fd);
    end_server(&server);
}

Test(connections, half_close_waits_for_the_job)
{
    struct server server = serve_talk();
    char answer[64];
    const int fd = client(server.endpoint);

    tell(fd, "job 100 late");
    shutdown(fd, SHUT_WR);
    cr_assert_eq(read_to_end(fd, answer, sizeof answer), 5, "%s", process_stderr(server.rpd));
    cr_assert_str_eq(answer, "late\n");
    close(fd);
    end_server(&server);
}

/* The same with the connection paused until its job is done. */
Test(connections, half_close_while_paused)
{
    struct server server = serve_talk();
    char answer[64];
    const int fd = client(server.endpoint);

    tell(fd, "ordered 100 late");
    tell(fd, "echo after");
    shutdown(fd, SHUT_WR);
    cr_assert_eq(read_to_end(fd, answer, sizeof answer), 11, "%s", answer);
    cr_assert_str_eq(answer, "late\nafter\n");
    close(fd);
    end_server(&server);
}

Test(connections, every_split_gives_the_same_bytes)
{
    static const char request[] = "echo one\necho two two\r\nid\n\necho three\n";
    static const char wanted[] = "what is ?\nthree\n";
    struct server server = serve_talk();

    for (size_t split = 0; split <= sizeof request - 1; split++) {
        char answer[128];
        const int fd = client(server.endpoint);
        cr_assert_eq(send_all(fd, request, split), 0);
        /* An answer to another client comes in between: the first piece was read. */
        if (split > 0)
            assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
        cr_assert_eq(send_all(fd, request + split, sizeof request - 1 - split), 0);
        shutdown(fd, SHUT_WR);
        read_to_end(fd, answer, sizeof answer);
        cr_assert_eq(strncmp(answer, "one\ntwo two\n", 12), 0, "split %zu: %s", split, answer);
        cr_assert(strstr(answer, wanted), "split %zu: %s", split, answer);
        close(fd);
    }
    end_server(&server);
}

Test(connections, one_byte_writes)
{
    struct server server = serve_talk();
    const int fd = client(server.tcp), one = 1;

    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
    for (int round = 0; round < 20; round++) {
        for (const char *at = "echo slowly but surely\n"; *at; at++)
            cr_assert_eq(send_all(fd, at, 1), 0);
        assert_next(fd, "slowly but surely", &server);
    }
    close(fd);
    end_server(&server);
}

Test(connections, pipelining)
{
    enum { LINES = 10000, ROOM = LINES * 16 };
    struct server server = serve_talk();
    char *request = malloc(ROOM), *answer = malloc(ROOM), *wanted = malloc(ROOM);
    size_t sent = 0, expected = 0;
    const int fd = client(server.endpoint);

    for (int i = 0; i < LINES; i++) {
        sent += (size_t)snprintf(request + sent, ROOM - sent, "echo %d\n", i);
        expected += (size_t)snprintf(wanted + expected, ROOM - expected, "%d\n", i);
    }
    cr_assert_eq(send_all(fd, request, sent), 0);
    cr_assert_eq(read_exactly(fd, answer, expected), (ssize_t)expected);
    cr_assert_eq(memcmp(answer, wanted, expected), 0);
    free(request);
    free(answer);
    free(wanted);
    close(fd);
    end_server(&server);
}

/* Writes everything, from a process of its own, so that the reader may be slow. */
static pid_t write_from_child(int fd, const char *data, size_t size)
{
    const pid_t pid = fork();

    if (pid == 0)
        _exit(send_all(fd, data, size) == 0 && shutdown(fd, SHUT_WR) == 0 ? 0 : 1);
    return pid;
}

static void check_large_message(const char *endpoint, int receive_buffer)
{
    enum { SIZE = 5 << 20 };
    char *data = malloc(SIZE), *answer = malloc(SIZE);
    const int fd = client(endpoint);
    int status;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    fill(data, SIZE, 7);
    const pid_t writer = write_from_child(fd, data, SIZE);
    for (size_t done = 0; done < SIZE;) {
        const size_t piece = SIZE - done < 3001 ? SIZE - done : 3001;
        cr_assert_eq(read_exactly(fd, answer + done, piece), (ssize_t)piece, "at %zu: %s", done,
                     strerror(errno));
        done += piece;
    }
    cr_assert_eq(memcmp(data, answer, SIZE), 0);
    assert_eof(fd);
    waitpid(writer, &status, 0);
    cr_assert_eq(status, 0);
    close(fd);
    free(data);
    free(answer);
}

Test(connections, large_message_and_a_slow_reader)
{
    struct server server = serve_echo();

    check_large_message(server.endpoint, 65536);
    check_large_message(server.tcp, 65536);
    end_server(&server);
}

/* ---- bounds ---- */

/* Sends until the socket takes no more. Returns how much that was. */
static size_t send_what_it_takes(int fd, size_t most)
{
    static char block[65536];
    size_t sent = 0;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (sent < most) {
        const ssize_t got = send(fd, block, sizeof block, MSG_NOSIGNAL);
        struct pollfd writable = {.fd = fd, .events = POLLOUT};
        if (got > 0)
            sent += (size_t)got;
        else if (poll(&writable, 1, 500) == 0)
            break;
        else if (got < 0 && errno != EAGAIN)
            break;
    }
    return sent;
}

Test(connections, who_never_reads_is_no_longer_read)
{
    struct server server = serve_echo();
    const int other = client(server.endpoint);
    int flooders[4];

    assert_text(ask(other, "before"), "before", server.rpd);
    const long before = rss_kib(process_pid(server.rpd));
    for (size_t i = 0; i < 4; i++) {
        flooders[i] = client(i % 2 ? server.tcp : server.endpoint);
        const size_t taken = send_what_it_takes(flooders[i], 50 << 20);
        cr_assert_lt(taken, 50 << 20, "all of it was read");
        assert_text(ask(other, "meanwhile"), "meanwhile", server.rpd);
    }
    const long grown = rss_kib(process_pid(server.rpd)) - before;
    if (!is_sanitized())
        cr_assert_lt(grown, 20 * 1024, "%ld KiB", grown);
    const int64_t cpu = cpu_time_ns(process_pid(server.rpd));
    assert_text(ask(other, "after"), "after", server.rpd);
    /* The daemon does not spin on them, either. */
    poll(NULL, 0, 300);
    const int64_t burnt = cpu_time_ns(process_pid(server.rpd)) - cpu;
    cr_assert_lt(burnt, 100000000, "%ld ms", (long)(burnt / 1000000));
    for (size_t i = 0; i < 4; i++)
        close(flooders[i]);
    close(other);
    end_server(&server);
}

/* ... and the client is read again as soon as it reads. */
Test(connections, who_reads_again_is_read_again)
{
    struct server server = serve_echo();
    const int fd = client(server.endpoint);
    const size_t taken = send_what_it_takes(fd, 50 << 20);
    char *block = malloc(taken);

    fcntl(fd, F_SETFL, 0);
    cr_assert_gt(taken, 256 * 1024);
    cr_assert_eq(read_exactly(fd, block, taken), (ssize_t)taken, "%s", strerror(errno));
    cr_assert_eq(send_all(fd, "more", 4), 0);
    cr_assert_eq(read_exactly(fd, block, 4), 4);
    cr_assert_eq(memcmp(block, "more", 4), 0);
    /* No output waits any more: the daemon stops polling for room to send. */
    const int64_t cpu = cpu_time_ns(process_pid(server.rpd));
    poll(NULL, 0, 300);
    const int64_t burnt = cpu_time_ns(process_pid(server.rpd)) - cpu;
    cr_assert_lt(burnt, 100000000, "%ld ms", (long)(burnt / 1000000));
    free(block);
    close(fd);
    end_server(&server);
}

Test(connections, output_beyond_16_mib_closes)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint), other = client(server.endpoint);
    char block[65536];
    size_t got = 0;
    ssize_t size;

    tell(fd, "big 40000000");
    /* All output has been written when another client is answered; none was read. */
    assert_text(ask(other, "echo me"), "me", server.rpd);
    while ((size = read(fd, block, sizeof block)) > 0)
        got += (size_t)size;
    cr_assert_lt(got, 40000000, "all of it was sent");
    assert_text(ask(other, "echo me"), "me", server.rpd);
    close(fd);
    close(other);
    end_server(&server);
}

Test(connections, output_below_16_mib_arrives)
{
    enum { SIZE = 15000000 };
    struct server server = serve_talk();
    const int fd = client(server.endpoint), other = client(server.endpoint);
    char *data = malloc(SIZE + 1);

    tell(fd, textf("big %d", SIZE));
    cr_assert_eq(read_exactly(fd, data, SIZE + 1), SIZE + 1, "%s", strerror(errno));
    cr_assert_eq(data[SIZE], '\n');
    /* The output fell below the mark on the way: on_writable came once. */
    assert_text(ask(other, "writables"), "1", server.rpd);
    free(data);
    close(fd);
    close(other);
    end_server(&server);
}

/* ---- finish and abort ---- */

static void check_finish(const char *endpoint, int size, struct server *server)
{
    char *data = malloc((size_t)size + 1);
    const int fd = client(endpoint);
    static char unread[200000];

    tell(fd, textf("finish %d", size));
    /* Input that the backend will not read: a plain close would reset the answer. */
    fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)!send(fd, unread, sizeof unread, MSG_NOSIGNAL);
    fcntl(fd, F_SETFL, 0);
    const ssize_t got = read_exactly(fd, data, (size_t)size);
    cr_assert_eq(got, size, "%s, %d: %zd: %s\n%s", endpoint, size, got, strerror(errno),
                 process_stderr(server->rpd));
    assert_eof(fd);
    close(fd);
    free(data);
}

Test(connections, finish_delivers_everything)
{
    struct server server = serve_talk();
    static const int sizes[] = {10, 70000, 3000000};

    for (size_t i = 0; i < 3; i++) {
        check_finish(server.endpoint, sizes[i], &server);
        check_finish(server.tcp, sizes[i], &server);
    }
    end_server(&server);
}

Test(connections, finish_of_another)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint), other = client(server.endpoint);
    const char *id = textf("%s", ask(fd, "id"));

    assert_text(ask(other, textf("finish_other %s", id)), "ok", server.rpd);
    assert_eof(fd);
    close(fd);
    close(other);
    end_server(&server);
}

Test(connections, finish_and_a_job_that_answers)
{
    struct server server = serve_talk();
    char answer[64];
    const int fd = client(server.endpoint);

    /* finish closes when all output is sent: it does not wait for the job. */
    cr_assert_eq(send_all(fd, "job 50 late\nfinish 3\n", 21), 0);
    read_to_end(fd, answer, sizeof answer);
    cr_assert_eq(strncmp(answer, "abc", 3), 0, "%s", answer);
    close(fd);
    end_server(&server);
}

Test(connections, abort_from_its_own_callback)
{
    struct server server = serve_talk();
    char byte;

    for (int i = 0; i < 2; i++) {
        const int fd = client(i ? server.tcp : server.endpoint);
        tell(fd, "abort");
        cr_assert_leq(read_exactly(fd, &byte, 1), 0);
        close(fd);
    }
    end_server(&server);
}

Test(connections, abort_from_anothers_callback)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint), other = client(server.endpoint);
    const char *id = textf("%s", ask(fd, "id"));
    char byte;

    /* Its on_close has run when abort returns. */
    assert_text(ask(other, textf("abort_other %s", id)), "aborted 1", server.rpd);
    cr_assert_leq(read_exactly(fd, &byte, 1), 0);
    close(fd);
    close(other);
    end_server(&server);
}

Test(connections, abort_of_many_while_they_flood)
{
    struct server server = serve_talk();
    int fds[20];
    const char *ids[20];

    for (size_t i = 0; i < 20; i++) {
        fds[i] = client(server.endpoint);
        ids[i] = textf("%s", ask(fds[i], "id"));
    }
    process_signal(server.rpd, SIGSTOP);
    /* All are readable in the same turn; each would abort its neighbour. */
    for (size_t i = 0; i < 20; i++) {
        const char *text = textf("abort_other %s\necho still\n", ids[(i + 1) % 20]);
        cr_assert_eq(send_all(fds[i], text, strlen(text)), 0);
    }
    process_signal(server.rpd, SIGCONT);
    const int probe = client(server.endpoint);
    assert_text(ask(probe, "echo alive"), "alive", server.rpd);
    for (size_t i = 0; i < 20; i++)
        close(fds[i]);
    close(probe);
    end_server(&server);
}

Test(connections, abort_from_a_timer)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint), other = client(server.endpoint);
    const char *id = textf("%s", ask(fd, "id"));
    char byte;

    assert_text(ask(other, textf("abort_timer %s", id)), "ok", server.rpd);
    cr_assert_leq(read_exactly(fd, &byte, 1), 0);
    assert_text(ask(other, "count"), "1 2 1", server.rpd);
    close(fd);
    close(other);
    end_server(&server);
}

Test(connections, write_from_anothers_callback)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint), other = client(server.endpoint);
    const char *id = textf("%s", ask(fd, "id"));

    assert_text(ask(other, textf("later %s hello there", id)), "0", server.rpd);
    assert_next(fd, "hello there", &server);
    close(fd);
    close(other);
    end_server(&server);
}

/* ---- keep, pause ---- */

Test(connections, kept_while_the_client_goes)
{
    struct server server = serve_talk();
    const int other = client(server.endpoint);

    for (int i = 0; i < 10; i++) {
        const int fd = client(i % 2 ? server.tcp : server.endpoint);
        const struct linger reset = {.l_onoff = 1, .l_linger = 0};
        assert_text(ask(fd, "echo here"), "here", server.rpd);
        tell(fd, "job 50 to no client");
        if (i % 3 == 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    tell(other, "job 200 last");
    assert_next(other, "last", &server);
    close(other);
    end_server(&server);
    /* end_server has checked that nothing was written to closed clients, and that all jobs and
     * connections ended. */
}

Test(connections, pause_keeps_answers_in_order)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint);

    tell(fd, "ordered 30 one\necho two\nordered 10 three\necho four");
    assert_next(fd, "one", &server);
    assert_next(fd, "two", &server);
    assert_next(fd, "three", &server);
    assert_next(fd, "four", &server);
    close(fd);
    end_server(&server);
}

Test(connections, resume_from_anothers_callback)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint), other = client(server.endpoint);
    const char *id = textf("%s", ask(fd, "id"));

    cr_assert_eq(send_all(fd, "pause\necho later\n", 17), 0);
    assert_text(ask(other, "echo x"), "x", server.rpd);
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&readable, 1, 0), 0, "a paused connection was answered");
    assert_text(ask(other, textf("resume_other %s", id)), "ok", server.rpd);
    assert_next(fd, "later", &server);
    /* Paused again, with input that only comes now. */
    tell(fd, "pause");
    assert_text(ask(other, "echo x"), "x", server.rpd);
    tell(fd, "echo at last");
    assert_text(ask(other, textf("resume_other %s", id)), "ok", server.rpd);
    assert_next(fd, "at last", &server);
    close(fd);
    close(other);
    end_server(&server);
}

/* A job's answer and a resume, in both orders: the next request is read, and then the end. */
Test(connections, answers_from_jobs)
{
    struct server server = serve_talk();
    const int other = client(server.endpoint);

    for (int round = 0; round < 20; round++) {
        const int fd = client(round % 4 < 2 ? server.endpoint : server.tcp);
        for (int i = 0; i < 3; i++)
            assert_text(ask(fd, round % 2 ? "get 0 resume_first" : "get 0 x"), "", server.rpd);
        close(fd);
    }
    const int64_t deadline = now_ns() + INT64_C(10000000000);
    const char *answer;
    do
        answer = ask(other, "count");
    while (answer && strcmp(answer, "1 21 20") != 0 && now_ns() < deadline);
    assert_text(answer, "1 21 20", server.rpd);
    close(other);
    end_server(&server);
}

/* A job writes more than a socket holds, and then as much goes in the other direction. */
static pid_t get_and_put(const char *endpoint, int rounds)
{
    enum { SIZE = 270 * 1024 };
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    char *data = malloc(SIZE + 64), answer[64];
    const int fd = connect_to(endpoint);
    for (int i = 0; i < rounds; i++) {
        const char *get = textf("get %d %s\n", SIZE, i % 2 ? "resume_first" : "x");
        if (send_all(fd, get, strlen(get)) < 0 || read_exactly(fd, data, SIZE + 1) != SIZE + 1 ||
            data[SIZE] != '\n')
            _exit(1);
        memset(data, 'x', SIZE);
        memcpy(data, "put ", 4);
        data[SIZE - 1] = '\n';
        if (send_all(fd, data, SIZE) < 0 || read_line(fd, answer, sizeof answer) < 0 ||
            atoi(answer) != SIZE - 1)
            _exit(2);
    }
    _exit(0);
}

Test(connections, large_answers_from_jobs_to_many)
{
    enum { CLIENTS = 24, ROUNDS = 10 };
    struct server server = serve_talk();
    pid_t pids[CLIENTS];

    for (int i = 0; i < CLIENTS; i++)
        pids[i] = get_and_put(server.endpoint, ROUNDS);
    for (int i = 0; i < CLIENTS; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        cr_expect_eq(status, 0, "client %d: %x", i, (unsigned)status);
    }
    end_server(&server);
}

/* ---- many ---- */

Test(connections, a_thousand_leave_no_descriptor)
{
    struct server server = serve_talk();
    const int first = client(server.endpoint);

    assert_text(ask(first, "echo x"), "x", server.rpd);
    const int before = count_fds(process_pid(server.rpd));
    for (int i = 0; i < 1000; i++) {
        static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
        const int fd = client(i % 2 ? server.tcp : server.endpoint);
        switch (i % 5) {
        case 0: /* sends nothing */ break;
        case 1: assert_text(ask(fd, "echo x"), "x", server.rpd); break;
        case 2: /* leaves in the middle of a line, by a reset */
            send_all(fd, "echo ha", 7);
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            break;
        case 3: /* leaves before its answer */ tell(fd, "big 300000"); break;
        case 4: tell(fd, "finish 10"); break;
        }
        close(fd);
    }
    /* All have been noticed as gone when the remaining client hears so. */
    const int64_t deadline = now_ns() + 10000000000;
    const char *answer;
    do
        answer = ask(first, "count");
    while (answer && strcmp(answer, "1 1001 1000") != 0 && now_ns() < deadline);
    assert_text(answer, "1 1001 1000", server.rpd);
    /* Lingering connections close at once, because their clients have gone. */
    int after;
    while ((after = count_fds(process_pid(server.rpd))) != before && now_ns() < deadline)
        poll(NULL, 0, 1);
    cr_assert_eq(after, before, "%d descriptors, %d before", after, before);
    close(first);
    end_server(&server);
}

Test(connections, five_hundred_at_once)
{
    enum { COUNT = 500 };
    struct server server = serve_echo();
    int fds[COUNT];

    for (int i = 0; i < COUNT; i++) {
        fds[i] = client(i % 2 ? server.tcp : server.endpoint);
        tell(fds[i], textf("hello %d", i));
    }
    for (int i = COUNT; i-- > 0;) {
        char line[64];
        cr_assert_gt(read_line(fds[i], line, sizeof line), 0);
        cr_assert_str_eq(line, textf("hello %d\n", i));
    }
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    end_server(&server);
}

Test(connections, reset_in_the_middle)
{
    struct server server = serve_echo();
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    static char block[300000];

    for (int i = 0; i < 50; i++) {
        const int fd = client(server.tcp);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        (void)!send(fd, block, (size_t)(i * 5000 + 1), MSG_NOSIGNAL);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    assert_text(ask_once(server.endpoint, "alive"), "alive", server.rpd);
    end_server(&server);
}

/* ---- held ---- */

/* talk has no load; parts has one, and answers when all parts are there. A part that hangs keeps
 * clients held until the daemon stops; a gate releases them. */
static struct server serve_gated(const char **ret_gate)
{
    struct server server = {.dir = temp_dir_make()};

    *ret_gate = textf("%s/gate", server.dir);
    server.endpoint = textf("unix:%s/x.sock", server.dir);
    mkfifo(*ret_gate, 0600);
    server.rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", test_plugin("misbehave"), "-l", server.endpoint, "-l",
                     "tcp:127.0.0.1:0", "-o", "load=gate"),
        .runtime_dir = textf("%s/run", server.dir),
        .notify = true,
        .env = ARGS(textf("TEST_GATE=%s", *ret_gate))});
    assert_bound(server.rpd);
    assert_line(server.rpd, "waits at the gate");
    server.tcp = process_endpoint(server.rpd, "tcp:");
    return server;
}

static void open_gate(const char *gate)
{
    const int fd = open(gate, O_WRONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    close(fd);
}

Test(connections, held_clients)
{
    const char *gate;
    struct server server = serve_gated(&gate);
    const int fds_before = count_fds(process_pid(server.rpd));
    const int early = client(server.endpoint), early_tcp = client(server.tcp);
    const int half = client(server.endpoint), half_tcp = client(server.tcp);
    const int silent = client(server.endpoint), silent_tcp = client(server.tcp);
    const int leaver = client(server.endpoint), leaver_tcp = client(server.tcp);
    const int waiter = client(server.endpoint);
    char text[64];

    tell(early, "early bytes");
    tell(early_tcp, "early bytes");
    tell(half, "half a close");
    shutdown(half, SHUT_WR);
    tell(half_tcp, "half a close");
    shutdown(half_tcp, SHUT_WR);
    tell(leaver, "I leave");
    close(leaver);
    close(leaver_tcp);
    /* The client ends its input without a request: it is dropped, and sees that at once. */
    shutdown(silent, SHUT_WR);
    shutdown(silent_tcp, SHUT_WR);
    assert_eof(silent);
    assert_eof(silent_tcp);
    /* Dropped clients cost no descriptor while the load continues. One descriptor is the epoll set
     * that watches the held clients. */
    const int64_t deadline = now_ns() + 20000000000;
    int held;
    while ((held = count_fds(process_pid(server.rpd)) - fds_before - 1) != 5 && now_ns() < deadline)
        poll(NULL, 0, 1);
    cr_assert_eq(held, 5, "%d clients are held", held);

    open_gate(gate);
    assert_line(server.rpd, ": ready ");
    assert_next(early, "early bytes", &server);
    assert_next(early_tcp, "early bytes", &server);
    cr_assert_eq(read_to_end(half, text, sizeof text), 13, "%s", strerror(errno));
    cr_assert_eq(read_to_end(half_tcp, text, sizeof text), 13, "%s", strerror(errno));
    assert_text(ask(waiter, "patient"), "patient", server.rpd);
    assert_stops(server.rpd);
}

Test(connections, held_clients_cost_no_cpu)
{
    const char *gate;
    struct server server = serve_gated(&gate);
    int fds[100];
    static char block[100000];

    for (size_t i = 0; i < 100; i++) {
        fds[i] = client(server.endpoint);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        (void)!send(fds[i], block, sizeof block, MSG_NOSIGNAL);
        if (i % 2)
            shutdown(fds[i], SHUT_WR);
    }
    /* A loop that is kept awake gets as much of a busy machine as this one. */
    const int64_t before = cpu_time_ns(process_pid(server.rpd)), own = cpu_time_ns(getpid());
    while (cpu_time_ns(getpid()) - own < 200000000)
        continue;
    const int64_t burnt = cpu_time_ns(process_pid(server.rpd)) - before;
    cr_assert_lt(burnt, 70000000, "%ld ms", (long)(burnt / 1000000));
    for (size_t i = 0; i < 100; i++)
        close(fds[i]);
    open_gate(gate);
    assert_line(server.rpd, ": ready ");
    assert_stops(server.rpd);
}

/* ---- drain ---- */

Test(connections, drain_answers_what_is_in_flight)
{
    struct server server = serve_talk();
    const int busy = client(server.endpoint), idle = client(server.endpoint);
    const int ordered = client(server.tcp);
    char text[64];

    assert_text(ask(idle, "echo x"), "x", server.rpd);
    assert_text(ask(busy, "echo x"), "x", server.rpd);
    assert_text(ask(ordered, "echo x"), "x", server.rpd);
    tell(busy, "job 300 in flight");
    tell(ordered, "ordered 300 in order\necho and after");
    assert_text(ask(idle, "echo x"), "x", server.rpd);
    process_signal(server.rpd, SIGTERM);
    const int64_t before = now_ns();
    assert_eof(idle);
    cr_assert_lt(now_ns() - before, 250000000, "an idle client was kept");
    cr_assert_eq(read_to_end(busy, text, sizeof text), 10, "%s", text);
    cr_assert_str_eq(text, "in flight\n");
    cr_assert_eq(read_to_end(ordered, text, sizeof text), 19, "%s", text);
    assert_ends(server.rpd, 0);
    cr_assert(strstr(process_stderr(server.rpd), "test: balanced"), "%s",
              process_stderr(server.rpd));
}

/* A request that came before SIGTERM is in flight, even if it waits in the kernel behind a job that
 * paused its connection. */
Test(connections, drain_answers_what_waits_behind_a_pause)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint), other = client(server.endpoint);
    char text[64];

    tell(fd, "ordered 300 in order");
    assert_text(ask(other, "echo x"), "x", server.rpd);
    assert_text(ask(other, "echo x"), "x", server.rpd);
    tell(fd, "echo and after");
    process_signal(server.rpd, SIGTERM);
    read_to_end(fd, text, sizeof text);
    cr_assert_str_eq(text, "in order\nand after\n", "%s", text);
    assert_ends(server.rpd, 0);
}

Test(connections, drain_is_cut_off)
{
    struct server server = serve(test_plugin("talk"), "\"drain_s\":1,", "");
    const int partial = client(server.endpoint), kept = client(server.tcp);
    char byte;

    assert_text(ask(partial, "echo x"), "x", server.rpd);
    send_all(partial, "half a li", 9);
    tell(kept, "job 1000000 never");
    assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
    const int64_t before = now_ns();
    process_signal(server.rpd, SIGTERM);
    assert_ends(server.rpd, 0);
    const int64_t took = now_ns() - before;
    cr_assert(took > 900000000 && took < 2500000000, "%ld ms", (long)(took / 1000000));
    cr_assert_leq(read_exactly(partial, &byte, 1), 0);
    cr_assert(strstr(process_stderr(server.rpd), "drain_s has passed: 2 clients"), "%s",
              process_stderr(server.rpd));
    cr_assert(strstr(process_stderr(server.rpd), "test: balanced"), "%s",
              process_stderr(server.rpd));
}

Test(connections, drain_delivers_waiting_output)
{
    enum { SIZE = 2000000 };
    struct server server = serve_talk();
    const int fd = client(server.endpoint);
    char *data = malloc(SIZE + 1);

    tell(fd, textf("big %d", SIZE));
    assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
    process_signal(server.rpd, SIGTERM);
    assert_line(server.rpd, "stopping");
    cr_assert_eq(read_exactly(fd, data, SIZE + 1), SIZE + 1, "%s", strerror(errno));
    assert_eof(fd);
    assert_ends(server.rpd, 0);
    free(data);
}

/* ---- jobs ---- */

Test(connections, jobs_are_done_once)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint);
    int seen[300] = {0};

    for (int i = 0; i < 300; i++)
        tell(fd, textf("job %d %d", i % 3, i));
    for (int i = 0; i < 300; i++) {
        char line[64];
        cr_assert_gt(read_line(fd, line, sizeof line), 0, "after %d", i);
        seen[atoi(line)]++;
    }
    for (int i = 0; i < 300; i++)
        cr_assert_eq(seen[i], 1, "job %d: %d times", i, seen[i]);
    close(fd);
    end_server(&server);
}

/* Each of the 4 workers runs a job that does not end. Before that, a worker may take a job out of
 * the queue at any moment. */
static void occupy_workers(int fd, struct server *server)
{
    const int64_t deadline = now_ns() + INT64_C(60000000000);
    const char *running = NULL;

    assert_text(ask(fd, "flood 4"), "4", server->rpd);
    while ((running = ask(fd, "runs")) && strcmp(running, "4") != 0 && now_ns() < deadline)
        continue;
    assert_text(running, "4", server->rpd);
}

/* 4 workers run one job each, and 10,000 jobs wait; the others are refused. At the stop all
 * accepted jobs are done, as cancelled. */
Test(connections, job_queue_is_bounded)
{
    struct server server = serve_talk();
    const int fd = client(server.endpoint);

    occupy_workers(fd, &server);
    assert_text(ask(fd, "flood 9999"), "9999", server.rpd);
    assert_text(ask(fd, "flood 20000"), "1", server.rpd);
    assert_text(ask(fd, "job 1 x"), "busy", server.rpd);
    close(fd);
    const int64_t before = now_ns();
    assert_stops(server.rpd);
    cr_assert_lt(now_ns() - before, 3000000000);
    const char *text = process_stderr(server.rpd);
    cr_assert(strstr(text, "jobs accepted 10004, done 10004;"), "%s", text);
    cr_assert(strstr(text, "cancelled 10004, run "), "%s", text);
}

/* ---- loading in parts ---- */

Test(connections, parts_in_any_order)
{
    struct server server = serve(test_plugin("parts"), "",
                                 ",\"options\":{\"parts\":100,\"reverse\":true}");

    assert_line(server.rpd, ": ready ");
    const char *answer = ask_once(server.endpoint, "");
    cr_assert(answer && strncmp(answer, "100 4950 ", 9) == 0, "%s", answer);
    cr_assert_str_neq(answer, "100 4950 0", "the first part was attached first");
    const char *text = process_stderr(server.rpd);
    cr_assert(strstr(text, "test: ready with 100; states 1, parts 0"), "%s", text);
    end_server(&server);
}

Test(connections, no_parts_and_many)
{
    static const int counts[] = {0, 1, 20000};

    for (size_t i = 0; i < 3; i++) {
        struct server server = serve(test_plugin("parts"), "",
                                     textf(",\"options\":{\"parts\":%d}", counts[i]));
        assert_line(server.rpd, ": ready ");
        const char *answer = ask_once(server.endpoint, "");
        cr_assert(answer && atoi(answer) == counts[i], "%s", answer);
        assert_stops(server.rpd);
        cr_assert_eq(lines_with(process_stderr(server.rpd), "test: unloaded; states 0, parts 0"), 1,
                     "%s", process_stderr(server.rpd));
        process_free(server.rpd);
    }
}

Test(connections, failing_part_ends_the_process)
{
    const char *dir = temp_dir_make();
    struct process *rpd = RPD_START(dir, test_plugin("parts"), "-o", "failing=50", "-o",
                                    "parts=1000");

    assert_ends(rpd, 69);
    const char *text = process_stderr(rpd);
    cr_assert_eq(lines_with(text, "test: unloaded; states 0, parts 0"), 1, "%s", text);
    cr_assert_eq(lines_with(text, "unloaded"), 1, "%s", text);
    cr_assert(strstr(text, "part-50"), "%s", text);
    assert_empty(dir);
}

/* The part fails twice, and succeeds at the third try. Clients wait meanwhile, and the other loaded
 * parts stay. */
Test(connections, failing_part_is_tried_again)
{
    struct server server = serve(test_plugin("parts"), "",
                                 ",\"on_load_failure\":\"retry\",\"options\":"
                                 "{\"parts\":20,\"failing\":3,\"failures\":2}");
    const int fd = client(server.endpoint);

    tell(fd, "x");
    char line[64];
    cr_assert_gt(read_line(fd, line, sizeof line), 0, "%s", process_stderr(server.rpd));
    cr_assert_eq(atoi(line), 20, "%s", line);
    assert_line(server.rpd, ": ready ");
    const char *text = process_stderr(server.rpd);
    cr_assert_eq(lines_with(text, "load failed: "), 2, "%s", text);
    cr_assert_eq(lines_with(text, "unloaded"), 0, "%s", text);
    close(fd);
    end_server(&server);
}

Test(connections, stop_while_a_part_loads)
{
    struct server server = serve(test_plugin("parts"), "",
                                 ",\"options\":{\"parts\":20,\"hanging\":3}");
    assert_line(server.rpd, "a part hangs");
    const int64_t before = now_ns();
    assert_stops(server.rpd);
    cr_assert_lt(now_ns() - before, 1000000000);
    cr_assert_eq(lines_with(process_stderr(server.rpd), "test: unloaded; states 0, parts 0"), 1,
                 "%s", process_stderr(server.rpd));
}

Test(connections, stop_between_two_tries)
{
    struct server server = serve(test_plugin("parts"), "",
                                 ",\"on_load_failure\":\"retry\",\"options\":"
                                 "{\"failing\":3,\"failures\":1000}");
    assert_line(server.rpd, "trying again");
    const int held = client(server.endpoint);
    const int64_t before = now_ns();
    assert_stops(server.rpd);
    cr_assert_lt(now_ns() - before, 800000000);
    assert_eof(held);
}

/* ---- backends that accept their clients themselves ---- */

static void check_greeting(const char *endpoint, const char *wanted, struct server *server)
{
    char text[64];
    const int fd = client(endpoint);

    tell(fd, "hello");
    read_to_end(fd, text, sizeof text);
    cr_assert_str_eq(text, wanted, "%s", process_stderr(server->rpd));
    close(fd);
}

Test(connections, rpd_accept_gives_clients_away)
{
    struct server server = serve(test_plugin("accepts"), "", ",\"options\":{\"load_ms\":100}");

    /* The clients are held until the state is loaded. */
    check_greeting(server.endpoint, "ready\n", &server);
    check_greeting(server.tcp, "ready\n", &server);
    const int fd = client(server.endpoint);
    tell(fd, "keep");
    assert_next(fd, "ready", &server);
    process_signal(server.rpd, SIGTERM);
    assert_next(fd, "bye", &server);
    assert_eof(fd);
    assert_ends(server.rpd, 0);
    const char *text = process_stderr(server.rpd);
    cr_assert_eq(lines_with(text, "test: stopped"), 1, "%s", text);
    cr_assert(!strstr(text, "WRONG") && !strstr(text, "cut off"), "%s", text);
}

Test(connections, drain_of_given_clients_is_cut_off)
{
    struct server server = serve(test_plugin("accepts"), "\"drain_s\":1,",
                                 ",\"options\":{\"stubborn\":true}");
    const int fd = client(server.endpoint);

    tell(fd, "keep");
    assert_next(fd, "ready", &server);
    const int64_t before = now_ns();
    process_signal(server.rpd, SIGTERM);
    assert_ends(server.rpd, 0);
    const int64_t took = now_ns() - before;
    cr_assert(took > 900000000 && took < 2500000000, "%ld ms", (long)(took / 1000000));
    assert_eof(fd);
    cr_assert(strstr(process_stderr(server.rpd), "1 clients are cut off"), "%s",
              process_stderr(server.rpd));
}

Test(connections, a_library_of_its_own)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char text[4096];

    if (access(build_path("samples/web.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    struct server server = serve(build_path("samples/web.so"), "", "");
    for (int i = 0; i < 20; i++) {
        const int fd = client(i % 2 ? server.tcp : server.endpoint);
        cr_assert_eq(send_all(fd, request, sizeof request - 1), 0);
        read_to_end(fd, text, sizeof text);
        cr_assert(strncmp(text, "HTTP/1.1 200 ", 13) == 0 && strstr(text, "hello\n"), "%s", text);
        close(fd);
    }
    end_server(&server);
}

/* The stop does not wait for a keep-alive client beyond the drain deadline. */
Test(connections, a_library_with_a_client_that_stays)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    char line[256];

    if (access(build_path("samples/web.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    struct server server = serve(build_path("samples/web.so"), "\"drain_s\":1,", "");
    const int fd = client(server.endpoint);
    cr_assert_eq(send_all(fd, request, sizeof request - 1), 0);
    cr_assert_gt(read_line(fd, line, sizeof line), 0);
    assert_stops(server.rpd);
    cr_assert_str_eq(listing(server.dir), textf("%s/c.json\n%s/run/\n", server.dir, server.dir));
}
