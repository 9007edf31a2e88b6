/* Bodies, as clients see them: what rpd/body.h promises, and the effect of calls that a backend
 * must not make. (test_jobs.c tests jobs, timers and the like; test_cold_files.c tests the effect
 * of a disk.) */
#include "bodies_scene.h"

/* ---- files ---- */

/* Files of all sizes at which the behaviour changes, one at a time and all at once. */
static void check_parts(const char *endpoint, const struct bodies *server)
{
    static const size_t parts[][2] = {
        {0, 0},       {0, 1},       {1, 16383},       {4095, 16384},   {5, 16385},
        {3, 65536},   {0, MIB},     {1, MIB},         {4097, 2 * MIB}, {MIB - 1, MIB + 1},
        {3 * MIB, 0}, {0, 3 * MIB}, {3 * MIB - 1, 1}, {100, 262144},
    };
    const int fd = client(endpoint);
    const char *all = "";

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *line = textf("send big %zu %zu", parts[i][0], parts[i][1]);
        tell(fd, line);
        assert_part(server, fd, parts[i][0], parts[i][1]);
        all = textf("%s%s\n", all, line);
    }
    cr_assert_eq(send_all(fd, all, strlen(all)), 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_part(server, fd, parts[i][0], parts[i][1]);
    close(fd);
}

Test(bodies, files_go_out_in_order)
{
    struct bodies server = serve_bodies();

    make_file(&server, "big", 3 * MIB);
    check_parts(server.endpoint, &server);
    check_parts(server.tcp, &server);
    end_bodies(&server);
}

/* Many files for one client at once: it is not read while 16 wait, and each comes in its place. */
Test(bodies, many_files_of_one_client)
{
    enum { FILES = 400 };
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);
    const char *line = "send big 1 70000\n";
    char *all = malloc(FILES * strlen(line) + 1);

    cr_assert(all);
    make_file(&server, "big", 100000);
    for (size_t i = 0; i < FILES; i++)
        memcpy(all + i * strlen(line), line, strlen(line));
    cr_assert_eq(send_all(fd, all, FILES * strlen(line)), 0);
    for (size_t i = 0; i < FILES; i++)
        assert_part(&server, fd, 1, 70000);
    free(all);
    close(fd);
    end_bodies(&server);
}

/* A worker reads a file whose pages are not in memory. (On a file system that keeps everything in
 * memory this is the same as above.) */
Test(bodies, files_that_are_not_in_memory)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);

    make_file(&server, "big", 5 * MIB + 17);
    const int file = open(textf("%s/big", server.dir), O_RDONLY | O_CLOEXEC);
    fsync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
    tell(fd, textf("send big 1 %d", 5 * MIB + 16));
    assert_part(&server, fd, 1, 5 * MIB + 16);
    close(fd);
    end_bodies(&server);
}

Test(bodies, calls_that_fail)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);
    static const char *const cases[][2] = {
        {"bad descriptor", "-1 EBADF"},    {"bad directory", "-1 EINVAL"},
        {"bad mode", "-1 EBADF"},          {"bad path", "-1 EBADF"},
        {"bad pipe", "-1 EINVAL"},         {"bad offset", "-1 EINVAL"},
        {"bad size", "-1 EINVAL"},         {"bad to descriptor", "-1 EBADF"},
        {"bad to directory", "-1 EINVAL"}, {"bad to mode", "-1 EINVAL"},
        {"bad to path", "-1 EINVAL"},      {"bad to pipe", "-1 EINVAL"},
        {"bad to append", "-1 EINVAL"},    {"bad to offset", "-1 EINVAL"},
        {"bad to size", "-1 EINVAL"},      {"send file 5 6", "<EINVAL>"},
        {"send file 11 0", "<EINVAL>"},    {"send nothing 0 1", "<EBADF>"},
        {"send file 10 0", "<>"},          {"send file 4 6", "<456789>"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ask_for(&server, fd, cases[i][0], cases[i][1]);
    close(fd);
    end_bodies(&server);
}

/* The client gets less than was announced, and then an end; other clients are served. */
Test(bodies, a_file_that_shrinks)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);
    const int other = client(server.endpoint);
    char bytes[4096];
    size_t got = 0;

    make_sparse(&server, "big", 64 * MIB);
    tell(fd, textf("send big 0 %d", 64 * MIB));
    cr_assert_eq(read_exactly(fd, bytes, 1), 1);
    cr_assert_eq(truncate(textf("%s/big", server.dir), 4 * MIB), 0);
    for (ssize_t now; (now = read(fd, bytes, sizeof bytes)) > 0;)
        got += (size_t)now;
    cr_assert_lt(got, 64 * MIB);
    assert_line(server.rpd, "it has become shorter; its client is closed");
    assert_line(server.rpd, "test: sent without its client: ENODATA");
    ask_for(&server, other, "send file 0 3", "<012>");
    close(fd);
    close(other);
    end_bodies(&server);
}

