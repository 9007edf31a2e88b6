/* Limits of a service, as clients see them: each bites, is counted in one line a
 * second, and leaves a well-behaved client beside it alone. */
#include "common.h"
#include "observe/state_view.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

struct server {
    const char *dir, *endpoint, *tcp;
    struct process *rpd;
};

/* members: of the service, behind "limits". */
static struct server serve(const char *plugin, const char *limits, const char *members)
{
    struct server server = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", server.dir);

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    write_text(config, textf("{\"drain_s\":1,\"services\":[{\"plugin\":\"%s\",\"listen\":"
                             "[{\"endpoint\":\"%s\",\"mode\":\"0666\"},\"tcp:127.0.0.1:0\"],"
                             "\"limits\":{%s}%s}]}",
                             plugin, server.endpoint, limits, members));
    server.rpd = RPD_START(textf("%s/run", server.dir), "-c", config);
    assert_bound(server.rpd);
    assert_line(server.rpd, ": bound ");
    server.tcp = process_endpoint(server.rpd, "tcp:");
    return server;
}

static struct server serve_talk(const char *limits)
{
    return serve(test_plugin("talk"), limits, "");
}

static void end_server(struct server *server)
{
    assert_stops(server->rpd);
    const char *text = process_stderr(server->rpd);
    cr_assert(!strstr(text, "WRONG") && !strstr(text, "NOT BALANCED"), "%s", text);
    process_free(server->rpd);
    temp_dir_remove(server->dir);
}

static bool something_comes(int fd, int milliseconds)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};

    return poll(&input, 1, milliseconds) > 0;
}

#define assert_quiet(fd, milliseconds)                                                             \
    cr_assert(!something_comes(fd, milliseconds), "an answer, or the end")

/* By end of file or, where input of its was left, by a reset. */
static bool is_closed(int fd)
{
    char byte;

    return something_comes(fd, 20000) && recv(fd, &byte, 1, 0) <= 0;
}

#define assert_closed(fd, server)                                                                  \
    cr_assert(is_closed(fd), "not closed:\n%s", process_stderr((server)->rpd))

#define assert_answered(fd, server) assert_text(ask(fd, "echo x"), "x", (server)->rpd)

/* The sum of the numbers of all lines "N clients TEXT". */
static int clients_in_lines(const char *log, const char *text)
{
    int sum = 0;

    for (const char *at = log; (at = strstr(at, text)); at++) {
        const char *number = at;
        while (number > log && number[-1] != ':')
            number--;
        sum += atoi(number);
    }
    return sum;
}

/* Until the log has told of so many. */
static void wait_for_clients_in_lines(struct server *server, const char *text, int count)
{
    for (size_t lines = 1; clients_in_lines(process_stderr(server->rpd), text) < count; lines++)
        cr_assert_eq(process_wait_lines(server->rpd, text, lines), 0, "%s",
                     process_stderr(server->rpd));
    cr_assert_eq(clients_in_lines(process_stderr(server->rpd), text), count, "%s",
                 process_stderr(server->rpd));
}

/* At most so many. The daemon opens a file for a moment now and then. */
static void assert_fds(const struct server *server, int most)
{
    int count = count_fds(process_pid(server->rpd));

    for (int tries = 0; tries < 2000 && count > most; tries++) {
        poll(NULL, 0, 1);
        count = count_fds(process_pid(server->rpd));
    }
    cr_assert_leq(count, most);
}

static int64_t ms_since(int64_t start_ns)
{
    return (now_ns() - start_ns) / 1000000;
}

/* ---- clocks ---- */

/* Each sends a byte now and then; all lose their places, and meanwhile another is
 * served as ever. */
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

/* A long request is no slow one: the clock starts anew with each 64 KiB. */
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

/* No clock runs while rpd or the backend is at work; afterwards it does. */
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

/* Nor while a client is held: it is served late, and then has all its time. */
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

/* Asks for a while, more often than each second. */
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

/* Sends until nothing more is taken. */
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

/* Of kv: a value that is large. */
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
    cr_assert_eq(recv(fd, &first, 1, 0), 1); /* it has begun: the daemon holds the rest */
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

/* Of what they had, next to nothing stays with the daemon when they have left. */
Test(limits, memory_goes_back)
{
    enum { CLIENTS = 100, MOST_KIB = 32 * 1024 };
    struct server server = serve("kv.so", "\"buffer_bytes\":0", "");
    const int other = client(server.endpoint);
    int fds[CLIENTS];

    if (is_sanitized())
        cr_skip("a sanitizer keeps what is freed");
    set_value(other);
    for (size_t i = 0; i < 10; i++) /* malloc learns from what is freed */
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
        poll(NULL, 0, 100); /* it is slow */
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
    /* Many whole requests may come at once. */
    for (size_t i = 7; i < sizeof x; i += 8)
        memcpy(x + i - 7, "echo me\n", 8);
    cr_assert_eq(send_all(small, x, sizeof x), 0);
    cr_assert_eq(read_exactly(small, x, sizeof x / 8 * 3), (ssize_t)sizeof x / 8 * 3);
    close(large);
    close(small);
    end_server(&server);
}

/* ---- places ---- */

