/* Random clients of a random backend (plugins/chance.c), against a model of the data path. Requests
 * may have bodies.
 *
 *     random_client [--seed N] [--seconds N] [--clients N]
 *
 * Each client sends requests in pieces that are cut anywhere. It may stop reading for a while, end
 * its input, even in the middle of a line or a body, ask to be finished or aborted, or leave. The
 * model: each whole request is answered, byte by byte and in order. After the end of input, and
 * after "finish", the stream ends without further bytes. A connection with unanswered requests
 * makes progress. At the end no connection and no descriptor is left in the daemon. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 200,
    OWED_MAX = 64,
    OUT_MAX = 4096, /* without bodies */
    BODY_MAX = 400000,
    STUCK_S = 40
};

struct owed {
    unsigned number, size;
};

struct client {
    int fd; /* -1: none */
    char out[OUT_MAX + 1000 + BODY_MAX];
    size_t out_size;
    struct owed owed[OWED_MAX]; /* a ring buffer */
    size_t first, count, at;    /* at: how many bytes of the first answer have come */
    bool said_all;              /* no more requests: the client has ended its input, or asked for
                                 * its end */
    bool ends_input;            /* after everything is sent */
    bool is_aborted;            /* the end may come at any time */
    int64_t deaf_until, moved_ns;
};

static struct client clients[CLIENTS_MAX];
static size_t client_count = 24;
static uint64_t seed = 1;
static unsigned last_number;
static struct process *rpd;
static const char *endpoint;
static struct {
    long connections, requests, bodies, bytes, finished, aborted, ended, left;
} seen;

static unsigned chance(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % below;
}

#define fail(client, format, ...)                                                                  \
    test_die("client %zu: " format                                                                 \
             "; owed %zu, the first %u %u at %zu, said all %d, aborted %d\n%s",                    \
             (size_t)((client)-clients), __VA_ARGS__, (client)->count,                             \
             (client)->owed[(client)->first].number, (client)->owed[(client)->first].size,         \
             (client)->at, (client)->said_all, (client)->is_aborted, process_stderr(rpd))

static void leave(struct client *client, bool by_reset)
{
    const struct linger reset = {.l_onoff = 1};

    if (by_reset)
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client->fd);
    client->fd = -1;
}

static void arrive(struct client *client)
{
    *client = (struct client){.fd = connect_to(endpoint), .moved_ns = now_ns()};
    if (client->fd < 0)
        test_die("connect: %s\n%s", strerror(errno), process_stderr(rpd));
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    seen.connections++;
}

/* ---- sending ---- */

static void say(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct client *client, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    client->out_size += (size_t)vsnprintf(client->out + client->out_size, 64, format, arguments);
    va_end(arguments);
}

static void say_letters(struct client *client, unsigned number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        client->out[client->out_size++] = (char)('a' + (number + i) % 26);
}

static void request(struct client *client)
{
    const unsigned size = chance(60) == 0 ? chance(400000) : chance(100);
    struct owed *owed = &client->owed[(client->first + client->count) % OWED_MAX];
    const unsigned verb = chance(150);

    *owed = (struct owed){++last_number, size};
    client->count++;
    client->said_all = client->is_aborted = verb == 0;
    client->said_all |= verb == 1;
    seen.requests++;
    say(client, "%u %u%s", last_number, size,
        verb == 0   ? " abort\n"
        : verb == 1 ? " finish\n"
                    : "");
    if (verb >= 2 && verb < 12) {
        const unsigned body = chance(20) == 0 ? chance(BODY_MAX - OUT_MAX) : chance(1000);

        seen.bodies++;
        say(client, " take %u\n", body);
        say_letters(client, last_number, body);
    } else if (verb >= 12) {
        say(client, "\n");
    }
}

static bool may_say_more(const struct client *client)
{
    return !client->said_all && client->count < OWED_MAX && client->out_size < OUT_MAX - 64;
}

