/* Clients that are too many, too slow, or gone. See provoke.h. */
#include "provoke.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

/* What an arrange_ function made while the daemon served, for use when it drains. */
static struct crowd arranged;

/* ---- crowds ------------------------------------------------------------------------ */

struct crowd crowd_make(const char *endpoint, size_t count)
{
    struct crowd crowd = {.fds = calloc(count, sizeof(int)), .count = count};

    for (size_t i = 0; i < count; i++)
        crowd.fds[i] = stage_client(endpoint);
    return crowd;
}

void crowd_close(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; i++)
        close(crowd->fds[i]);
    free(crowd->fds);
    *crowd = (struct crowd){0};
}

static void crowd_add(struct crowd *crowd, int fd)
{
    crowd->fds = realloc(crowd->fds, (crowd->count + 1) * sizeof(int));
    crowd->fds[crowd->count++] = fd;
}

static void crowd_says(const struct crowd *crowd, const char *bytes)
{
    for (size_t i = 0; i < crowd->count; i++)
        cr_assert_eq(send_all(crowd->fds[i], bytes, strlen(bytes)), 0, "client %zu: %s", i,
                     strerror(errno));
}

static void crowd_expects(struct stage *stage, const struct crowd *crowd, const char *line)
{
    for (size_t i = 0; i < crowd->count; i++)
        stage_expect_line(stage, crowd->fds[i], line);
}

/* End of file or a reset: the daemon closed the connection. */
static void assert_closed(int fd)
{
    char bytes[4096];
    ssize_t got;

    while ((got = read_exactly(fd, bytes, sizeof bytes)) > 0)
        continue;
    cr_assert(got == 0 || errno == ECONNRESET, "%s", strerror(errno));
}

static void crowd_is_closed(const struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; i++)
        assert_closed(crowd->fds[i]);
}

static long most_clients(void)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return (long)limit.rlim_cur - 500;
}

size_t crowd_size(size_t few, size_t in_long_form)
{
    const size_t most = (size_t)most_clients();
    const size_t wanted = is_long() ? in_long_form : few;

    return wanted < most ? wanted : most;
}

/* How much the daemon's memory has grown since `before`, per client. */
static void assert_memory(struct stage *stage, long before_kib, size_t count, double most_kib)
{
    const double each = (double)(rss_kib(process_pid(stage->rpd)) - before_kib) / (double)count;

    cr_log_info("%zu clients: %.2f KiB each", count, each);
    if (!is_slow())
        cr_assert_leq(each, most_kib, "%.2f KiB each", each);
}

/* ---- row 33: a full backlog ----------------------------------------------------------- */

/* Connects without waiting; or -1 and errno. */
static int try_connect(const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", endpoint + strlen("unix:"));
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        fcntl(fd, F_SETFL, 0);
        return fd;
    }
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* TCP: connects without waiting; the connection may take its time. */
static int begin_connect(const char *endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    address.sin_port = htons((in_port_t)atoi(strrchr(endpoint, ':') + 1));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 ||
                  errno == EINPROGRESS,
              "%s", strerror(errno));
    return fd;
}

/* As many clients as the backlog takes; each has sent a request. */
static struct crowd fill_backlog(struct stage *stage, size_t at_least)
{
    struct crowd crowd = {0};

    for (int fd; crowd.count < 100 && (fd = try_connect(stage->endpoint)) >= 0;)
        crowd_add(&crowd, fd);
    cr_assert_eq(errno, EAGAIN, "after %zu clients: %s", crowd.count, strerror(errno));
    cr_assert(crowd.count >= at_least && crowd.count < 100, "%zu clients", crowd.count);
    crowd_says(&crowd, "patient\n");
    return crowd;
}

/* TCP refuses no client either: some are connected, the others have no answer yet. */
static struct crowd fill_tcp_backlog(struct stage *stage)
{
    struct crowd crowd = {0};