static void send_and_leave(const struct bodies *server, const char *endpoint)
{
    const int fd = client(endpoint);
    char byte;

    tell(fd, textf("send big 0 %d", 64 * MIB));
    cr_assert_eq(read_exactly(fd, &byte, 1), 1);
    close(fd);
    assert_line(server->rpd, "test: sent without its client: ECANCELED");
}

Test(bodies, a_client_leaves_while_it_is_sent_a_file)
{
    struct bodies server = serve_bodies();

    make_sparse(&server, "big", 64 * MIB);
    send_and_leave(&server, server.endpoint);
    send_and_leave(&server, server.tcp);
    end_bodies(&server);
}

/* Its done has no client, so it gets an error although all bytes were copied. */
Test(bodies, a_connection_is_aborted_while_it_is_sent_a_file)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);
    char got[8];

    tell(fd, "leave file 0 3");
    cr_assert_lt(read_exactly(fd, got, sizeof got), (ssize_t)sizeof got);
    assert_line(server.rpd, "test: sent without its client: ECANCELED");
    close(fd);
    end_bodies(&server);
}

/* A file begins to wait when the socket has little room, outside the client's own callbacks. The
 * client's time to read it starts then, not when the client connected. */
Test(bodies, a_file_that_is_sent_from_a_timer)
{
    enum { STEP = 4096, MOST = 256 * 1024 };
    struct bodies server = serve_bodies();

    make_file(&server, "big", MOST);
    for (size_t ahead = MOST - 30 * STEP; ahead < MOST; ahead += STEP) {
        const int fd = client(server.endpoint);

        tell(fd, textf("send big 0 %zu", ahead));
        tell(fd, textf("later big 0 %d", MOST));
        cr_assert_eq(recv(fd, &(char){0}, 1, MSG_PEEK), 1);
        assert_part(&server, fd, 0, ahead);
        assert_part(&server, fd, 0, MOST);
        close(fd);
    }
    end_bodies(&server);
}

/* None of their content is in memory, and other clients are served. */
Test(bodies, stalled_readers_cost_little)
{
    enum { READERS = 20, AT_MOST_KB = 16 * 1024 };
    struct bodies server = serve_bodies();
    const int other = client(server.endpoint);
    int fds[READERS];
    char byte;

    make_sparse(&server, "big", 200 * MIB);
    ask_for(&server, other, "send file 0 3", "<012>");
    const long before = memory_kb(server.rpd);
    for (size_t i = 0; i < READERS; i++) {
        fds[i] = client(server.endpoint);
        tell(fds[i], textf("send big 0 %d", 200 * MIB));
        cr_assert_eq(read_exactly(fds[i], &byte, 1), 1);
    }
    ask_for(&server, other, "send file 0 3", "<012>");
    const long after = memory_kb(server.rpd);
    cr_expect_lt(after - before, AT_MOST_KB, "%ld KB more", after - before);
    for (size_t i = 0; i < READERS; i++)
        close(fds[i]);
    close(other);
    end_bodies(&server);
}

/* ---- bodies that are received ---- */

static void check_takes(const char *endpoint, const struct bodies *server)
{
    static const size_t sizes[] = {0, 1, 1000, 65535, 65536, 262144, 262145, 600000, 5 * MIB};
    const int fd = client(endpoint);
    char *bytes = make_bytes(5 * MIB);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        put(server, fd, "sum", bytes, sizes[i]);
        tell(fd, "send file 0 1"); /* the next bytes are not part of the body */
        hear(server, fd, textf("got %zu %u", sizes[i], sum_of(bytes, sizes[i])));
        hear(server, fd, "<0>");
        put(server, fd, "file", bytes, sizes[i]);
        hear(server, fd, "got 0 0");
        size_t size;
        char *file = read_whole(textf("%s/taken", server->dir), &size);
        cr_assert(file && size == sizes[i] && memcmp(file, bytes, size) == 0, "%zu of %zu", size,
                  sizes[i]);
        free(file);
    }
    free(bytes);
    close(fd);
}