/* No answer follows these requests. */
static void say_half_a_request(struct client *client)
{
    say(client, "%u 5", last_number + 1);
    if (chance(2)) {
        say(client, " take 1000\n");
        say_letters(client, last_number + 1, chance(1000));
    }
}

static void say_more(struct client *client)
{
    for (unsigned i = chance(12); i > 0 && may_say_more(client); i--)
        request(client);
    if (client->said_all || chance(60) != 0)
        return;
    client->said_all = client->ends_input = true;
    if (client->out_size < OUT_MAX - 64 && chance(2))
        say_half_a_request(client);
}

static void send_some(struct client *client)
{
    const size_t piece = client->out_size > 0 ? 1 + chance((unsigned)client->out_size) : 0;
    const ssize_t sent = piece > 0 ? send(client->fd, client->out, piece, MSG_NOSIGNAL) : 0;

    if (sent > 0) {
        client->out_size -= (size_t)sent;
        memmove(client->out, client->out + sent, client->out_size);
    } else if (sent < 0 && errno != EAGAIN) {
        client->out_size =
            0; /* the daemon is closing it: the reading side checks whether it should */
    }
    if (client->out_size == 0 && client->ends_input) {
        shutdown(client->fd, SHUT_WR);
        client->ends_input = false;
    }
}

/* ---- reading ---- */

static char byte_at(const struct owed *owed, size_t at)
{
    char head[64];
    const size_t size = (size_t)snprintf(head, sizeof head, "%u %u ", owed->number, owed->size);

    if (at < size)
        return head[at];
    return at - size < owed->size ? (char)('a' + (owed->number + at - size) % 26) : '\n';
}

static size_t whole(const struct owed *owed)
{
    return (size_t)snprintf(NULL, 0, "%u %u ", owed->number, owed->size) + owed->size + 1;
}

static void check(struct client *client, const char *data, size_t size)
{
    seen.bytes += (long)size;
    for (size_t i = 0; i < size;) {
        const struct owed *owed = &client->owed[client->first];
        const size_t length = client->count > 0 ? whole(owed) : 0;
        if (client->count == 0)
            fail(client, "%zu bytes without a request", size - i);
        for (; i < size && client->at < length; i++, client->at++)
            if ((client->at < 24 || client->at + 2 > length || client->at % 101 == 0) &&
                data[i] != byte_at(owed, client->at))
                fail(client, "'%c' instead of '%c'", data[i], byte_at(owed, client->at));
        if (client->at < length)
            return;
        client->at = 0;
        client->first = (client->first + 1) % OWED_MAX;
        client->count--;
    }
}

static void at_end(struct client *client, ssize_t got)
{
    const bool all_came = client->count == 0 && got == 0;

    if (!client->is_aborted && (!client->said_all || !all_came))
        fail(client, "closed (%s)", got < 0 ? strerror(errno) : "end of file");
    seen.aborted += client->is_aborted;
    seen.finished += !client->is_aborted;
    leave(client, false);
}

static void read_some(struct client *client)
{
    static char data[65536];
    const ssize_t got = recv(client->fd, data, 1 + chance(sizeof data), 0);

    if (got < 0 && errno == EAGAIN)
        return;
    client->moved_ns = now_ns();
    if (got > 0)
        check(client, data, (size_t)got);
    else
        at_end(client, got);
}

/* ---- a step ---- */

static bool is_deaf(const struct client *client, int64_t now)
{
    return client->deaf_until > now;
}

static void look_for_stuck(struct client *client, int64_t now)
{
    if (is_deaf(client, now) || client->out_size > 0 || (client->count == 0 && !client->said_all))
        client->moved_ns = is_deaf(client, now) || client->count == 0 ? now : client->moved_ns;
    if (now - client->moved_ns > STUCK_S * INT64_C(1000000000))
        fail(client, "nothing has come for %d s", STUCK_S);
}