    for (int i = 0; i < 20; i++)
        crowd_add(&crowd, begin_connect(stage->tcp));
    poll(NULL, 0, 100);
    for (size_t i = 0; i < crowd.count; i++) {
        struct pollfd fd = {.fd = crowd.fds[i], .events = POLLOUT};
        int error = 0;
        socklen_t size = sizeof error;

        poll(&fd, 1, 0);
        cr_assert_eq(getsockopt(fd.fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
        cr_assert_eq(error, 0, "client %zu: %s", i, strerror(error));
    }
    return crowd;
}

/* Clients that wait for a place: each is served when the one before it has left. */
static void serve_in_turn(struct stage *stage, int first, struct crowd *crowd)
{
    close(first);
    for (size_t i = 0; i < crowd->count; i++) {
        stage_expect_line(stage, crowd->fds[i], "patient");
        close(crowd->fds[i]);
    }
    free(crowd->fds);
}

/* While the daemon loads it accepts no client ("backlog"); while it serves, one client beside the
 * guest. */
void provoke_full_backlog(struct stage *stage, const char *variant)
{
    int first = -1;

    (void)variant;
    if (stage->phase == SERVING) {
        first = stage_client(stage->endpoint);
        assert_text(ask(first, "first"), "first", stage->rpd);
    }
    struct crowd crowd = fill_backlog(stage, 4);
    struct crowd tcp = fill_tcp_backlog(stage);
    stage_assert_alive(stage);
    crowd_close(&tcp);
    if (stage->phase == SERVING) {
        serve_in_turn(stage, first, &crowd);
        return;
    }
    stage_open_gate(stage);
    crowd_expects(stage, &crowd, "patient");
    crowd_close(&crowd);
}

void arrange_full_backlog(struct stage *stage, const char *variant)
{
    (void)variant;
    arranged = fill_backlog(stage, 4);
}

/* The path is gone; clients that had found it are served. */
void provoke_after_full_backlog(struct stage *stage, const char *variant)
{
    (void)variant;
    const int64_t began = now_ns();
    do {
        cr_assert_eq(try_connect(stage->endpoint), -1, "there was room for one more");
        cr_assert(errno == ENOENT || errno == EAGAIN, "%s", strerror(errno));
        cr_assert_lt(now_ns() - began, stage_patience_ns());
    } while (errno != ENOENT);
    crowd_expects(stage, &arranged, "patient");
    crowd_is_closed(&arranged);
}

/* ---- row 34: slow senders --------------------------------------------------------------- */

void provoke_slow_senders(struct stage *stage, const char *variant)
{
    static const char *const bytes[] = {"s", "l", "o", "w"};
    const size_t count = crowd_size(300, 10000);
    const int fds = count_fds(process_pid(stage->rpd));
    const long before = rss_kib(process_pid(stage->rpd));
    struct crowd crowd = crowd_make(stage->endpoint, count);

    (void)variant;
    for (size_t i = 0; i < 4; i++)
        crowd_says(&crowd, bytes[i]);
    if (stage->phase == LOADING) {
        stage_wait_page(stage, clients_held, count + 1);
        assert_memory(stage, before, count, 4);
        stage_open_gate(stage);
        crowd_says(&crowd, "\n");
        crowd_expects(stage, &crowd, "slow");
    } else {
        stage_wait_page(stage, clients_active, count + 1);
        assert_memory(stage, before, count, 4);
        /* More bytes do not buy more time. Clients that the daemon has closed lose theirs. */
        for (int64_t end = now_ns() + stage_patience_ns();
             stage_page(stage, "faulty").clients_cut < count && now_ns() < end; poll(NULL, 0, 100))
            for (size_t i = 0; i < count; i++)
                (void)!send(crowd.fds[i], "w", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        cr_assert_eq(stage_page(stage, "faulty").clients_cut, count);
        crowd_is_closed(&crowd);
    }
    stage_assert_alive(stage);
    crowd_close(&crowd);
    stage_wait_fds(stage, fds);
}

void arrange_slow_senders(struct stage *stage, const char *variant)
{
    (void)variant;
    arranged = crowd_make(stage->endpoint, crowd_size(300, 10000));
    crowd_says(&arranged, "s");
    stage_wait_page(stage, clients_active, arranged.count + 1);
}

void provoke_after_slow_senders(struct stage *stage, const char *variant)
{
    (void)variant;
    stage_go(stage);
    stage_expect_line(stage, stage->guest, "did none");
    assert_line(stage->rpd, "drain_s has passed: ");
    crowd_is_closed(&arranged);
}

/* ---- row 35: the end of input, with answers to come ---------------------------------------- */

enum { BIG = 300000 };

static int half_close(const char *endpoint, const char *requests)
{
    const int fd = stage_client(endpoint);

    cr_assert_eq(send_all(fd, requests, strlen(requests)), 0);
    shutdown(fd, SHUT_WR);
    return fd;
}

static void expect_all(int fd)
{
    static char all[BIG + 64];
    const ssize_t got = read_to_end(fd, all, sizeof all);

    cr_assert_eq(got, BIG + 1 + 9 + 5, "%zd bytes", got);
    cr_assert_not_null(strstr(all, "did none\n"));
    cr_assert_not_null(strstr(all, "last\n"));
    close(fd);
}

static const char three_requests[] = "job none\nbig 300000\nlast\n";

void provoke_half_close(struct stage *stage, const char *variant)
{
    const int fd = half_close(stage->endpoint, three_requests);
    const int tcp = half_close(stage->tcp, three_requests);

    (void)variant;
    if (stage->phase == LOADING) {
        stage_wait_page(stage, clients_held, 3);
        stage_open_gate(stage);
    }
    expect_all(fd);
    expect_all(tcp);
}

void arrange_half_close(struct stage *stage, const char *variant)
{
    static const char requests[] = "wait none\nbig 300000\nlast\n";

    (void)variant;
    crowd_add(&arranged, half_close(stage->endpoint, requests));
    crowd_add(&arranged, half_close(stage->tcp, requests));
    stage_wait_page(stage, jobs, 3);
}

void provoke_after_half_close(struct stage *stage, const char *variant)
{
    (void)variant;
    stage_go(stage);
    expect_all(arranged.fds[0]);
    expect_all(arranged.fds[1]);
}

/* ---- row 36: resets -------------------------------------------------------------------------- */

static void reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1};

    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
}

static void begin_one(struct stage *stage, const char *variant)
{
    const int fd = stage_client(stage->tcp);

    if (strcmp(variant, "mid-reply") == 0)
        stage_say(fd, "big 8000000");
    else if (strcmp(variant, "silent") != 0)
        cr_assert_eq(send_all(fd, "half a re", 9), 0);
    if (strcmp(variant, "mid-reply") == 0)
        cr_assert_eq(read_exactly(fd, &(char){0}, 1), 1);
    crowd_add(&arranged, fd);
}

static void reset_all(void)
{
    for (size_t i = 0; i < arranged.count; i++)
        reset(arranged.fds[i]);
    arranged.count = 0;
}

/* A stopped daemon accepts no client: everything happens in the kernel's queue. */
static void reset_in_backlog(struct stage *stage)
{
    process_signal(stage->rpd, SIGSTOP);
    for (int i = 0; i < 10; i++)
        begin_one(stage, i % 2 ? "mid-request" : "silent");
    reset_all();
    process_signal(stage->rpd, SIGCONT);
}

void provoke_reset(struct stage *stage, const char *variant)
{
    const int fds = count_fds(process_pid(stage->rpd));
    const uint64_t accepted = stage_page(stage, "faulty").clients_accepted;

    if (strcmp(variant, "backlog") == 0) {
        reset_in_backlog(stage);
    } else {
        for (int i = 0; i < 10; i++)
            begin_one(stage, variant);
        stage_wait_page(stage, clients_accepted, accepted + 10);
        reset_all();
    }
    if (stage->phase == LOADING)
        stage_wait_page(stage, clients_left, strcmp(variant, "backlog") == 0 ? 0 : 10);
    stage_assert_alive(stage);
    stage_wait_fds(stage, fds);
}

void arrange_reset(struct stage *stage, const char *variant)
{
    for (int i = 0; i < 10; i++)
        begin_one(stage, variant);
    stage_wait_page(stage, clients_accepted, 11);
}

/* The drain does not wait for clients that have gone. */
void provoke_after_reset(struct stage *stage, const char *variant)
{
    (void)variant;
    reset_all();
    stage_go(stage);
    stage_expect_line(stage, stage->guest, "did none");
    const int64_t began = now_ns();
    process_wait_exit(stage->rpd);
    cr_assert_lt(now_ns() - began, is_slow() ? 8000000000 : 4000000000, "it waited: %s",
                 process_stderr(stage->rpd));
}

/* ---- row 37: splits ------------------------------------------------------------------------- */

static const char sentence[] = "split me at every offset\r\nand\n\nagain, and then the end\n";
static const char echoed[] = "split me at every offset\nand\n\nagain, and then the end\n";

enum { SENTENCE = sizeof sentence - 1, ECHOED = sizeof echoed - 1 };

/* The daemon has read what was sent so far (unix), or the bytes have arrived (TCP). */
static void wait_until_taken(int fd)
{
    const int64_t began = now_ns();

    for (int left = 1; left > 0 && now_ns() - began < stage_patience_ns();)
        cr_assert_eq(ioctl(fd, SIOCOUTQ, &left), 0, "%s", strerror(errno));
}

static void send_part(const struct stage *stage, int fd, size_t from, size_t size)
{
    cr_assert_eq(send_all(fd, sentence + from, size), 0);
    if (stage->phase == SERVING)
        wait_until_taken(fd);
}

static void expect_echoed(struct stage *stage, int fd)
{
    char text[ECHOED + 1] = "";

    cr_assert_eq(read_exactly(fd, text, ECHOED), ECHOED, "%s; stderr:\n%s", text,
                 process_stderr(stage->rpd));
    cr_assert_str_eq(text, echoed);
}

/* One client for each offset; the last one sends byte by byte. The end of its input, too, comes at
 * most one byte after its last data. */
void provoke_splits(struct stage *stage, const char *variant)
{
    const char *endpoint = strcmp(variant, "tcp") == 0 ? stage->tcp : stage->endpoint;
    struct crowd crowd = crowd_make(endpoint, SENTENCE + 1);
    const int one = 1;

    if (endpoint == stage->tcp)
        for (size_t i = 0; i < crowd.count; i++)
            setsockopt(crowd.fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (size_t at = 0; at < SENTENCE; at++) {
        send_part(stage, crowd.fds[at], 0, at);
        send_part(stage, crowd.fds[at], at, SENTENCE - at);
        send_part(stage, crowd.fds[SENTENCE], at, 1);
    }
    if (stage->phase == LOADING) {
        stage_wait_page(stage, clients_held, crowd.count + 1);
        stage_open_gate(stage);
    }
    for (size_t i = 0; i < crowd.count; i++)
        expect_echoed(stage, crowd.fds[i]);
    crowd_close(&crowd);
}

/* ---- row 39: clients that do not read ------------------------------------------------------- */

/* Sends requests without reading answers until the daemon stops reading. */
static void ask_without_reading(struct stage *stage, int fd)
{
    const char *request = "big 60000\n";
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    size_t asked = 0;

    while (poll(&writable, 1, 500) > 0 && asked < 100000)
        if (send(fd, request, strlen(request), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            asked++;
    cr_assert_lt(asked, 100000, "it is read for ever");
    cr_assert_eq(stage_page(stage, "faulty").clients_cut, 0);
}

void provoke_never_reading(struct stage *stage, const char *variant)
{
    const int fds = count_fds(process_pid(stage->rpd));
    const long before = rss_kib(process_pid(stage->rpd));
    const int fd = stage_client(stage->endpoint);

    if (strcmp(variant, "is paused") == 0) {
        ask_without_reading(stage, fd);
        assert_memory(stage, before, 1, 4096);
    } else if (strcmp(variant, "asks for more than may wait") == 0) {
        stage_say(fd, "big 20000000");
        stage_wait_page(stage, clients_cut, 1);
    } else {
        stage_say(fd, "big 4000000");
        stage_wait_page(stage, clients_cut, 1);
    }
    stage_assert_alive(stage);
    close(fd);
    stage_wait_fds(stage, fds);
}

void arrange_never_reading(struct stage *stage, const char *variant)
{
    (void)variant;
    crowd_add(&arranged, stage_client(stage->endpoint));
    stage_say(arranged.fds[0], "big 4000000");
    cr_assert_eq(read_exactly(arranged.fds[0], &(char){0}, 1), 1);
}

void provoke_after_never_reading(struct stage *stage, const char *variant)
{
    (void)variant;
    stage_go(stage);
    stage_expect_line(stage, stage->guest, "did none");
    assert_line(stage->rpd, "drain_s has passed: 1 clients");
}

/* ---- row 40: idle connections up to the limit ----------------------------------------------- */

/* As many clients as there are places: one more waits, and is served when one leaves. */
static struct crowd idle_crowd(struct stage *stage)
{
    const long before = rss_kib(process_pid(stage->rpd));
    const size_t few = (size_t)(stage->setup.nofile - count_fds(process_pid(stage->rpd)) - 34);
    const size_t count = is_long() && !is_slow() ? crowd_size(few, 19450) : few;
    struct crowd crowd = crowd_make(stage->endpoint, count);

    stage_wait_page(stage, clients_active, count + 1);
    assert_memory(stage, before, count, 1.5);
    return crowd;
}

void provoke_idle_crowd(struct stage *stage, const char *variant)
{
    const double normal_ms = measure_p99_ms(stage);
    const int fds = count_fds(process_pid(stage->rpd));
    struct crowd crowd = idle_crowd(stage);

    (void)variant;
    assert_p99_is_near(stage, normal_ms);
    if (!is_long()) {
        /* Clients for the remaining places, and more. */
        struct crowd more = crowd_make(stage->endpoint, 20);
        crowd_says(&more, "patient\n");
        assert_line(stage->rpd, "wait");
        stage_assert_alive(stage);
        crowd_close(&crowd);
        crowd_expects(stage, &more, "patient");
        crowd_close(&more);
    }
    crowd_close(&crowd);
    stage_wait_fds(stage, fds);
}

void arrange_idle_crowd(struct stage *stage, const char *variant)
{
    (void)variant;
    arranged = idle_crowd(stage);
}

/* Idle clients do not delay the stop. */
void provoke_after_idle_crowd(struct stage *stage, const char *variant)
{
    (void)variant;
    crowd_is_closed(&arranged);
    cr_assert_eq(lines_with(process_stderr(stage->rpd), "drain_s has passed"), 0);
}
