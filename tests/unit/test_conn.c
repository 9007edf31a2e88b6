/* The numbers in rpd/conn.h, exact to the byte on both sides of each bound. The loop and the
 * sockets are real; the test decides how much the kernel takes. Linked with --wrap=send and
 * --wrap=sendmsg. */
#include "base/clock.h"
#include "clients/conn.h"
#include "clients/conn_turns.h"

#include "guard/foreign.h"
#include "process.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KIB = 1024 };

/* ---- how much the kernel takes -------------------------------------------------------------- */

static size_t room; /* bytes; the rest has to wait */
static int server;  /* for this descriptor */

ssize_t __real_plain_send(int fd, const void *data, size_t size);
ssize_t __wrap_plain_send(int fd, const void *data, size_t size);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_plain_send(int fd, const void *data, size_t size)
{
    if (fd != server)
        return __real_plain_send(fd, data, size);
    if (room == 0) {
        errno = EAGAIN;
        return -1;
    }
    size = size < room ? size : room;
    room -= size;
    return (ssize_t)size;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t sum = -1;

    if (fd != server)
        return __real_sendmsg(fd, message, flags);
    for (size_t i = 0; i < message->msg_iovlen && (sum < 0 || room > 0); i++) {
        const ssize_t sent = __wrap_plain_send(fd, message->msg_iov[i].iov_base,
                                               message->msg_iov[i].iov_len);
        if (sent < 0)
            break;
        sum = (sum < 0 ? 0 : sum) + sent;
    }
    return sum;
}

/* ---- a backend, and one client of it -------------------------------------------------------- */

static struct event_base *base;
static struct place_pool pool;
static struct places places;
static struct conn_loop loop;
static struct conn_group group;
static struct config_limits limits;
static struct rpd_conn *conn;
static int peer;

/* What its callbacks have seen, and how they behave. */
static int data_calls, writables, closes;
static size_t seen;     /* bytes of input, in the last on_data */
static bool keeps_all;  /* on_data consumes nothing */
static bool has_ended;  /* the input, as on_data saw it */
static size_t leftover; /* the input, after on_data has written */
static size_t answer;   /* bytes that on_data writes */
static int lines;       /* lines read so far */
static bool is_slow;    /* on_data reads lines, and takes longer than a slice for each */
static enum { NOTHING, PAUSES, RESUMES_FIRST, RESUMES_LAST } pausing; /* of on_data */

static void on_connect(struct rpd_conn *it, void *state)
{
    (void)state;
    conn = it;
}

static void write_bytes(size_t size)
{
    static const char block[64 * KIB];

    while (size > 0) {
        const size_t part = size < sizeof block ? size : sizeof block;

        rpd_conn_write(conn, block, part);
        size -= part;
    }
}

static void read_slowly(struct rpd_conn *it)
{
    struct rpd_span line;

    while (rpd_conn_read_line(it, &line)) {
        const uint64_t until_us = clock_us() + 2 * (uint64_t)CONN_SLICE_US;

        lines++;
        while (clock_us() < until_us)
            continue;
    }
}

static void on_data(struct rpd_conn *it, void *state)
{
    (void)state;
    data_calls++;
    if (is_slow) {
        read_slowly(it);
        return;
    }
    if (pausing == RESUMES_FIRST || (pausing == RESUMES_LAST && data_calls == 1))
        rpd_conn_pause(it);
    if (pausing == RESUMES_FIRST)
        rpd_conn_resume(it);
    seen = rpd_conn_input(it).size;
    has_ended = rpd_conn_input_ended(it);
    if (answer > 0)
        write_bytes(answer);
    leftover = rpd_conn_input(it).size;
    if (!keeps_all)
        rpd_conn_consume(it, seen);
    if (pausing == PAUSES)
        rpd_conn_pause(it);
    if (pausing == RESUMES_LAST)
        rpd_conn_resume(it);
}

static void on_writable(struct rpd_conn *it, void *state)
{
    (void)it, (void)state;
    writables++;
}

static void on_close(struct rpd_conn *it, void *state)
{
    (void)it, (void)state;
    closes++;
}

static const struct rpd_backend backend = {
    .on_connect = on_connect, .on_data = on_data, .on_writable = on_writable, .on_close = on_close};