Test(bodies, bodies_come_in_order)
{
    struct bodies server = serve_bodies();

    check_takes(server.endpoint, &server);
    check_takes(server.tcp, &server);
    end_bodies(&server);
}

/* The body comes with its request, with the next request behind it, and byte by byte. */
Test(bodies, a_body_that_drips)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);
    const char *all = "take 5 sum\nabcdesend file 0 2\n";

    for (size_t i = 0; all[i]; i++)
        cr_assert_eq(send_all(fd, all + i, 1), 0);
    hear(&server, fd, textf("got 5 %u", sum_of("abcde", 5)));
    hear(&server, fd, "<01>");
    close(fd);
    end_bodies(&server);
}

Test(bodies, a_sink_that_fails)
{
    struct bodies server = serve_bodies();
    char *bytes = make_bytes(MIB);
    static const char *const hows[][2] = {{"fail", "error ENOSPC"}, {"leave", "error ECANCELED"}};

    for (size_t i = 0; i < 2; i++) {
        const int fd = client(server.endpoint);
        tell(fd, textf("take %d %s", MIB, hows[i][0]));
        send_all(fd, bytes,
                 MIB); /* the daemon may report it, and close, before everything is sent */
        hear(&server, fd, hows[i][1]);
        assert_eof(fd);
        close(fd);
    }
    free(bytes);
    end_bodies(&server);
}

Test(bodies, a_body_that_ends_early)
{
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);

    tell(fd, "take 1000 sum");
    tell(fd, "that is all");
    shutdown(fd, SHUT_WR);
    hear(&server, fd, "error ENODATA");
    assert_eof(fd);
    close(fd);
    end_bodies(&server);
}