Test(limits, who_finds_no_place_waits)
{
    struct server server = serve_talk("\"clients\":2");
    const int first = client(server.endpoint), second = client(server.tcp);

    assert_answered(first, &server);
    assert_answered(second, &server);
    cr_assert(!strstr(process_stderr(server.rpd), "limits.clients"), "nobody waits");
    const int third = client(server.endpoint), fourth = client(server.tcp);
    tell(third, "echo third");
    tell(fourth, "echo fourth");
    assert_line(server.rpd, "2 clients are here, which is limits.clients");
    assert_quiet(third, 300);
    assert_quiet(fourth, 10);
    assert_answered(second, &server);
    /* As soon as one leaves, another comes in. */
    const int64_t left = now_ns();
    close(first);
    struct pollfd either[] = {{.fd = third, .events = POLLIN}, {.fd = fourth, .events = POLLIN}};
    cr_assert_gt(poll(either, 2, 20000), 0, "%s", process_stderr(server.rpd));
    fprintf(stderr, "a client left, the next was answered after %ld us\n",
            (long)((now_ns() - left) / 1000));
    cr_assert_neq(!(either[0].revents & POLLIN), !(either[1].revents & POLLIN), "both came in");
    close(second);
    cr_assert(something_comes(third, 20000) && something_comes(fourth, 20000), "%s",
              process_stderr(server.rpd));
    assert_line(server.rpd, "no client waits for a place any more");
    cr_assert_eq(lines_with(process_stderr(server.rpd), "limits.clients"), 1, "%s",
                 process_stderr(server.rpd));
    close(third);
    close(fourth);
    end_server(&server);
}

/* The queues of a service's endpoints take turns. */
Test(limits, no_queue_is_forgotten)
{
    enum { EACH = 6 };
    struct server server = serve_talk("\"clients\":1");
    const int first = client(server.endpoint);
    struct pollfd fds[2 * EACH];
    int served[2] = {0};

    assert_answered(first, &server);
    for (int i = 0; i < 2 * EACH; i++) {
        fds[i] = (struct pollfd){client(i < EACH ? server.endpoint : server.tcp), POLLIN, 0};
        tell(fds[i].fd, "echo x");
    }
    assert_line(server.rpd, "which is limits.clients");
    close(first);
    while (served[0] + served[1] < EACH) {
        cr_assert_gt(poll(fds, 2 * EACH, 20000), 0, "%s", process_stderr(server.rpd));
        for (int i = 0; i < 2 * EACH; i++) {
            if (!(fds[i].revents & POLLIN))
                continue;
            served[i / EACH]++;
            close(fds[i].fd);
            fds[i].fd = -1;
        }
    }
    cr_assert(served[0] > 1 && served[1] > 1, "unix %d, tcp %d", served[0], served[1]);
    for (int i = 0; i < 2 * EACH; i++)
        if (fds[i].fd >= 0)
            close(fds[i].fd);
    end_server(&server);
}

/* Its loop serves. */
static void await_warming(const struct server *server, const char *service)
{
    const int dirfd = open(textf("%s/run", server->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int64_t until = now_ns() + INT64_C(60000000000);
    struct rpd_state_page page;

    while (state_view_read(dirfd, service, &page) < 0 || page.phase < RPD_PHASE_WARMING) {
        cr_assert_lt(now_ns(), until, "%s", process_stderr(server->rpd));
        poll(NULL, 0, 1);
    }
    close(dirfd);
}

/* Held clients have places, too; who leaves while held gives it back. */
Test(limits, held_clients_have_places)
{
    struct server server = serve(build_path("samples/slow_start.so"), "\"clients\":2",
                                 ",\"options\":{\"load_s\":1000}");
    await_warming(&server, "slow_start"); /* until then it opens descriptors of its own */
    const int fds_before = count_fds(process_pid(server.rpd));
    const int first = client(server.endpoint), second = client(server.endpoint);
    const int third = client(server.endpoint);

    assert_line(server.rpd, "which is limits.clients");
    /* The hold has a descriptor of its own. */
    assert_fds(&server, fds_before + 3);
    close(first);
    assert_line(server.rpd, "no client waits for a place any more");
    assert_fds(&server, fds_before + 3);
    close(second);
    close(third);
    end_server(&server);
}

/* A stop serves whoever is queued, with or without a place. */
Test(limits, a_stop_answers_who_waits_for_a_place)
{
    struct server server = serve_talk("\"clients\":1");
    const int first = client(server.endpoint), waiting = client(server.endpoint);
    char text[64];

    assert_answered(first, &server);
    tell(waiting, "echo at last");
    assert_line(server.rpd, "which is limits.clients");
    process_signal(server.rpd, SIGTERM);
    read_to_end(waiting, text, sizeof text);
    cr_assert_str_eq(text, "at last\n", "%s", process_stderr(server.rpd));
    assert_ends(server.rpd, 0);
    close(first);
    close(waiting);
    process_free(server.rpd);
    temp_dir_remove(server.dir);
}

/* From another address of this machine. */
static int client_from(const char *address, const char *endpoint)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, address, &from.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    to.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0, "%s", strerror(errno));
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
    return fd;
}

static const char *ask_another_time(const char *endpoint)
{
    const int64_t start = now_ns();
    const char *answer = NULL;

    while (!answer && ms_since(start) < 20000)
        answer = ask_once(endpoint, "echo x");
    return answer;
}

