/* Memory: that of all clients together, that of one, and that of clients that send or take a
 * trickle. */
#include "limits_scene.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

/* ---- the memory of all clients ---- */

static const char of_all[] = "closed: held most, all clients together beyond limits.buffer_bytes";

/* Sends this many letters, without an end of line. */
static void send_letters(int fd, size_t size)
{
    char *letters = malloc(size);

    memset(letters, 'x', size);
    cr_assert_eq(send_all(fd, letters, size), 0, "%s", strerror(errno));
    free(letters);
}

/* For unix sockets: waits until the daemon has read all that was sent. */
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

/* ... and the daemon reports its length when it ends. */
#define assert_length(fd, letters, server)                                                         \
    assert_text(ask(fd, ""), textf("%zu", (size_t)(letters) + 4), (server)->rpd)

static struct rpd_state_page page_of(const struct server *server, const char *service)
{
    const int dirfd = open(textf("%s/run", server->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rpd_state_page page;

    cr_assert_eq(state_view_read(dirfd, service, &page), 0, "%s", strerror(errno));
    close(dirfd);
    return page;
}

static uint64_t clients_cut(const struct server *server, const char *service)
{
    return page_of(server, service).clients_cut;
}

static uint64_t clients_now(const struct server *server, const char *service)
{
    return page_of(server, service).clients_active;
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

/* The smaller client was there first, and is left alone. While there is room, all are. */
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

/* The page is updated now and then. */
static void wait_cut(const struct server *server, const char *service)
{
    for (int tries = 0; tries < 20000 && clients_cut(server, service) < 1; tries++)
        poll(NULL, 0, 1);
    cr_assert_geq(clients_cut(server, service), 1);
}

/* Near the bound the daemon may stop reading it, or close the client meanwhile. */
static void send_what_is_read(int fd, size_t size)
{
    static char block[16384];
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    ssize_t sent = 0;

    memset(block, 'x', sizeof block);
    for (size_t total = 0; total < size; total += (size_t)sent) {
        if (poll(&writable, 1, 100) <= 0)
            return;
        sent = send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent <= 0)
            return;
    }
}

/* The daemon holds no more than the bound, whether of unfinished requests or of unread answers, and
 * reports it in a few lines. */
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
            send_what_is_read(fds[i], EACH);
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

static void send_until_closed(int fd)
{
    static char block[65536];

    memset(block, 'x', sizeof block);
    for (size_t i = 0; i < 1000 && send(fd, block, sizeof block, MSG_NOSIGNAL) > 0; i++)
        continue;
}

/* Together they are near the bound, which is 1.5 MiB, but not beyond it. */
enum { NEAR_A = 560 * 1024, NEAR_B = 200 * 1024, NEAR_C = 100 * 1024, NEAR_KERNEL = 128 * 1024 };

/* From now on the kernel buffers only a little that the daemon does not read. */
static void narrow(int fd)
{
    static const int size = NEAR_KERNEL / 8;

    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
}

/* Sends much more. Returns how much the daemon and the kernel take. */
static size_t send_until_full(int fd)
{
    static char block[4096];
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    size_t total = 0;
    ssize_t sent;

    memset(block, 'x', sizeof block);
    do
        while (total < 8 * NEAR_A &&
               (sent = send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
            total += (size_t)sent;
    while (total < 8 * NEAR_A && poll(&writable, 1, 500) > 0 && !(writable.revents & POLLERR) &&
           !(writable.revents & POLLHUP));
    return total;
}

Test(limits, near_the_bound_who_holds_most_is_not_read)
{
    struct server server = serve_talk("\"buffer_bytes\":1572864,\"request_s\":0");
    const int large = half_request(server.endpoint, "put ", NEAR_A);
    wait_taken(large, &server);
    const int middle = half_request(server.endpoint, "put ", NEAR_B);
    wait_taken(middle, &server);
    const int small = half_request(server.endpoint, "put ", NEAR_C);
    wait_taken(small, &server);
    narrow(large);
    const size_t more = send_until_full(large);
    cr_assert_leq(more, NEAR_KERNEL, "%zu were read; cut %lu", more,
                  (unsigned long)clients_cut(&server, "talk"));
    assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
    assert_length(small, NEAR_C, &server);
    wait_taken(large, &server); /* again */
    assert_length(large, NEAR_A + more, &server);
    assert_length(middle, NEAR_B, &server);
    cr_assert_eq(clients_cut(&server, "talk"), 0, "%s", process_stderr(server.rpd));
    close(large);
    close(middle);
    close(small);
    end_server(&server);
}

/* However its buffer grows, a client that sends without end is at first just not read. It is closed
 * at the bound only if no other client holds memory, so that none would benefit. */
Test(limits, who_sends_without_end_comes_near_the_bound_before_it_is_closed)
{
    enum { BOUND = 1572864, MARK = BOUND / 8 * 7, ROOM_C = 128 * 1024, AHEAD = 32 * 1024 };
    struct server server = serve_talk(textf("\"buffer_bytes\":%d,\"request_s\":0", BOUND));
    const int small = half_request(server.endpoint, "put ", NEAR_C);
    wait_taken(small, &server);
    const int large = half_request(server.endpoint, "put ", 4096);
    narrow(large);
    const size_t more = send_until_full(large);
    cr_assert_gt(more, MARK - ROOM_C - AHEAD, "%zu were read", more);
    cr_assert_lt(more, BOUND - NEAR_C + NEAR_KERNEL, "%zu were read", more);
    assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
    cr_assert_eq(clients_cut(&server, "talk"), 0, "%s", process_stderr(server.rpd));
    assert_length(small, NEAR_C, &server);
    close(small);
    send_until_closed(large);
    assert_closed(large, &server);
    wait_for_clients_in_lines(&server, textf("%s (%d)", of_all, BOUND), 1);
    wait_for_clients_cut(&server, "talk", 1);
    close(large);
    end_server(&server);
}

/* How the client leaves while its unread input waits in the kernel. */
static void closes(int fd)
{
    close(fd);
}

static void resets(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
}

static void wait_for_clients(const struct server *server, size_t wanted)
{
    for (const int64_t began = now_ns(); clients_now(server, "talk") != wanted; poll(NULL, 0, 5))
        cr_assert_lt(ms_since(began), 20000, "%zu clients:\n%s",
                     (size_t)clients_now(server, "talk"), process_stderr(server->rpd));
}

/* The other clients neither send nor leave, so memory stays short. */
static void starve_and_leave(bool of_tcp, void (*leave)(int fd))
{
    struct server server = serve_talk("\"buffer_bytes\":1572864,\"request_s\":0");
    const int middle = half_request(server.endpoint, "put ", NEAR_B);
    wait_taken(middle, &server);
    const int small = half_request(server.endpoint, "put ", NEAR_C);
    wait_taken(small, &server);
    const int large = half_request(of_tcp ? server.tcp : server.endpoint, "put ", NEAR_A);
    narrow(large);
    send_until_full(large);
    wait_for_clients(&server, 3);
    leave(large);
    wait_for_clients(&server, 2);
    cr_assert_eq(clients_cut(&server, "talk"), 0, "%s", process_stderr(server.rpd));
    assert_length(small, NEAR_C, &server);
    assert_length(middle, NEAR_B, &server);
    close(middle);
    close(small);
    end_server(&server);
}

Test(limits, who_is_not_read_and_leaves_is_noticed)
{
    starve_and_leave(false, closes);
    starve_and_leave(true, resets);
}

/* One client waits for memory. It becomes free when another client is closed that did not wait,
 * because the daemon had not looked at it since memory became short. */
Test(limits, who_waits_for_memory_is_read_again_when_another_is_closed)
{
    enum { BOUND = 1500000, HALF_MIB = 300000, REST = 200000, MORE = 1000 };
    struct server server = serve_talk(textf("\"buffer_bytes\":%d,\"request_s\":0", BOUND));
    const int first = half_request(server.endpoint, "put ", HALF_MIB);
    wait_taken(first, &server);
    const int second = half_request(server.endpoint, "put ", HALF_MIB);
    wait_taken(second, &server);
    const int third = half_request(server.endpoint, "put ", HALF_MIB);
    wait_taken(third, &server);
    send_letters(second, MORE);
    assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
    assert_text(ask_once(server.endpoint, "echo x"), "x", server.rpd);
    send_letters(third, REST);
    wait_for_clients_cut(&server, "talk", 1);
    assert_closed(first, &server);
    wait_taken(second, &server);
    assert_length(second, HALF_MIB + MORE, &server);
    assert_length(third, HALF_MIB + REST, &server);
    close(first);
    close(second);
    close(third);
    end_server(&server);
}

/* A job keeps the other clients, and they have all their time. */
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

/* If the daemon does not read it, the test must not hang. */
static void assert_length_soon(int fd, size_t letters, struct server *server)
{
    struct pollfd answered = {.fd = fd, .events = POLLIN};

    cr_assert_eq(send_all(fd, "\n", 1), 0);
    cr_assert_eq(poll(&answered, 1, 20000), 1, "not read:\n%s", process_stderr(server->rpd));
    assert_text(hear_line(fd), textf("%zu", letters + 4), server->rpd);
}

/* By now the daemon has looked at each client before it. */
static void let_serve(const struct server *server)
{
    for (size_t i = 0; i < 20; i++)
        assert_text(ask_once(server->endpoint, "echo x"), "x", server->rpd);
}

/* One peer has more clients that wait for memory than are woken at once. Another peer's memory
 * becomes free. */
Test(limits, who_waits_for_memory_is_read_again_behind_many_who_still_wait)
{
    enum { BOUND = 1500000, TINY = 10, MANY = 21, KIB_64 = 40000, HALF_MIB = 300000, MORE = 1000 };
    struct server server = serve_talk(textf("\"buffer_bytes_per_peer\":%d,\"request_s\":0", BOUND));
    int tiny[TINY], many[MANY], of_another[3];

    for (size_t i = 0; i < TINY; i++)
        tiny[i] = half_request(server.endpoint, "put ", 100);
    for (size_t i = 0; i < MANY; i++) {
        many[i] = half_request(server.endpoint, "put ", KIB_64);
        wait_taken(many[i], &server);
    }
    for (size_t i = 0; i < MANY; i++)
        send_letters(many[i], MORE);
    for (size_t i = 0; i < 3; i++) {
        of_another[i] = half_request_from("127.0.0.2", &server, HALF_MIB);
        let_serve(&server);
    }
    send_letters(of_another[1], MORE);
    let_serve(&server);
    close(of_another[2]);
    assert_length_soon(of_another[1], HALF_MIB + MORE, &server);
    cr_assert_eq(clients_cut(&server, "talk"), 0, "%s", process_stderr(server.rpd));
    for (size_t i = 0; i < TINY; i++)
        close(tiny[i]);
    for (size_t i = 0; i < MANY; i++)
        close(many[i]);
    close(of_another[0]);
    close(of_another[1]);
    end_server(&server);
}

/* Two clients of one address are too many. */
Test(limits, a_peer_has_its_own_bound)
{
    enum { EACH = 1700000 };
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

/* The daemon may use a little more memory than now, and no more. */
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

/* A client whose kernel takes little at a time. */
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

/* The client takes something all the time, but only about 20 KiB/s, where 64 are required; the
 * other client takes more than that. */
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
