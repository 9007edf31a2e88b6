/* The limits of a service, as clients see them: each one takes effect, is reported in one line a
 * second with a count, and does not affect a well-behaved client. */
#include "limits_scene.h"

/* ---- clocks ---- */

/* Each client sends a byte now and then; all lose their places, and meanwhile another client is
 * served as usual. */
Test(limits, slow_senders_lose_their_places)
{
    enum { SLOW = 300 };
    static const char what[] = "closed: no complete request within limits.request_s (1 s)";
    struct server server = serve_talk("\"request_s\":1");
    const int good = client(server.endpoint);
    int slow[SLOW], closed = 0;
    int64_t slowest = 0;

    for (size_t i = 0; i < SLOW; i++) {
        slow[i] = client(i % 2 ? server.endpoint : server.tcp);
        cr_assert_eq(send_all(slow[i], "e", 1), 0);
    }
    const int64_t start = now_ns();
    while (closed < SLOW && ms_since(start) < 20000) {
        const int64_t asked = now_ns();
        assert_answered(good, &server);
        if (now_ns() - asked > slowest)
            slowest = now_ns() - asked;
        closed = 0;
        for (size_t i = 0; i < SLOW; i++)
            closed += something_comes(slow[i], 0) || send_all(slow[i], "c", 1) != 0;
        poll(NULL, 0, 200);
    }
    cr_assert_eq(closed, SLOW, "%s", process_stderr(server.rpd));
    const long took = (long)ms_since(start);
    cr_assert_geq(took, 900, "closed too early");
    wait_for_clients_in_lines(&server, what, SLOW);
    cr_assert_leq(lines_with(process_stderr(server.rpd), what), 4, "%s",
                  process_stderr(server.rpd));
    fprintf(stderr, "%d slow senders: all closed after %ld ms; slowest answer to another %ld us\n",
            SLOW, took, (long)(slowest / 1000));
    for (size_t i = 0; i < SLOW; i++)
        close(slow[i]);
    assert_answered(good, &server);
    close(good);
    end_server(&server);
}

/* A long request is not a slow one: the clock starts again with each 64 KiB. */
Test(limits, a_long_request_may_take_its_time)
{
    enum { PIECE = 80000 };
    struct server server = serve_talk("\"request_s\":1");
    const int steady = client(server.endpoint), other = client(server.tcp);
    char *piece = malloc(PIECE);

    memset(piece, 'x', PIECE);
    cr_assert_eq(send_all(other, "half", 4), 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(send_all(steady, piece, PIECE), 0);
        assert_quiet(steady, 600);
    }
    const char *answer = ask(steady, "");
    cr_assert(answer && strncmp(answer, "what is xxx", 11) == 0, "%s", answer);
    assert_closed(other, &server);
    free(piece);
    close(steady);
    close(other);
    end_server(&server);
}

/* No clock runs while rpd or the backend is working; afterwards it does. */
Test(limits, clocks_stand_still_for_the_backend)
{
    struct server server = serve_talk("\"request_s\":1,\"idle_s\":1,\"first_byte_s\":1");
    const int paused = client(server.endpoint), kept = client(server.tcp);
    char line[64];

    cr_assert_eq(send_all(paused, "ordered 2500 late\necho hal", 26), 0);
    cr_assert_eq(send_all(kept, "job 2500 late\necho hal", 22), 0);
    cr_assert_gt(read_line(paused, line, sizeof line), 0, "%s", process_stderr(server.rpd));
    cr_assert_str_eq(line, "late\n");
    cr_assert_gt(read_line(kept, line, sizeof line), 0, "%s", process_stderr(server.rpd));
    cr_assert_str_eq(line, "late\n");
    assert_closed(paused, &server);
    assert_closed(kept, &server);
    wait_for_clients_in_lines(&server, "closed: no complete request", 2);
    close(paused);
    close(kept);
    end_server(&server);
}

/* Nor does a clock run while a client is held: it is served late, and then has its full time. */
Test(limits, clocks_stand_still_while_held)
{
    struct server server = serve(build_path("samples/slow_start.so"),
                                 "\"request_s\":1,\"idle_s\":1,\"first_byte_s\":1",
                                 ",\"options\":{\"load_s\":2.5}");
    const int silent = client(server.endpoint), half = client(server.tcp);
    cr_assert_eq(send_all(half, "hal", 3), 0);
    assert_line(server.rpd, ": ready ");
    cr_assert_not_null(ask(half, "f a line"), "%s", process_stderr(server.rpd));
    cr_assert_not_null(ask(silent, "a line"), "%s", process_stderr(server.rpd));
    close(silent);
    close(half);
    end_server(&server);
}