static void check_cap(const char *endpoint, struct server *server)
{
    const int first = client(endpoint), second = client(endpoint);

    assert_answered(first, server);
    assert_answered(second, server);
    const int third = client(endpoint);
    assert_closed(third, server);
    assert_answered(first, server);
    close(first);
    assert_text(ask_another_time(endpoint), "x", server->rpd);
    close(second);
    close(third);
}

Test(limits, clients_per_peer)
{
    static const char what[] = "refused: more of one peer than limits.clients_per_peer (2)";
    struct server server = serve_talk("\"clients_per_peer\":2");

    check_cap(server.endpoint, &server);
    check_cap(server.tcp, &server);
    const int first = client(server.tcp), second = client(server.tcp);
    cr_assert_eq(process_wait_line(server.rpd, what), 0, "%s", process_stderr(server.rpd));
    /* Not one address for all, nor one port. */
    const int other = client_from("127.0.0.2", server.tcp);
    assert_answered(other, &server);
    cr_assert_geq(clients_in_lines(process_stderr(server.rpd), what), 1);
    close(first);
    close(second);
    close(other);
    end_server(&server);
}

/* As another user: 0 if it is answered. */
static int ask_as_nobody(const char *endpoint)
{
    const pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        const char *answer = ask_once(endpoint, "echo x");
        _exit(answer && strcmp(answer, "x") == 0 ? 0 : 1);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(limits, each_user_is_a_peer)
{
    if (geteuid() != 0)
        cr_skip("only root can be somebody else");
    struct server server = serve_talk("\"clients_per_peer\":1");
    const int root = client(server.endpoint);
    cr_assert_eq(chmod(server.dir, 0711), 0);
    assert_answered(root, &server);
    cr_assert_eq(ask_as_nobody(server.endpoint), 0, "%s", process_stderr(server.rpd));
    const int again = client(server.endpoint);
    assert_closed(again, &server);
    close(again);
    close(root);
    end_server(&server);
}

/* ---- descriptors ---- */

static void limit_descriptors(struct process *rpd, rlim_t soft)
{
    struct rlimit limit;

    cr_assert_eq(prlimit(process_pid(rpd), RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = soft > 0 ? soft : limit.rlim_max;
    cr_assert_eq(prlimit(process_pid(rpd), RLIMIT_NOFILE, &limit, NULL), 0);
}

Test(limits, no_descriptors)
{
    enum { CLIENTS = 20, PERIOD_MS = 2500 };
    struct server server = serve_talk("");
    const int old = client(server.endpoint);
    int fds[CLIENTS];

    assert_answered(old, &server);
    limit_descriptors(server.rpd, (rlim_t)count_fds(process_pid(server.rpd)));
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = client(i % 2 ? server.endpoint : server.tcp);
        tell(fds[i], "echo x");
    }
    assert_line(server.rpd, "cannot accept clients (Too many open files)");
    const int64_t cpu = cpu_time_ns(process_pid(server.rpd)), start = now_ns();
    assert_quiet(fds[0], PERIOD_MS);
    const double share = (double)(cpu_time_ns(process_pid(server.rpd)) - cpu) /
                         (double)(now_ns() - start);
    assert_answered(old, &server);
    limit_descriptors(server.rpd, 0);
    const int64_t back = now_ns();
    for (size_t i = 0; i < CLIENTS; i++)
        cr_assert(something_comes(fds[i], 20000), "%s", process_stderr(server.rpd));
    const long took = (long)ms_since(back);
    fprintf(stderr, "without descriptors: %.2f %% CPU, all served again after %ld ms\n",
            share * 100, took);
    cr_assert_lt(share, 0.05);
    cr_assert_lt(took, is_sanitized() ? 5000 : 3000);
    assert_line(server.rpd, "accepts clients again");
    cr_assert_leq(lines_with(process_stderr(server.rpd), "accept"), 10, "%s",
                  process_stderr(server.rpd));
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    close(old);
    end_server(&server);
}

/* rpd whose accept4() fails so, where `file` is there or every second time. */
static struct server serve_with_accept_error(int error, const char *file)
{
    struct server server = {.dir = temp_dir_make()};

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    server.rpd = process_start(&(struct process_options){
        .argv = ARGS("rpd", test_plugin("talk"), "-l", server.endpoint),
        .runtime_dir = textf("%s/run", server.dir),
        .notify = true,
        .env = ARGS(textf("LD_PRELOAD=%s", build_path("tests/support/accept_errors.so")),
                    textf("TEST_ACCEPT_ERROR=%d", error),
                    file ? textf("TEST_ACCEPT_FILE=%s/%s", server.dir, file)
                         : "TEST_ACCEPT_FILE")});
    return server;
}

Test(limits, what_accept_lacks_is_waited_for)
{
    static const int errors[] = {ENFILE, ENOBUFS, ENOMEM};

    for (size_t i = 0; i < 3; i++) {
        struct server server = serve_with_accept_error(errors[i], "lacking");
        const char *file = textf("%s/lacking", server.dir);
        write_text(file, "");
        assert_bound(server.rpd);
        const int fd = client(server.endpoint);
        tell(fd, "echo x");
        assert_line(server.rpd, textf("cannot accept clients (%s)", strerror(errors[i])));
        const int64_t cpu = cpu_time_ns(process_pid(server.rpd));
        assert_quiet(fd, 300);
        cr_assert_lt(cpu_time_ns(process_pid(server.rpd)) - cpu, 50000000);
        unlink(file);
        cr_assert(something_comes(fd, 5000), "%s", process_stderr(server.rpd));
        assert_line(server.rpd, "accepts clients again");
        close(fd);
        end_server(&server);
    }
}

/* Such a name has no mode that would keep others out. */
Test(limits, an_abstract_name_is_for_its_user_alone)
{
    if (geteuid() != 0)
        cr_skip("only root can be somebody else");
    const char *dir = temp_dir_make(), *endpoint = textf("unix:@%s/x", dir);
    struct process *rpd = RPD_START(textf("%s/run", dir), test_plugin("talk"), "-l", endpoint);

    assert_bound(rpd);
    assert_text(ask_once(endpoint, "echo x"), "x", rpd);
    cr_assert_neq(ask_as_nobody(endpoint), 0, "%s", process_stderr(rpd));
    assert_text(ask_once(endpoint, "echo y"), "y", rpd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* A client that comes while accept() lacks something waits, and is served once that is there. */
static void lack_and_have_again(struct server *server, const char *file, size_t times)
{
    write_text(file, "");
    const int fd = client(server->endpoint);
    tell(fd, "echo x");
    cr_assert_eq(process_wait_lines(server->rpd, "cannot accept clients (", times), 0, "%s",
                 process_stderr(server->rpd));
    assert_quiet(fd, 0);
    unlink(file);
    cr_assert(something_comes(fd, 20000), "%s", process_stderr(server->rpd));
    cr_assert_eq(process_wait_lines(server->rpd, "accepts clients again", times), 0, "%s",
                 process_stderr(server->rpd));
    close(fd);
}

static void wait_for_accept_pauses(const struct server *server, uint64_t wanted)
{
    const int dirfd = open(textf("%s/run", server->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int64_t deadline = now_ns() + INT64_C(20000000000);
    struct rpd_state_page page;

    do
        cr_assert_eq(state_view_read(dirfd, "talk", &page), 0, "%s", strerror(errno));
    while (page.accept_pauses != wanted && now_ns() < deadline);
    cr_assert_eq(page.accept_pauses, wanted, "%lu", (unsigned long)page.accept_pauses);
    close(dirfd);
}

/* That the second begins again at 10 ms: unit/test_acceptor.c. */
Test(limits, each_shortage_is_told_and_counted)
{
    struct server server = serve_with_accept_error(EMFILE, "lacking");
    const char *file = textf("%s/lacking", server.dir);

    assert_bound(server.rpd);
    wait_for_accept_pauses(&server, 0);
    for (size_t times = 1; times <= 3; times++) {
        lack_and_have_again(&server, file, times);
        wait_for_accept_pauses(&server, times);
    }
    cr_assert_eq(lines_with(process_stderr(server.rpd), "cannot accept"), 3, "%s",
                 process_stderr(server.rpd));
    end_server(&server);
}

Test(limits, who_leaves_the_queue_harms_nobody)
{
    static const int errors[] = {ECONNABORTED, EPROTO, EPERM, EINTR};

    for (size_t i = 0; i < 4; i++) {
        struct server server = serve_with_accept_error(errors[i], NULL);
        assert_bound(server.rpd);
        for (int k = 0; k < 20; k++)
            assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
        assert_stops(server.rpd);
        cr_assert(!strstr(process_stderr(server.rpd), "cannot accept"), "%s",
                  process_stderr(server.rpd));
        end_server(&server);
    }
}

static void reset(int fd)
{
    static const struct linger hard = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

/* In the middle of a request, of an answer, and in the queue. */
Test(limits, resets_give_places_back)
{
    enum { ROUNDS = 30 };
    struct server server = serve_talk("\"clients\":3,\"clients_per_peer\":1000");
    const int good = client(server.endpoint);

    assert_answered(good, &server);
    for (int i = 0; i < ROUNDS; i++) {
        const int asking = client(server.tcp), answered = client(server.tcp);
        cr_assert_eq(send_all(asking, "half a requ", 11), 0);
        tell(answered, "big 3000000");
        cr_assert(something_comes(answered, 20000), "%s", process_stderr(server.rpd));
        const int queued = client(server.tcp);
        reset(queued);
        reset(answered);
        reset(asking);
        assert_answered(good, &server);
    }
    const int one = client(server.tcp), two = client(server.endpoint);
    assert_answered(one, &server);
    assert_answered(two, &server);
    close(one);
    close(two);
    close(good);
    end_server(&server);
}

/* Two services with few descriptors. */
static struct server serve_two_with(const char *nofile)
{
    struct server server = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", server.dir);

    server.endpoint = textf("unix:%s/x.sock", server.dir);
    server.tcp = textf("unix:%s/y.sock", server.dir);
    write_text(config, textf("{\"services\":[{\"plugin\":\"%s\",\"listen\":[\"%s\"]},"
                             "{\"plugin\":\"%s\",\"name\":\"other\",\"listen\":[\"%s\"]}]}",
                             test_plugin("talk"), server.endpoint, "echo.so", server.tcp));
    server.rpd = process_start(
        &(struct process_options){.argv = ARGS("prlimit", textf("--nofile=%s:%s", nofile, nofile),
                                               build_path("rpd"), "-c", config),
                                  .runtime_dir = textf("%s/run", server.dir),
                                  .notify = true});
    assert_bound(server.rpd);
    return server;
}

/* Clients may not take the last descriptors: all services share what there is. */
Test(limits, the_last_descriptors_are_not_for_clients)
{
    enum { NOFILE = 128, CLIENTS = 120 };
    struct server server = serve_two_with(textf("%d", NOFILE));
    int fds[CLIENTS];

    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = client(server.endpoint);
        tell(fds[i], "echo x");
    }
    assert_line(server.rpd, "for more there are no descriptors");
    cr_assert_leq(count_fds(process_pid(server.rpd)), NOFILE - 32 + 2, "%d are open",
                  count_fds(process_pid(server.rpd)));
    const int other = client(server.tcp);
    tell(other, "echo x");
    const int64_t cpu = cpu_time_ns(process_pid(server.rpd));
    assert_quiet(other, 500);
    cr_assert_lt(cpu_time_ns(process_pid(server.rpd)) - cpu, 100000000);
    assert_answered(fds[0], &server);
    /* One after the other leaves, and makes room for all. */
    for (size_t i = 0; i < CLIENTS; i++) {
        cr_assert(something_comes(fds[i], 20000), "client %zu:\n%s", i, process_stderr(server.rpd));
        close(fds[i]);
    }
    cr_assert(something_comes(other, 20000), "%s", process_stderr(server.rpd));
    assert_line(server.rpd, "no client waits for a descriptor any more");
    cr_assert(!strstr(process_stderr(server.rpd), "cannot accept"), "%s",
              process_stderr(server.rpd));
    close(other);
    end_server(&server);
}

/* Clients that take their answer and stay: only so many descriptors wait for them. */
Test(limits, lingering_is_bounded)
{
    enum { CLIENTS = 1300, LINGERERS = 1024 };
    struct server server = serve_talk("");
    const int before = count_fds(process_pid(server.rpd));
    int *fds = calloc(CLIENTS, sizeof *fds);
    char text[8];

    for (size_t i = 0; i < CLIENTS; i++)
        fds[i] = client(server.endpoint);
    for (size_t i = 0; i < CLIENTS; i++)
        tell(fds[i], "finish 3");
    for (size_t i = 0; i < CLIENTS; i++) {
        cr_assert_eq(read_to_end(fds[i], text, sizeof text), 3, "client %zu", i);
        cr_assert_str_eq(text, "abc");
    }
    /* The last may have its end, and be about to be closed. */
    assert_fds(&server, before + LINGERERS + 1);
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    free(fds);
    end_server(&server);
}

/* One that has its answer, and goes on sending a byte now and then, has had its time. */
Test(limits, who_drips_does_not_linger)
{
    struct server server = serve_talk("");
    const int fd = client(server.endpoint);
    const int64_t deadline = now_ns() + INT64_C(15000000000);
    char text[8];

    tell(fd, "finish 3");
    cr_assert_eq(read_to_end(fd, text, sizeof text), 3);
    while (send(fd, "x", 1, MSG_NOSIGNAL) == 1 && now_ns() < deadline)
        poll(NULL, 0, 100);
    cr_assert_lt(now_ns(), deadline, "it lingers: %s", process_stderr(server.rpd));
    close(fd);
    end_server(&server);
}

/* ---- backends that take their clients ---- */

static const char *greeting(const char *endpoint)
{
    static char text[64];
    const int fd = client(endpoint);

    tell(fd, "hello");
    read_to_end(fd, text, sizeof text);
    close(fd);
    return text;
}

Test(limits, places_of_given_clients_come_back)
{
    struct server server = serve(test_plugin("accepts"), "\"clients\":2,\"clients_per_peer\":3",
                                 "");
    const int kept = client(server.endpoint), more = client(server.endpoint);

    tell(kept, "keep");
    cr_assert(something_comes(kept, 20000));
    tell(more, "hello");
    cr_assert(something_comes(more, 20000));
    for (int i = 0; i < 30; i++)
        assert_text(greeting(i % 2 ? server.endpoint : server.tcp), "ready\n", server.rpd);
    const int last = client(server.endpoint), waiting = client(server.endpoint);
    tell(last, "keep");
    cr_assert(something_comes(last, 20000));
    tell(waiting, "hello");
    assert_line(server.rpd, "which is limits.clients");
    assert_quiet(waiting, 200);
    end_server(&server);
    close(kept);
    close(more);
    close(last);
    close(waiting);
}

Test(limits, places_of_a_library_come_back)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    if (access(build_path("samples/web.so"), F_OK) != 0)
        cr_skip("built without libmicrohttpd");
    struct server server = serve(build_path("samples/web.so"), "\"clients\":1", "");
    for (int i = 0; i < 10; i++) {
        const int first = client(server.tcp);
        cr_assert_eq(send_all(first, request, sizeof request - 1), 0);
        cr_assert(something_comes(first, 20000));
        const int second = client(server.endpoint);
        cr_assert_eq(send_all(second, request, sizeof request - 1), 0);
        assert_quiet(second, 20);
        close(first);
        cr_assert(something_comes(second, 20000), "%s", process_stderr(server.rpd));
        close(second);
    }
    cr_assert(!strstr(process_stderr(server.rpd), "mistake"), "%s", process_stderr(server.rpd));
    end_server(&server);
}

/* A backend that says it of nobody, or of everybody twice, is told so, and served. */
Test(limits, mistaken_backends_are_told)
{
    struct server server = serve(test_plugin("accepts"), "", ",\"options\":{\"gone\":2}");

    for (int i = 0; i < 10; i++)
        assert_text(greeting(server.endpoint), "ready\n", server.rpd);
    assert_line(server.rpd, "of rpd_client_gone() with a descriptor that is no client");
    end_server(&server);
    server = serve(test_plugin("accepts"), "", ",\"options\":{\"gone\":0}");
    for (int i = 0; i < 10; i++)
        assert_text(greeting(server.endpoint), "ready\n", server.rpd);
    assert_line(server.rpd, "closed by the backend without rpd_client_gone()");
    end_server(&server);
}

/* ---- the memory of all together ---- */

static const char of_all[] = "closed: held most, all clients together beyond limits.buffer_bytes";

/* Sends that many letters; no line ends. */
static void send_letters(int fd, size_t size)
{
    char *letters = malloc(size);

    memset(letters, 'x', size);
    cr_assert_eq(send_all(fd, letters, size), 0, "%s", strerror(errno));
    free(letters);
}

/* Of unix: the daemon has read all that was sent. */
static void wait_taken(int fd, struct server *server)
{
    int left = 1;

    for (const int64_t began = now_ns(); left > 0; poll(NULL, 0, 1)) {
        cr_assert_eq(ioctl(fd, SIOCOUTQ, &left), 0, "%s", strerror(errno));
        cr_assert_lt(ms_since(began), 20000, "not read:\n%s", process_stderr(server->rpd));
    }
}

/* A client that has begun a request of talk. */
static int half_request(const char *endpoint, const char *begin, size_t letters)
{
    const int fd = client(endpoint);

    cr_assert_eq(send_all(fd, begin, strlen(begin)), 0);
    send_letters(fd, letters);
    return fd;
}

/* ... whose length the daemon says when it ends. */
#define assert_length(fd, letters, server)                                                         \
    assert_text(ask(fd, ""), textf("%zu", (size_t)(letters) + 4), (server)->rpd)

static uint64_t clients_cut(const struct server *server, const char *service)
{
    const int dirfd = open(textf("%s/run", server->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rpd_state_page page;

    cr_assert_eq(state_view_read(dirfd, service, &page), 0, "%s", strerror(errno));
    close(dirfd);
    return page.clients_cut;
}

static void wait_for_clients_cut(const struct server *server, const char *service, uint64_t wanted)
{
    for (const int64_t began = now_ns(); clients_cut(server, service) < wanted; poll(NULL, 0, 10))
        cr_assert_lt(ms_since(began), 20000, "%s", process_stderr(server->rpd));
    cr_assert_eq(clients_cut(server, service), wanted, "%s", process_stderr(server->rpd));
}

static void read_big(int fd, size_t size, struct server *server)
{
    char *data = malloc(size + 1);

    cr_assert_eq(read_exactly(fd, data, size + 1), (ssize_t)size + 1, "%s",
                 process_stderr(server->rpd));
    free(data);
}

/* The smaller one was there first, and is left alone; so is all where there is room. */
Test(limits, the_client_that_holds_most_is_closed)
{
    enum { SMALL = 3000000, LARGE = 6000000 };

    for (int bound = 8 << 20; bound <= 64 << 20; bound *= 8) {
        struct server server = serve_talk(textf("\"buffer_bytes\":%d", bound));
        const int small = client(server.endpoint), large = client(server.endpoint);
        const bool fits = bound > 16 << 20;

        tell(small, textf("big %d", SMALL));
        cr_assert(something_comes(small, 20000));
        tell(large, textf("big %d", LARGE));
        cr_assert(something_comes(large, 20000));
        if (fits)
            read_big(large, LARGE, &server);
        else
            wait_for_clients_in_lines(&server, textf("%s (%d)", of_all, bound), 1);
        wait_for_clients_cut(&server, "talk", !fits);
        assert_text(ask_once(server.tcp, "echo x"), "x", server.rpd);
        read_big(small, SMALL, &server);
        assert_answered(small, &server);
        close(small);
        close(large);
        end_server(&server);
    }
}

/* The page is written now and then. */
static void wait_cut(const struct server *server, const char *service)
{
    for (int tries = 0; tries < 20000 && clients_cut(server, service) < 1; tries++)
        poll(NULL, 0, 1);
    cr_assert_geq(clients_cut(server, service), 1);
}

/* Of unfinished requests and unread answers alike the daemon holds no more than that,
 * and says so in few lines. */
Test(limits, all_buffers_together_are_bounded)
{
    enum { CLIENTS = 60, EACH = 3000000, BOUND = 32 << 20, SLACK_KIB = 16 * 1024 };
    struct server server = serve_talk(textf("\"buffer_bytes\":%d", BOUND));
    const int good = client(server.endpoint);
    int fds[CLIENTS];
    long most = 0;

    assert_answered(good, &server);
    const long before = rss_kib(process_pid(server.rpd));
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = client(server.endpoint);
        if (i % 2) {
            tell(fds[i], textf("big %d", EACH));
            cr_assert(something_comes(fds[i], 20000));
        } else {
            send_letters(fds[i], EACH);
        }
        const long now = rss_kib(process_pid(server.rpd)) - before;
        most = now > most ? now : most;
        assert_answered(good, &server);
    }
    fprintf(stderr, "%d clients with 3 MB each: the daemon grew by %ld KiB, of %d\n", CLIENTS, most,
            BOUND / 1024);
    if (!is_sanitized())
        cr_assert_leq(most, BOUND / 1024 + SLACK_KIB);
    assert_line(server.rpd, of_all);
    wait_cut(&server, "talk");
    for (size_t i = 0; i < CLIENTS; i++)
        close(fds[i]);
    assert_answered(good, &server);
    close(good);
    end_server(&server);
}

/* With the two others: near the bound, which is 1.5 MiB, and not beyond it. */
enum { NEAR_A = 560 * 1024, NEAR_B = 200 * 1024, NEAR_C = 100 * 1024 };

/* What the daemon takes of much more. */
static size_t send_until_full(int fd)
{
    static char block[16384];
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    size_t total = 0;
    ssize_t sent;

    memset(block, 'x', sizeof block);
    do
        while (total < 4 * NEAR_A &&
               (sent = send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
            total += (size_t)sent;
    while (total < 4 * NEAR_A && poll(&writable, 1, 100) > 0 && !(writable.revents & POLLERR) &&
           !(writable.revents & POLLHUP));
    return total;
}

/* The others are kept by a job, and have all their time. */
Test(limits, who_waits_for_memory_in_vain_is_closed)
{
    struct server server = serve_talk("\"buffer_bytes\":1572864,\"request_s\":2");
    const int middle = half_request(server.endpoint, "job 6000 late\nput ", NEAR_B);
    wait_taken(middle, &server);
    const int small = half_request(server.endpoint, "job 6000 late\nput ", NEAR_C);
    wait_taken(small, &server);
    const int large = half_request(server.endpoint, "put ", NEAR_A);
    send_until_full(large);
    assert_closed(large, &server);
    wait_for_clients_in_lines(&server, textf("%s (1572864)", of_all), 1);
    assert_text(hear_line(small), "late", server.rpd);
    assert_length(small, NEAR_C, &server);
    assert_text(hear_line(middle), "late", server.rpd);
    assert_length(middle, NEAR_B, &server);
    close(large);
    close(middle);
    close(small);
    end_server(&server);
}

static int half_request_from(const char *address, const struct server *server, size_t letters)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, address, &from.sin_addr);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((in_port_t)atoi(strrchr(server->tcp, ':') + 1));
    cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0, "%s", strerror(errno));
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
    cr_assert_eq(send_all(fd, "put ", 4), 0);
    send_letters(fd, letters);
    return fd;
}

/* Each of them holds 2 MiB; two of one address are too many. */
Test(limits, a_peer_has_its_own_bound)
{
    enum { EACH = 1200000 };
    struct server server = serve_talk("\"buffer_bytes_per_peer\":3145728,\"request_s\":0");
    const int of_user = half_request(server.endpoint, "put ", EACH);
    const int of_another = half_request_from("127.0.0.2", &server, EACH);
    const int first = half_request_from("127.0.0.3", &server, EACH);
    const int second = half_request_from("127.0.0.3", &server, EACH);

    wait_for_clients_in_lines(&server,
                              "closed: held most, all of one peer together beyond "
                              "limits.buffer_bytes_per_peer (3145728)",
                              1);
    assert_length(of_user, EACH, &server);
    assert_length(of_another, EACH, &server);
    wait_for_clients_cut(&server, "talk", 1);
    close(of_user);
    close(of_another);
    close(first);
    close(second);
    end_server(&server);
}

static void send_until_closed(int fd)
{
    static char block[65536];

    memset(block, 'x', sizeof block);
    for (size_t i = 0; i < 1000 && send(fd, block, sizeof block, MSG_NOSIGNAL) > 0; i++)
        continue;
}

/* The daemon may have a little more memory than it has, and no more. */
Test(limits, without_memory_a_client_is_closed_and_counted)
{
    struct server server = serve_talk("\"buffer_bytes\":0");
    const int good = client(server.endpoint);
    struct rlimit limit;

    if (is_sanitized())
        cr_skip("a sanitizer takes address space as it likes");
    assert_answered(good, &server);
    const char *statm = file_read(textf("/proc/%d/statm", (int)process_pid(server.rpd)));
    limit.rlim_cur = limit.rlim_max = ((rlim_t)atoll(statm) * 4096) + (24 << 20);
    cr_assert_eq(prlimit(process_pid(server.rpd), RLIMIT_AS, &limit, NULL), 0, "%s",
                 strerror(errno));
    const int large = client(server.endpoint);
    send_until_closed(large);
    assert_closed(large, &server);
    wait_for_clients_in_lines(&server, "closed: there was no memory for it", 1);
    wait_for_clients_cut(&server, "talk", 1);
    assert_answered(good, &server);
    const int again = half_request(server.endpoint, "put ", 1000000);
    assert_length(again, 1000000, &server);
    close(again);
    close(large);
    close(good);
    end_server(&server);
}

/* ---- a trickle is no progress ---- */

/* 4 KiB/s are enough, 0.5 KiB/s are not. */
Test(limits, a_request_must_come_at_a_rate)
{
    struct server server = serve_talk("\"request_s\":2");
    const int steady = half_request(server.endpoint, "put ", 4);
    const int trickle = half_request(server.endpoint, "put ", 4);
    size_t sent = 4;

    for (const int64_t began = now_ns(); ms_since(began) < 7000; poll(NULL, 0, 250)) {
        send_letters(steady, 1024);
        sent += 1024;
        (void)!send(trickle, "xxxxxxxxxx", 10, MSG_NOSIGNAL);
    }
    assert_closed(trickle, &server);
    wait_for_clients_in_lines(&server, "closed: no complete request within limits.request_s (2 s)",
                              1);
    assert_length(steady, sent, &server);
    close(steady);
    close(trickle);
    end_server(&server);
}

/* One whose kernel takes little at a time. */
static int narrow_client(const struct server *server)
{
    static const int room = 4096, segment = 512;
    struct sockaddr_in to = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((in_port_t)atoi(strrchr(server->tcp, ':') + 1));
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
    return fd;
}

/* It takes something all the time, but some 20 KiB/s, and 64 are asked for; the other
 * takes more than that. */
Test(limits, output_must_be_taken_at_a_rate)
{
    enum { SLOW_PIECE = 1024, STEADY_PIECE = 16384, SIZE = 16000000 };
    struct server server = serve_talk("\"write_stall_s\":3,\"progress_bytes_per_s\":65536");
    const int slow = narrow_client(&server), steady = client(server.endpoint);
    static const char what[] = "closed: read nothing or too little within limits.write_stall_s (3";
    static char piece[STEADY_PIECE];

    tell(slow, textf("big %d", SIZE));
    tell(steady, textf("big %d", SIZE));
    const int64_t began = now_ns();
    while (lines_with(process_stderr(server.rpd), what) == 0 && ms_since(began) < 40000) {
        poll(NULL, 0, 50);
        cr_assert_gt(recv(slow, piece, SLOW_PIECE, 0), 0, "%s", process_stderr(server.rpd));
        cr_assert_eq(read_exactly(steady, piece, STEADY_PIECE), STEADY_PIECE, "%s",
                     process_stderr(server.rpd));
    }
    const long took = (long)ms_since(began);
    fprintf(stderr, "a trickle of output was closed after %ld ms\n", took);
    wait_for_clients_in_lines(&server, what, 1);
    cr_assert(took >= 9000 && took < 40000, "after %ld ms", took);
    assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
    close(slow);
    close(steady);
    end_server(&server);
}

/* ---- memory ---- */

static int clients_to_measure(void)
{
    const char *wanted = getenv("RPD_TEST_CLIENTS");

    return wanted ? atoi(wanted) : 2000;
}

static int compare_times(const void *left, const void *right)
{
    const int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

static void say_latency(int fd, struct server *server)
{
    enum { TIMES = 1000 };
    static int64_t took[TIMES];

    for (size_t i = 0; i < TIMES; i++) {
        const int64_t asked = now_ns();
        assert_answered(fd, server);
        took[i] = now_ns() - asked;
    }
    qsort(took, TIMES, sizeof *took, compare_times);
    fprintf(stderr, "one of them is answered in %ld us, 99 of 100 times\n",
            (long)(took[TIMES * 99 / 100] / 1000));
}

static double bytes_each(struct server *server, int count, bool speaks)
{
    int *fds = calloc((size_t)count, sizeof *fds);
    const int least = count + 3;
    const long before = rss_kib(process_pid(server->rpd));
    const int64_t start = now_ns();

    for (int i = 0; i < count; i++) {
        fds[i] = client(server->endpoint);
        if (speaks)
            assert_answered(fds[i], server);
    }
    while (count_fds(process_pid(server->rpd)) < least && ms_since(start) < 60000)
        poll(NULL, 0, 10);
    cr_assert_geq(count_fds(process_pid(server->rpd)), least, "%s", process_stderr(server->rpd));
    const double each = (double)(rss_kib(process_pid(server->rpd)) - before) * 1024 / count;
    if (speaks)
        say_latency(fds[0], server);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    free(fds);
    return each;
}

Test(limits, an_idle_client_costs_little)
{
    const int count = clients_to_measure();
    struct server server = serve_talk("\"idle_s\":1000,\"clients_per_peer\":100000");
    const double each = bytes_each(&server, count, true);

    fprintf(stderr, "%d idle clients: %.0f bytes each\n", count, each);
    if (!is_sanitized())
        cr_assert_leq(each, 1536);
    end_server(&server);
}

Test(limits, a_held_client_costs_little)
{
    const int count = clients_to_measure();
    struct server server = serve(build_path("samples/slow_start.so"), "",
                                 ",\"options\":{\"load_s\":1000}");
    const double each = bytes_each(&server, count, false);

    fprintf(stderr, "%d held clients: %.0f bytes each\n", count, each);
    if (!is_sanitized())
        cr_assert_leq(each, 2048);
    end_server(&server);
}