static void begin(void)
{
    struct error error;
    struct event_config *config;

    foreign_context_.is_loop = true;
    cr_assert_eq(libevent_load(&error), 0);
    config = event_config_new();
    base = event_base_new_with_config(config);
    event_config_free(config);
    limits = (struct config_limits){.clients = 100,
                                    .request_s = 1024,
                                    .progress_bytes_per_s = 64,
                                    .write_stall_s = 1000,
                                    .output_bytes = 16 * KIB * KIB,
                                    .input_bytes = 64 * KIB * KIB};
    place_pool_init(&pool, base);
    places_init(&places, &pool, base, &limits, "test");
    cr_assert_eq(conn_loop_init(&loop, base), 0);
}

static void connect_client(void)
{
    static const struct sockaddr unnamed = {.sa_family = AF_UNIX};
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    server = fds[0];
    peer = fds[1];
    group = (struct conn_group){.limits = &limits,
                                .places = &places,
                                .backend = &backend,
                                .owner = {.service = "test", .plugin = "test"}};
    conn_group_init(&group, &loop);
    cr_assert_eq(places_take(&places, server, &unnamed, sizeof unnamed.sa_family), 0);
    conn_open(&group, server, NULL);
    cr_assert_not_null(conn);
}

static void end(void)
{
    if (peer > 0)
        close(peer);
    if (group.loop) {
        conn_group_abort(&group);
        conn_group_finish(&group);
    }
    conn_loop_finish(&loop);
    places_finish(&places);
    place_pool_finish(&pool);
    event_base_free(base);
}

TestSuite(conn, .init = begin, .fini = end, .timeout = 60);