/* Once while no work is on a worker, once while the sink waits. */
Test(bodies, a_client_leaves_while_it_sends_a_body)
{
    struct bodies server = serve_bodies();
    char *bytes = make_bytes(MIB);
    int fd = client(server.endpoint);

    put(&server, fd, "sum", bytes, 1000);
    hear(&server, fd, textf("got 1000 %u", sum_of(bytes, 1000)));
    tell(fd, "take 1000 wait");
    close(fd);
    fd = client(server.endpoint);
    tell(fd, textf("take %d wait", 100 * MIB));
    cr_assert_eq(send_all(fd, bytes, MIB / 2), 0);
    const int abrupt = client(server.tcp);
    tell(abrupt, textf("take %d wait", 100 * MIB));
    cr_assert_eq(send_all(abrupt, bytes, MIB / 2), 0);
    close(fd);
    setsockopt(abrupt, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(abrupt);
    write_text(textf("%s/go", server.dir), "");
    free(bytes);
    end_bodies(&server);
}

/* The connection is closed but its sink is busy: the bytes in the sink no longer count, and that
 * connection is left alone when memory becomes short. */
Test(bodies, a_connection_is_finished_while_its_sink_is_busy)
{
    enum { BODY = 60000, OTHERS = 40, INPUT = 20000 };
    struct bodies server = serve_bodies_with("", "", ",\"limits\":{\"buffer_bytes\":1048576}");
    const int fd = client(server.endpoint);
    char *bytes = make_bytes(BODY);
    int others[OTHERS];

    put(&server, fd, "finish", bytes, BODY);
    assert_eof(fd);
    memset(bytes, 'x', INPUT);
    for (size_t i = 0; i < OTHERS; i++) {
        others[i] = client(server.endpoint);
        cr_assert_eq(send_all(others[i], bytes, INPUT), 0);
    }
    assert_line(server.rpd, "closed: held most, all clients together");
    const int last = client(server.endpoint);
    ask_for(&server, last, "send file 0 3", "<012>");
    write_text(textf("%s/go", server.dir), "");
    assert_line(server.rpd, "test: taken without its client: ECANCELED");
    for (size_t i = 0; i < OTHERS; i++)
        close(others[i]);
    close(last);
    close(fd);
    free(bytes);
    end_bodies(&server);
}

/* rpd waits for the sink: it takes no more of the body than fits into two buffers. */
Test(bodies, a_slow_sink_holds_its_client_up)
{
    enum { AT_MOST = 6 * MIB }; /* including the bytes in the kernel */
    struct bodies server = serve_bodies();
    const int fd = client(server.endpoint);
    char *bytes = make_bytes(MIB);
    size_t sent = 0;
    ssize_t now;
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    tell(fd, textf("take %d wait", 64 * MIB));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (poll(&room, 1, 500) > 0 && sent < 64 * MIB &&
           (now = send(fd, bytes, MIB, MSG_NOSIGNAL)) > 0)
        sent += (size_t)now;
    cr_expect_lt(sent, AT_MOST, "%zu bytes", sent);
    write_text(textf("%s/go", server.dir), "");
    free(bytes);
    close(fd);
    end_bodies(&server);
}

/* ---- limits, drain and stop ---- */

/* A client that owes a body and sends less than progress_bytes_per_s. */
Test(bodies, a_body_is_asked_for_a_rate)
{
    struct bodies server = serve_bodies_with("", "", ",\"limits\":{\"request_s\":1}");
    const int fd = client(server.endpoint);
    const int other = client(server.endpoint);

    tell(fd, "take 1000000 sum");
    assert_line(server.rpd, "closed: no complete request within limits.request_s (1 s)");
    assert_line(server.rpd, "test: taken without its client: ECANCELED");
    assert_eof(fd);
    ask_for(&server, other, "send file 0 1", "<0>");
    close(fd);
    close(other);
    end_bodies(&server);
}

/* ... but not while rpd waits for the sink. */
Test(bodies, no_rate_is_asked_of_who_waits)
{
    struct bodies server = serve_bodies_with("", "", ",\"limits\":{\"request_s\":1}");
    const int fd = client(server.endpoint);
    const int idle = client(server.endpoint);

    put(&server, fd, "wait", "abc", 3);
    tell(idle, "take 1000000 sum");
    assert_eof(idle); /* this much time has passed */
    tell(fd, "send file 0 1");
    write_text(textf("%s/go", server.dir), "");
    hear(&server, fd, textf("got 3 %u", sum_of("abc", 3)));
    hear(&server, fd, "<0>");
    close(fd);
    close(idle);
    end_bodies(&server);
}

/* A stop lets bodies and jobs finish that have begun. */
Test(bodies, a_drain_waits_for_what_is_owed)
{
    struct bodies server = serve_bodies();
    char *bytes = make_bytes(MIB);
    const int getter = client(server.endpoint), putter = client(server.endpoint);
    const int asker = client(server.endpoint);
    char first;

    make_file(&server, "big", 3 * MIB);
    tell(getter, textf("send big 0 %d", 3 * MIB));
    cr_assert_eq(recv(getter, &first, 1, MSG_PEEK), 1);
    tell(putter, textf("take %d sum", MIB));
    cr_assert_eq(send_all(putter, bytes, MIB / 2), 0);
    tell(asker, "job wait");
    assert_line(server.rpd, "test: a job waits");
    process_signal(server.rpd, SIGTERM);
    assert_line(server.rpd, "stopping: ");
    cr_assert_eq(send_all(putter, bytes + MIB / 2, MIB / 2), 0);
    hear(&server, putter, textf("got %d %u", MIB, sum_of(bytes, MIB)));
    assert_part(&server, getter, 0, 3 * MIB);
    write_text(textf("%s/go", server.dir), "");
    hear(&server, asker, "job 0 ok");
    assert_eof(getter);
    assert_eof(putter);
    assert_eof(asker);
    close(getter), close(putter), close(asker);
    free(bytes);
    assert_ends(server.rpd, 0);
    cr_assert(strstr(process_stderr(server.rpd), "test: balanced"), "%s",
              process_stderr(server.rpd));
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* ... until drain_s. */
Test(bodies, a_drain_that_is_over_ends_what_is_owed)
{
    struct bodies server = serve_bodies_with("\"drain_s\":0,", "", "");
    const int getter = client(server.endpoint), putter = client(server.endpoint);
    const int asker = client(server.endpoint);
    char byte;

    make_sparse(&server, "big", 64 * MIB);
    tell(getter, textf("send big 0 %d", 64 * MIB));
    cr_assert_eq(read_exactly(getter, &byte, 1), 1);
    tell(putter, "take 1000 sum");
    tell(asker, "job wait");
    assert_line(server.rpd, "test: a job waits");
    end_bodies(&server);
    close(getter), close(putter), close(asker);
}