static void step(struct client *client, short events, bool is_last)
{
    const int64_t now = now_ns();

    if (events & POLLOUT)
        send_some(client);
    if ((events & (POLLIN | POLLHUP | POLLERR)) && !is_deaf(client, now)) {
        read_some(client);
        if (client->fd < 0)
            return;
    }
    if (!is_last && client->out_size < OUT_MAX / 2 && chance(3) == 0)
        say_more(client);
    if (is_last && !client->said_all) {
        client->said_all = client->ends_input = true;
        return;
    }
    if (chance(200) == 0)
        client->deaf_until = now + chance(50) * INT64_C(1000000);
    look_for_stuck(client, now);
    if (!is_last && chance(400) == 0) {
        seen.left++;
        leave(client, chance(2));
    }
}

static size_t poll_all(bool is_last)
{
    struct pollfd polled[CLIENTS_MAX];
    const int64_t now = now_ns();
    size_t here = 0;

    for (size_t i = 0; i < client_count; i++) {
        struct client *client = &clients[i];
        if (client->fd < 0 && !is_last)
            arrive(client);
        here += client->fd >= 0;
        polled[i] = (struct pollfd){.fd = client->fd};
        if (client->fd >= 0)
            polled[i].events = (short)((is_deaf(client, now) ? 0 : POLLIN) |
                                       (client->out_size > 0 || client->ends_input ? POLLOUT : 0));
    }
    if (poll(polled, client_count, 1) < 0)
        test_die("poll: %s", strerror(errno));
    for (size_t i = 0; i < client_count; i++)
        if (clients[i].fd >= 0)
            step(&clients[i], polled[i].revents, is_last);
    return here;
}

static void check_daemon(int fds)
{
    const int64_t deadline = now_ns() + INT64_C(20000000000);

    while (count_fds(process_pid(rpd)) > fds && now_ns() < deadline)
        poll(NULL, 0, 5);
    if (count_fds(process_pid(rpd)) > fds)
        test_die("%d descriptors, %d before", count_fds(process_pid(rpd)), fds);
    if (process_code(process_stop(rpd)) != 0 || strstr(process_stderr(rpd), "WRONG"))
        test_die("the daemon: %s", process_stderr(rpd));
}

/* Counted while the daemon has one client, minus that client: by then it has opened the files that
 * it keeps open. */
static int count_idle_fds(void)
{
    char answer[64];
    const int fd = connect_to(endpoint);
    int count;

    if (fd < 0 || send_all(fd, "1 1\n", 4) < 0 || read_line(fd, answer, sizeof answer) <= 0)
        test_die("the first client: %s\n%s", strerror(errno), process_stderr(rpd));
    count = count_fds(process_pid(rpd)) - 1;
    close(fd);
    return count;
}

int main(int argc, char **argv)
{
    long seconds = 15;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--clients") == 0)
            client_count = strtoul(argv[i + 1], NULL, 10);
    }
    if (argc % 2 == 0 || seconds < 1 || client_count < 1 || client_count > CLIENTS_MAX) {
        fputs("usage: random_client [--seed N] [--seconds N] [--clients N]\n", stderr);
        return 64;
    }
    const char *dir = temp_dir_make();
    endpoint = textf("unix:%s/x.sock", dir);
    rpd = RPD_START(textf("%s/run", dir), build_path("tests/plugins/chance.so"), "-l", endpoint,
                    "-o", textf("seed=%lu", (unsigned long)seed));
    if (process_wait_bound(rpd) != 0)
        test_die("it did not start: %s", process_stderr(rpd));
    for (size_t i = 0; i < client_count; i++)
        clients[i].fd = -1;
    const int fds = count_idle_fds();
    const int64_t end = now_ns() + seconds * INT64_C(1000000000);
    while (now_ns() < end)
        poll_all(false);
    while (poll_all(true) > 0)
        continue;
    check_daemon(fds);
    printf("%ld connections, %ld requests, %ld bodies, %ld MB; %ld ended in order, %ld aborted, "
           "%ld left\n",
           seen.connections, seen.requests, seen.bodies, seen.bytes / 1000000, seen.finished,
           seen.aborted, seen.left);
    process_free(rpd);
    temp_dir_remove(dir);
    return 0;
}