/* Turns the loop as often as needed for all consequences. */
static void turn(void)
{
    for (int i = 0; i < 10; i++)
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void say(const char *text)
{
    cr_assert_eq(send_all(peer, text, strlen(text)), 0);
    turn();
}

/* The client takes this many bytes. */
static void take(size_t bytes)
{
    room = bytes;
    turn();
    cr_assert_eq(room, 0);
}

/* ---- output that waits ---------------------------------------------------------------------- */

/* A client is read while less than `high` bytes of output wait, and again below `low`. */
static void assert_read_between(size_t high, size_t low)
{
    connect_client();
    write_bytes(high - 1);
    say("a");
    cr_assert_eq(data_calls, 1);
    cr_assert_eq(seen, 1);

    write_bytes(1);
    cr_assert_eq(rpd_conn_output_size(conn), high);
    say("bc");
    cr_assert_eq(data_calls, 1, "read at %zu bytes", high);

    take(high - low);
    cr_assert_eq(rpd_conn_output_size(conn), low);
    cr_assert_eq(data_calls, 1, "read at %zu bytes", low);
    cr_assert_eq(writables, 0);
    take(1);
    cr_assert_eq(data_calls, 2);
    cr_assert_eq(seen, 2);
    cr_assert_eq(writables, 1);
    take(low - 1);
    cr_assert_eq(data_calls, 2);
    cr_assert_eq(writables, 1);
}

Test(conn, a_client_is_read_up_to_256_kib_of_output_and_again_below_64)
{
    assert_read_between(256 * KIB, 64 * KIB);
}

Test(conn, at_most_half_and_an_eighth_of_the_limit)
{
    limits.output_bytes = 80000;
    assert_read_between(40000, 10000);
}

/* 100 KiB are not below the mark when the output comes from above. */
Test(conn, at_100_kib_nothing_is_read)
{
    connect_client();
    write_bytes(300 * KIB);
    say("a");
    take(200 * KIB);
    say("b");
    cr_assert_eq(rpd_conn_output_size(conn), 100 * KIB);
    cr_assert_eq(data_calls, 0);
    take(50 * KIB);
    cr_assert_eq(data_calls, 1);
    cr_assert_eq(seen, 2);
}

/* If the output was never above the high mark, the low mark has no effect. */
Test(conn, at_100_kib_on_the_way_up_all_is_read)
{
    connect_client();
    write_bytes(100 * KIB);
    say("a");
    cr_assert_eq(data_calls, 1);
    take(100 * KIB);
    cr_assert_eq(writables, 0);
}

/* In on_data itself, while there is still input: from then on it is empty. */
Test(conn, input_is_empty_from_256_kib_on)
{
    connect_client();
    keeps_all = true;
    answer = 256 * KIB - 1;
    say("abc");
    cr_assert_eq(leftover, 3);
    answer = 1;
    say("d");
    cr_assert_eq(data_calls, 2);
    cr_assert_eq(rpd_conn_output_size(conn), 256 * KIB);
    cr_assert_eq(rpd_conn_input(conn).size, 0);
    answer = 0;
    take(192 * KIB + 1);
    cr_assert_eq(data_calls, 3, "%d", data_calls);
    cr_assert_eq(seen, 4);
}

Test(conn, output_beyond_its_limit_closes)
{
    limits.output_bytes = 100000;
    connect_client();
    write_bytes(100000);
    turn();
    cr_assert_eq(closes, 0);
    cr_assert_eq(group.cut, 0);
    write_bytes(1);
    turn();
    cr_assert_eq(closes, 1);
    cr_assert_eq(group.cut, 1);
}

/* ---- input that waits ----------------------------------------------------------------------- */

Test(conn, input_beyond_its_limit_closes)
{
    static char bytes[100001];

    memset(bytes, 'x', sizeof bytes - 1);
    limits.input_bytes = 100000;
    connect_client();
    keeps_all = true;
    say(bytes);
    cr_assert_eq(seen, 100000);
    cr_assert_eq(closes, 0);
    say("y");
    cr_assert_eq(closes, 1);
    cr_assert_eq(group.cut, 1);
}

/* A slow client's input is withheld when its slice is over. It is offered again after the other
 * clients have had their turn, in another on_data. */
Test(conn, what_a_slice_has_withheld_is_offered_in_the_next)
{
    enum { LINES = 20 };

    connect_client();
    is_slow = true;
    say("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n");
    for (int i = 0; i < LINES && lines < LINES; i++)
        turn();
    cr_assert_eq(lines, LINES);
    cr_assert_gt(data_calls, 2, "%d lines in %d on_data", lines, data_calls);
}

/* Without input, and from outside its callbacks. */
Test(conn, one_that_yields_is_called_again)
{
    connect_client();
    say("a");
    cr_assert_eq(data_calls, 1);
    turn();
    cr_assert_eq(data_calls, 1);
    rpd_conn_yield(conn);
    cr_assert_eq(data_calls, 1, "within the call");
    turn();
    cr_assert_eq(data_calls, 2);
    cr_assert_eq(seen, 0);
}

/* Its clock starts again after as many more bytes as the rate requires for request_s, and not
 * before. */
Test(conn, a_request_has_progressed_by_64_kib)
{
    static char bytes[64 * KIB];
    struct conn_clock *clock;

    memset(bytes, 'x', sizeof bytes - 1);
    connect_client();
    keeps_all = true;
    say("a");
    clock = TAILQ_FIRST(&group.clocks.running[CONN_CLOCK_REQUEST]);
    cr_assert_not_null(clock);
    clock->started_ms = 1;
    say(bytes);
    cr_assert_eq(seen, 64 * KIB);
    cr_assert_eq(clock->started_ms, 1);
    say("b");
    cr_assert_eq(clock->kind, CONN_CLOCK_REQUEST);
    cr_assert_neq(clock->started_ms, 1);
    clock->started_ms = 1;
    say("c");
    cr_assert_eq(clock->started_ms, 1);
    keeps_all = false;
    say("d");
    cr_assert_eq(clock->kind, CONN_CLOCK_OFF);
}

/* Half a request is there, and after each resume on_data pauses again: later input must still be
 * read, and the end noticed. */
Test(conn, a_resume_brings_more_than_what_is_not_taken)
{
    connect_client();
    keeps_all = true;
    pausing = PAUSES;
    say("ab");
    cr_assert_eq(seen, 2);
    say("c");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(data_calls, i + 1);
        rpd_conn_resume(conn);
        turn();
    }
    cr_assert_eq(seen, 3);
    close(peer);
    peer = -1;
    for (int i = 0; i < 3; i++) {
        rpd_conn_resume(conn);
        turn();
    }
    cr_assert(has_ended);
}

/* At the first call after a resume the backend may want to look at that input again. */
Test(conn, a_resume_brings_first_what_is_there)
{
    connect_client();
    keeps_all = true;
    pausing = PAUSES;
    say("ab");
    say("c");
    keeps_all = false;
    rpd_conn_resume(conn);
    turn();
    cr_assert_eq(data_calls, 2);
    cr_assert_eq(seen, 2);
}

Test(conn, who_was_shown_all_after_its_resume_waits_for_more)
{
    connect_client();
    keeps_all = true;
    pausing = RESUMES_FIRST;
    say("ab");
    cr_assert_eq(data_calls, 1, "%d", data_calls);
    say("c");
    cr_assert_eq(data_calls, 2);
    cr_assert_eq(seen, 3);
}

Test(conn, who_was_shown_nothing_after_its_resume_is_called_again)
{
    connect_client();
    pausing = RESUMES_LAST;
    say("ab");
    cr_assert_eq(data_calls, 2, "%d", data_calls);
    cr_assert_eq(seen, 2);
}