/* Sends requests for a while, more often than once a second. */
static void ask_for(int fd, int milliseconds, struct server *server)
{
    const int64_t start = now_ns();

    while (ms_since(start) < milliseconds) {
        assert_answered(fd, server);
        assert_quiet(fd, 200);
    }
}

Test(limits, idle_clients_are_closed)
{
    struct server server = serve_talk("\"idle_s\":1");
    const int idle = client(server.endpoint), busy = client(server.tcp);
    const int silent = client(server.endpoint), told = client(server.tcp);

    assert_answered(idle, &server);
    const char *id = textf("%s", ask(told, "id"));
    const int64_t start = now_ns();
    for (int i = 0; i < 10; i++) {
        ask_for(busy, 200, &server);
        assert_text(ask(busy, textf("later %s news", id)), "0", server.rpd);
    }
    assert_closed(idle, &server);
    cr_assert_geq(ms_since(start), 900);
    wait_for_clients_in_lines(&server, "closed: idle within limits.idle_s (1 s)", 1);
    assert_answered(silent, &server); /* first_byte_s is off */
    for (int i = 0; i < 10; i++) {
        char line[64];
        cr_assert_gt(read_line(told, line, sizeof line), 0, "closed while it was written to");
    }
    close(idle);
    close(busy);
    close(silent);
    close(told);
    end_server(&server);
}

Test(limits, who_never_speaks_is_closed)
{
    struct server server = serve_talk("\"first_byte_s\":1");
    const int silent = client(server.endpoint), silent_tcp = client(server.tcp);
    const int spoken = client(server.endpoint);

    assert_answered(spoken, &server);
    assert_eof(silent);
    assert_eof(silent_tcp);
    wait_for_clients_in_lines(&server, "closed: sent nothing within limits.first_byte_s (1 s)", 2);
    assert_quiet(spoken, 1500);
    assert_answered(spoken, &server);
    close(silent);
    close(silent_tcp);
    close(spoken);
    end_server(&server);
}

/* ---- bytes ---- */

/* Sends until the socket takes no more. */
static void flood(int fd)
{
    static char block[65536];
    struct pollfd writable = {.fd = fd, .events = POLLOUT};

    fcntl(fd, F_SETFL, O_NONBLOCK);
    do
        while (send(fd, block, sizeof block, MSG_NOSIGNAL) > 0)
            continue;
    while (errno == EAGAIN && poll(&writable, 1, 50) > 0);
}

Test(limits, who_never_reads_costs_its_output_limit)
{
    enum { CLIENTS = 64, LIMIT = 128 };
    struct server server = serve("echo.so", textf("\"output_bytes\":%d", LIMIT * 1024), "");
    const int other = client(server.endpoint);
    int fds[CLIENTS];

    for (size_t i = 0; i < CLIENTS; i++)
        fds[i] = client(i % 2 ? server.endpoint : server.tcp);
    assert_text(ask(other, "x"), "x", server.rpd);
    const long before = rss_kib(process_pid(server.rpd));
    for (size_t i = 0; i < CLIENTS; i++)
        flood(fds[i]);
    assert_text(ask(other, "x"), "x", server.rpd);
    const long each = (rss_kib(process_pid(server.rpd)) - before) / CLIENTS;
    fprintf(stderr, "a client that never reads: %ld KiB, of at most %d\n", each, LIMIT);
    if (!is_sanitized())
        cr_assert_leq(each, LIMIT + 8);
    cr_assert(!strstr(process_stderr(server.rpd), "output_bytes"), "%s",
              process_stderr(server.rpd));
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    close(other);
    end_server(&server);
}

enum { MUCH = 5000000 };

/* With kv: a large value. */
static void set_value(int fd)
{
    char *value = malloc(MUCH);
    const char *head = textf("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", MUCH);
    char answer[16];

    memset(value, 'x', MUCH);
    cr_assert_eq(send_all(fd, head, strlen(head)), 0);
    cr_assert_eq(send_all(fd, value, MUCH), 0);
    cr_assert_eq(send_all(fd, "\r\n", 2), 0);
    cr_assert_gt(read_line(fd, answer, sizeof answer), 0);
    free(value);
}

static void ask_for_value(int fd)
{
    static const char get[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    char first;

    cr_assert_eq(send_all(fd, get, strlen(get)), 0);
    cr_assert_eq(recv(fd, &first, 1, 0), 1); /* the request has begun: the daemon holds the rest */
}

static void take_value(int fd)
{
    static char block[1 << 20];
    ssize_t got = 0;

    ask_for_value(fd);
    for (long left = MUCH + 11; left > 0; left -= (long)got) {
        got = recv(fd, block, sizeof block, 0);
        cr_assert_gt(got, 0);
    }
}

/* Almost none of the clients' memory stays with the daemon when they have left. */
Test(limits, memory_goes_back)
{
    enum { CLIENTS = 100, MOST_KIB = 32 * 1024 };
    struct server server = serve("kv.so", "\"buffer_bytes\":0", "");
    const int other = client(server.endpoint);
    int fds[CLIENTS];

    if (is_sanitized())
        cr_skip("a sanitizer keeps what is freed");
    set_value(other);
    for (size_t i = 0; i < 10; i++) /* malloc() adapts to what is freed */
        take_value(other);
    const pid_t pid = process_pid(server.rpd);
    const long before = rss_kib(pid);
    for (size_t i = 0; i < CLIENTS; i++)
        ask_for_value(fds[i] = client(server.endpoint));
    cr_assert_gt(rss_kib(pid) - before, 100000, "there was nothing to give back");
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    for (const int64_t began = now_ns(); rss_kib(pid) - before > MOST_KIB;) {
        cr_assert_lt(ms_since(began), 10000, "%ld KiB more than before", rss_kib(pid) - before);
        poll(NULL, 0, 10);
    }
    close(other);
    assert_stops(server.rpd);
}

Test(limits, output_beyond_its_limit_closes)
{
    enum { SIZE = 900000 };
    struct server server = serve_talk("\"output_bytes\":1048576");
    const int fd = client(server.endpoint), good = client(server.tcp);
    char *data = malloc(SIZE + 1);

    tell(fd, "big 4000000");
    wait_for_clients_in_lines(&server, "closed: unread output beyond limits.output_bytes (1048576)",
                              1);
    tell(good, textf("big %d", SIZE));
    assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
    cr_assert_eq(read_exactly(good, data, SIZE + 1), SIZE + 1, "%s", strerror(errno));
    assert_answered(good, &server);
    free(data);
    close(fd);
    close(good);
    end_server(&server);
}

Test(limits, stalled_output_closes)
{
    enum { SIZE = 1000000, PIECE = 65536 };
    struct server server = serve_talk("\"write_stall_s\":1");
    const int stalled = client(server.endpoint), slow = client(server.endpoint);
    char *data = malloc(SIZE + 1);
    size_t got = 0;

    tell(stalled, textf("big %d", SIZE));
    tell(slow, textf("big %d", SIZE));
    while (got < SIZE + 1) {
        const size_t size = SIZE + 1 - got < PIECE ? SIZE + 1 - got : PIECE;
        cr_assert_eq(read_exactly(slow, data, size), (ssize_t)size, "%zu: %s", got,
                     process_stderr(server.rpd));
        got += size;
        poll(NULL, 0, 100); /* the client is slow */
    }
    wait_for_clients_in_lines(
        &server, "closed: read nothing or too little within limits.write_stall_s (1 s)", 1);
    cr_assert_lt(read_exactly(stalled, data, SIZE + 1), SIZE + 1);
    assert_answered(slow, &server);
    free(data);
    close(stalled);
    close(slow);
    end_server(&server);
}

Test(limits, input_beyond_its_limit_closes)
{
    static char x[10000];
    struct server server = serve_talk("\"input_bytes\":1024");
    const int large = client(server.endpoint), small = client(server.tcp);

    memset(x, 'x', sizeof x);
    cr_assert_eq(send_all(small, x, 1000), 0);
    cr_assert_eq(send_all(large, x, 2000), 0);
    assert_closed(large, &server);
    wait_for_clients_in_lines(&server,
                              "closed: incomplete request beyond limits.input_bytes (1024)", 1);
    const char *answer = ask(small, "");
    cr_assert(answer && strncmp(answer, "what is xxx", 11) == 0, "%s", answer);
    /* Many complete requests may come at once. */
    for (size_t i = 7; i < sizeof x; i += 8)
        memcpy(x + i - 7, "echo me\n", 8);
    cr_assert_eq(send_all(small, x, sizeof x), 0);
    cr_assert_eq(read_exactly(small, x, sizeof x / 8 * 3), (ssize_t)sizeof x / 8 * 3);
    close(large);
    close(small);
    end_server(&server);
}
