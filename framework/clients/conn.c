/* The data path. See conn.h for its shape and rpd/conn.h for its promises.
 *
 * Every path through a connection ends in settle(), which looks at what is
 * true now (output waiting, end of input, finish asked for, the service
 * draining) and does what follows from it. Callbacks only set flags. */
#include "clients/conn.h"

#include "base/buffer.h"
#include "base/log.h"
#include "guard/crash.h"
#include "guard/loop_only.h"
#include "library/libevent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CONN_BLOCK = 64 * 1024,
    OUTPUT_HIGH = 256 * 1024, /* unless the limit of output is low, too */
    OUTPUT_LOW = 64 * 1024,
    REQUEST_PROGRESS = 64 * 1024 /* so much more of a request starts its clock anew */
};

struct rpd_conn {
    struct conn_clock clock; /* first: conn_clock.c knows only this */
    struct event readable, writable;
    struct conn_group *group;
    TAILQ_ENTRY(rpd_conn) link;
    int fd;
    unsigned keeps;
    bool open; /* on_close has not been called */
    bool in_callback;
    bool broken; /* close at the next settle() */
    bool input_ended;
    bool refused;          /* only the busy answer is for it */
    bool finishing;        /* close when the output is sent */
    bool choked;           /* too much output waits */
    bool paused;           /* by the backend */
    bool end_offered;      /* on_data has been told of the end of input */
    bool wants_data;       /* input has come that on_data has not been offered */
    bool has_sent;         /* something has come */
    bool progressed;       /* something happened that starts its clock anew */
    bool reading, writing; /* which events are added */
    struct buffer in, out;
    /* The input that a callback sees: the loop's block, or what in holds. */
    const char *view;
    size_t view_size;
    size_t scanned;      /* bytes of the view known to hold no newline */
    size_t clocked_size; /* size of in when its clock was started */
    void *data;
};

typedef void (*conn_callback)(struct rpd_conn *conn, void *state);

static void settle(struct rpd_conn *conn);
static void watch(struct rpd_conn *conn);
static void run_clock(struct rpd_conn *conn);
static void settle_later(struct rpd_conn *conn);
static void on_clock_expired(struct conn_clock *clock, enum conn_clock_kind kind);

int conn_loop_init(struct conn_loop *loop, struct event_base *base)
{
    *loop = (struct conn_loop){.base = base};
    loop->input = malloc(CONN_BLOCK);
    loop->output = malloc(CONN_BLOCK);
    return loop->input && loop->output ? 0 : -1;
}

void conn_loop_finish(struct conn_loop *loop)
{
    linger_finish(&loop->lingerers);
    free(loop->input);
    free(loop->output);
}

static void init_cut_logs(struct conn_group *group)
{
    const struct config_limits *limits = group->limits;
    const struct {
        const char *what, *key;
        int value;
        const char *unit;
    } causes[CONN_LIMITS] = {
        [CONN_LIMIT_FIRST_BYTE] = {"sent nothing", "first_byte_s", limits->first_byte_s, " s"},
        [CONN_LIMIT_REQUEST] = {"no complete request", "request_s", limits->request_s, " s"},
        [CONN_LIMIT_IDLE] = {"idle", "idle_s", limits->idle_s, " s"},
        [CONN_LIMIT_WRITE_STALL] = {"read nothing", "write_stall_s", limits->write_stall_s, " s"},
        [CONN_LIMIT_OUTPUT] = {"unread output", "output_bytes", limits->output_bytes, ""},
        [CONN_LIMIT_INPUT] = {"incomplete request", "input_bytes", limits->input_bytes, ""},
    };

    for (size_t i = 0; i < CONN_LIMITS; i++)
        log_count_init(&group->cuts[i], group->loop->base, group->service_name, "client",
                       "closed: %s %s limits.%s (%d%s)", causes[i].what,
                       causes[i].unit[0] ? "within" : "beyond", causes[i].key, causes[i].value,
                       causes[i].unit);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

void conn_group_init(struct conn_group *group, struct conn_loop *loop)
{
    const size_t output_max = (size_t)group->limits->output_bytes;

    group->loop = loop;
    group->output_high = smaller(OUTPUT_HIGH, output_max / 2);
    group->output_low = smaller(OUTPUT_LOW, output_max / 8);
    TAILQ_INIT(&group->conns);
    conn_clocks_init(&group->clocks, loop->base, group->limits, on_clock_expired);
    init_cut_logs(group);
}

void conn_group_finish(struct conn_group *group)
{
    conn_clocks_finish(&group->clocks);
    for (size_t i = 0; i < CONN_LIMITS; i++)
        log_count_finish(&group->cuts[i]);
}

/* Too much for a limit: it is closed at the next settle(). */
static void cut(struct rpd_conn *conn, enum conn_limit limit)
{
    if (conn->broken)
        return;
    conn->broken = true;
    conn->group->cut++;
    log_count_add(&conn->group->cuts[limit]);
}

/* ---- output ---------------------------------------------------------------- */

/* Sends what it can of two pieces. Returns the bytes sent; marks the
 * connection as broken where no more can ever be sent. */
static size_t send_pieces(struct rpd_conn *conn, const void *first, size_t first_size,
                          const void *second, size_t second_size)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t)first, first_size},
                              {(void *)(uintptr_t)second, second_size}};
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = second_size > 0 ? 2 : 1};
    ssize_t sent;

    do
        sent = second_size > 0 ? sendmsg(conn->fd, &message, MSG_NOSIGNAL)
                               : send(conn->fd, first, first_size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return (size_t)sent;
    if (errno != EAGAIN)
        conn->broken = true;
    return 0;
}

static void queue_output(struct rpd_conn *conn, const char *data, size_t size)
{
    if (size == 0 || conn->broken)
        return;
    if (conn->out.size + size > (size_t)conn->group->limits->output_bytes) {
        cut(conn, CONN_LIMIT_OUTPUT);
        return;
    }
    if (buffer_append(&conn->out, data, size) < 0) {
        conn->broken = true;
        return;
    }
    if (rpd_conn_output_size(conn) >= conn->group->output_high)
        conn->choked = true;
}

/* Sends two pieces in order, and queues what does not go out at once. */
static void send_or_queue(struct rpd_conn *conn, const char *first, size_t first_size,
                          const char *second, size_t second_size)
{
    size_t sent = 0;

    if (conn->out.size == 0 && first_size + second_size > 0)
        sent = first_size > 0 ? send_pieces(conn, first, first_size, second, second_size)
                              : send_pieces(conn, second, second_size, NULL, 0);
    if (sent < first_size) {
        queue_output(conn, first + sent, first_size - sent);
        sent = first_size;
    }
    queue_output(conn, second + (sent - first_size), second_size - (sent - first_size));
}

/* What the callback wrote goes out in one call. */
static void uncork(struct rpd_conn *conn)
{
    struct conn_loop *loop = conn->group->loop;
    const size_t size = loop->output_size;

    if (loop->corked != conn)
        return;
    loop->corked = NULL;
    loop->output_size = 0;
    if (size > 0)
        send_or_queue(conn, loop->output, size, "", 0);
}

/* From outside the connection's own callbacks, what must be done about it is
 * done in the loop's next turn: the caller does not expect on_close now. */
static void settle_later(struct rpd_conn *conn)
{
    if (!conn->in_callback)
        event_active(&conn->readable, 0, 0);
}

int rpd_conn_write(struct rpd_conn *conn, const void *data, size_t size)
{
    if (loop_only_refuses())
        return -1;
    struct conn_loop *loop = conn->group->loop;

    if (!conn->open || conn->broken || conn->finishing)
        return -1;
    if (size == 0)
        return 0;
    if (loop->corked == conn && size <= CONN_BLOCK - loop->output_size) {
        memcpy(loop->output + loop->output_size, data, size);
        loop->output_size += size;
        return 0;
    }
    if (loop->corked == conn) {
        const size_t corked = loop->output_size;
        loop->output_size = 0;
        send_or_queue(conn, loop->output, corked, data, size);
    } else {
        send_or_queue(conn, data, size, "", 0);
    }
    if (!conn->broken && !conn->in_callback) {
        conn->progressed = conn->in.size == 0;
        watch(conn);
        run_clock(conn);
    }
    if (conn->broken)
        settle_later(conn);
    return conn->broken ? -1 : 0;
}

int rpd_conn_printf(struct rpd_conn *conn, const char *format, ...)
{
    if (loop_only_refuses())
        return -1;
    char small[1024];
    char *text = small;
    va_list arguments;
    int size, result = -1;

    va_start(arguments, format);
    size = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (size >= (int)sizeof small) {
        text = malloc((size_t)size + 1);
        va_start(arguments, format);
        if (text)
            vsnprintf(text, (size_t)size + 1, format, arguments);
        va_end(arguments);
    }
    if (size >= 0 && text)
        result = rpd_conn_write(conn, text, (size_t)size);
    if (text != small)
        free(text);
    return result;
}

size_t rpd_conn_output_size(const struct rpd_conn *conn)
{
    loop_only_warns();
    const struct conn_loop *loop = conn->group->loop;

    return conn->out.size + (loop->corked == conn ? loop->output_size : 0);
}

/* ---- input ------------------------------------------------------------------ */

struct rpd_span rpd_conn_input(const struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return (struct rpd_span){NULL, 0};
    if (conn->choked || conn->paused || conn->finishing || conn->broken)
        return (struct rpd_span){conn->view, 0};
    return (struct rpd_span){conn->view, conn->view_size};
}

void rpd_conn_consume(struct rpd_conn *conn, size_t bytes)
{
    if (loop_only_refuses())
        return;
    if (bytes > conn->view_size)
        bytes = conn->view_size;
    if (bytes == 0)
        return;
    conn->view += bytes;
    conn->view_size -= bytes;
    conn->scanned -= bytes < conn->scanned ? bytes : conn->scanned;
}

size_t rpd_conn_input_limit(const struct rpd_conn *conn)
{
    return (size_t)conn->group->limits->input_bytes;
}

bool rpd_conn_read_line(struct rpd_conn *conn, struct rpd_span *ret_line)
{
    if (loop_only_refuses())
        return false;
    const struct rpd_span input = rpd_conn_input(conn);
    const char *newline = input.size > conn->scanned
                              ? memchr(input.data + conn->scanned, '\n', input.size - conn->scanned)
                              : NULL;
    size_t size;

    if (!newline && conn->input_ended && input.size > 0) {
        *ret_line = input;
        rpd_conn_consume(conn, input.size);
        return true;
    }
    if (!newline) {
        if (input.size > 0)
            conn->scanned = input.size;
        return false;
    }
    size = (size_t)(newline - input.data);
    *ret_line = (struct rpd_span){input.data, size > 0 && newline[-1] == '\r' ? size - 1 : size};
    rpd_conn_consume(conn, size + 1);
    conn->scanned = 0;
    return true;
}

/* The view may be the loop's block, which the next connection will use; and
 * what was consumed is only dropped here, because lines that a callback was
 * given must stay where they are until it returns. */
static void keep_leftover(struct rpd_conn *conn)
{
    const bool in_own = conn->in.size > 0;

    if (in_own)
        buffer_drop(&conn->in, conn->in.size - conn->view_size);
    else if (conn->view_size > 0 && buffer_append(&conn->in, conn->view, conn->view_size) < 0)
        conn->broken = true;
    conn->view = conn->in.size > 0 ? buffer_data(&conn->in) : NULL;
    conn->view_size = conn->in.size;
    if (conn->in.size > (size_t)conn->group->limits->input_bytes)
        cut(conn, CONN_LIMIT_INPUT);
}

/* ---- callbacks -------------------------------------------------------------- */

static void call(struct rpd_conn *conn, conn_callback callback)
{
    struct conn_group *group = conn->group;
    struct conn_loop *loop = group->loop;
    const bool corks = !loop->corked;

    if (!callback)
        return;
    conn->in_callback = true;
    if (corks)
        loop->corked = conn;
    crash_enter(group->service_name, group->plugin, (crash_code)callback);
    callback(conn, group->state);
    crash_leave();
    if (corks)
        uncork(conn);
    conn->in_callback = false;
    if (conn->open)
        keep_leftover(conn);
}

static void offer_data(struct rpd_conn *conn)
{
    const size_t offered = conn->view_size;

    conn->wants_data = false;
    conn->end_offered = conn->input_ended;
    call(conn, conn->group->backend->on_data);
    if (conn->view_size < offered)
        conn->progressed = true;
    if (conn->choked || conn->paused)
        conn->wants_data = conn->view_size > 0;
}

/* ---- the end ---------------------------------------------------------------- */

static void free_if_unused(struct rpd_conn *conn)
{
    if (!conn->open && conn->keeps == 0 && !conn->in_callback)
        free(conn);
}

/* politely: all that was asked for has been sent, and must arrive. */
static void close_conn(struct rpd_conn *conn, bool politely)
{
    struct conn_group *group = conn->group;

    conn->open = false;
    conn_clock_stop(&group->clocks, &conn->clock);
    event_del(&conn->readable);
    event_del(&conn->writable);
    if (!conn->refused)
        call(conn, group->backend->on_close);
    if (politely && !conn->input_ended)
        linger_close(&group->loop->lingerers, group->loop->base, group->places, conn->fd);
    else
        places_close(group->places, conn->fd);
    conn->fd = -1;
    buffer_finish(&conn->in);
    buffer_finish(&conn->out);
    conn->view = NULL;
    conn->view_size = 0;
    TAILQ_REMOVE(&group->conns, conn, link);
    group->count--;
    if (group->count == 0 && group->emptied)
        group->emptied(group->service);
    free_if_unused(conn);
}

static bool is_idle(const struct rpd_conn *conn)
{
    return conn->in.size == 0 && conn->keeps == 0;
}

/* A request that waits in the kernel is one in flight. */
static bool has_arrived(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

/* With all output sent: is there a reason to go on? */
static bool is_over(const struct rpd_conn *conn)
{
    if (conn->finishing)
        return true;
    if (conn->keeps > 0 || conn->paused)
        return false;
    return conn->input_ended || (conn->group->draining && is_idle(conn) && !has_arrived(conn->fd));
}

static void watch(struct rpd_conn *conn)
{
    const struct timeval stall = {.tv_sec = conn->group->limits->write_stall_s};
    const bool reads = !conn->input_ended && !conn->finishing && !conn->choked && !conn->paused;
    const bool writes = conn->out.size > 0;

    if (reads != conn->reading &&
        (reads ? event_add(&conn->readable, NULL) : event_del(&conn->readable)) < 0)
        conn->broken = true;
    if (writes && !conn->writing && event_add(&conn->writable, &stall) < 0)
        conn->broken = true;
    if (!writes && conn->writing)
        event_del(&conn->writable);
    conn->reading = reads;
    conn->writing = writes;
}

/* What the client is waited for. */
static enum conn_clock_kind clock_of(const struct rpd_conn *conn)
{
    if (conn->out.size > 0 || conn->choked || conn->paused || conn->keeps > 0 || conn->finishing ||
        conn->input_ended || conn->group->draining)
        return CONN_CLOCK_OFF;
    if (conn->in.size > 0)
        return CONN_CLOCK_REQUEST;
    return conn->has_sent ? CONN_CLOCK_IDLE : CONN_CLOCK_FIRST_BYTE;
}

static void run_clock(struct rpd_conn *conn)
{
    const enum conn_clock_kind kind = clock_of(conn);
    const bool anew = conn->has_sent &&
                      (conn->progressed || conn->in.size - conn->clocked_size >= REQUEST_PROGRESS);

    conn->progressed = false;
    if (anew || kind != conn->clock.kind)
        conn->clocked_size = conn->in.size;
    conn_clock_set(&conn->group->clocks, &conn->clock, kind, anew);
}

static bool may_be_offered(const struct rpd_conn *conn)
{
    return conn->wants_data && !conn->broken && !conn->choked && !conn->paused && !conn->finishing;
}

/* Never called from within one of this connection's callbacks. */
static void settle(struct rpd_conn *conn)
{
    keep_leftover(conn);
    if (may_be_offered(conn))
        offer_data(conn);
    if (!conn->broken)
        watch(conn);
    if (conn->broken)
        close_conn(conn, false);
    else if (conn->out.size == 0 && is_over(conn))
        close_conn(conn, true);
    else {
        run_clock(conn);
        if (may_be_offered(conn))
            settle_later(conn); /* others first */
    }
}

/* ---- clocks ------------------------------------------------------------------- */

static void on_clock_expired(struct conn_clock *clock, enum conn_clock_kind kind)
{
    static const enum conn_limit limit_of[CONN_CLOCK_KINDS] = {
        [CONN_CLOCK_FIRST_BYTE] = CONN_LIMIT_FIRST_BYTE,
        [CONN_CLOCK_REQUEST] = CONN_LIMIT_REQUEST,
        [CONN_CLOCK_IDLE] = CONN_LIMIT_IDLE,
    };
    struct rpd_conn *conn = (struct rpd_conn *)clock;

    /* Another connection's callback may have kept it; or the loop is late, and not
     * the client. */
    if (clock_of(conn) != kind || has_arrived(conn->fd)) {
        run_clock(conn);
        return;
    }
    cut(conn, limit_of[kind]);
    close_conn(conn, false);
}

/* ---- events ------------------------------------------------------------------ */

/* Reads behind what is left over, and what that has no room for into the loop's
 * block: a client that drips must not cost a large buffer. */
static ssize_t read_behind_leftover(struct rpd_conn *conn)
{
    char *block = conn->group->loop->input;
    char *end = buffer_reserve(&conn->in, smaller(conn->in.size, CONN_BLOCK / 4));
    const size_t room = buffer_free_space(&conn->in);
    struct iovec pieces[2] = {{end, room}, {block, CONN_BLOCK / 4}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    const ssize_t size = end ? recvmsg(conn->fd, &message, 0) : -1;
    const size_t behind = size > 0 ? smaller((size_t)size, room) : 0;

    if (!end)
        errno = ENOMEM;
    buffer_added(&conn->in, behind);
    if (size > 0 && buffer_append(&conn->in, block, (size_t)size - behind) < 0) {
        errno = ENOMEM;
        return -1;
    }
    conn->view = buffer_data(&conn->in); /* it may have moved */
    conn->view_size = conn->in.size;
    return size;
}

static ssize_t read_into_block(struct rpd_conn *conn)
{
    char *block = conn->group->loop->input;
    const ssize_t size = recv(conn->fd, block, CONN_BLOCK, 0);

    if (size <= 0)
        return size;
    conn->view = block;
    conn->view_size = (size_t)size;
    conn->scanned = 0;
    return size;
}

static ssize_t read_input(struct rpd_conn *conn)
{
    keep_leftover(conn);
    return conn->in.size > 0 ? read_behind_leftover(conn) : read_into_block(conn);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_conn *conn = arg;
    ssize_t size;

    (void)fd;
    /* Only to be settled; or another connection's callback, in this very turn,
     * did something to us. What has come stays in the kernel. */
    if (!(what & EV_READ) || conn->paused || conn->choked || conn->finishing || conn->broken) {
        settle(conn);
        return;
    }
    size = read_input(conn);
    if (size < 0 && errno != EAGAIN && errno != EINTR)
        conn->broken = true;
    else if (size == 0)
        conn->input_ended = true;
    if (size > 0)
        conn->has_sent = true;
    if (size >= 0)
        offer_data(conn);
    settle(conn);
}

/* How much of it went out. */
static size_t send_waiting(struct rpd_conn *conn)
{
    /* (The event persists: libevent counts its time-out anew from each turn in
     * which the client took something.) */
    const size_t sent = send_pieces(conn, buffer_data(&conn->out), conn->out.size, NULL, 0);

    buffer_drop(&conn->out, sent);
    return sent;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_conn *conn = arg;
    size_t sent = 0;

    (void)fd;
    if (!conn->broken && conn->out.size > 0)
        sent = send_waiting(conn);
    /* Where the loop is late, libevent tells the time-out and not that there is room:
     * who takes something now has not stalled. */
    if ((what & EV_TIMEOUT) && sent == 0)
        cut(conn, CONN_LIMIT_WRITE_STALL);
    if (!conn->broken && conn->choked && conn->out.size < conn->group->output_low) {
        conn->choked = false;
        if (!conn->refused)
            call(conn, conn->group->backend->on_writable);
    }
    settle(conn);
}

static struct rpd_conn *make_conn(struct conn_group *group, int take_fd)
{
    struct event_base *base = group->loop->base;
    struct rpd_conn *conn = calloc(1, sizeof *conn);

    if (!conn) {
        places_close(group->places, take_fd);
        return NULL;
    }
    conn->group = group;
    conn->fd = take_fd;
    conn->open = true;
    event_assign(&conn->readable, base, take_fd, EV_READ | EV_PERSIST, on_readable, conn);
    event_assign(&conn->writable, base, take_fd, EV_WRITE | EV_PERSIST, on_writable, conn);
    TAILQ_INSERT_TAIL(&group->conns, conn, link);
    group->count++;
    return conn;
}

void conn_open(struct conn_group *group, int take_fd)
{
    struct rpd_conn *conn = make_conn(group, take_fd);

    if (!conn)
        return;
    call(conn, group->backend->on_connect);
    settle(conn);
}

/* It is one that its backend has finished from the first: only that nobody is
 * told of its end. */
static void answer_busy(struct rpd_conn *conn, void *state)
{
    (void)state;
    if (conn->group->backend->on_busy)
        conn->group->backend->on_busy(conn);
}

void conn_refuse(struct conn_group *group, int take_fd)
{
    struct rpd_conn *conn = make_conn(group, take_fd);

    if (!conn)
        return;
    conn->refused = true;
    call(conn, answer_busy);
    conn->finishing = true;
    settle(conn);
}

/* ---- the backend's side -------------------------------------------------------- */

bool rpd_conn_input_ended(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->input_ended;
}

void rpd_conn_finish(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    conn->finishing = true;
    if (conn->open)
        settle_later(conn);
}

void rpd_conn_abort(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    if (!conn->open)
        return;
    conn->broken = true;
    if (!conn->in_callback)
        settle(conn);
}

void rpd_conn_pause(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    conn->paused = true;
    if (conn->open)
        settle_later(conn);
}

void rpd_conn_resume(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    if (!conn->paused)
        return;
    conn->paused = false;
    if (!conn->open)
        return;
    /* In on_data itself there is nothing to offer: it has the input before it. */
    if (!conn->in_callback)
        conn->wants_data = conn->view_size > 0 || (conn->input_ended && !conn->end_offered);
    settle_later(conn);
}

void rpd_conn_keep(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    conn->keeps++;
}

void rpd_conn_release(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    if (conn->keeps == 0) {
        log_line(RPD_LOG_ERROR, conn->group->service_name,
                 "its backend releases a connection that it does not keep; that is ignored");
        return;
    }
    conn->keeps--;
    if (conn->open)
        settle_later(conn);
    else
        free_if_unused(conn);
}

bool rpd_conn_is_open(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->open && !conn->broken;
}

void rpd_conn_set_data(struct rpd_conn *conn, void *data)
{
    if (loop_only_refuses())
        return;
    conn->data = data;
}

void *rpd_conn_data(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->data;
}

struct rpd_service *rpd_conn_service(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->group->service;
}

int rpd_conn_fd(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->fd;
}

/* ---- all of a service's ---------------------------------------------------------- */

void conn_group_drain(struct conn_group *group)
{
    struct rpd_conn *conn;

    group->draining = true;
    /* Each is settled in the next turn: what that does to others cannot disturb
     * this walk. */
    TAILQ_FOREACH(conn, &group->conns, link)
        settle_later(conn);
}

void conn_group_abort(struct conn_group *group)
{
    struct rpd_conn *conn;

    while ((conn = TAILQ_FIRST(&group->conns)))
        /* close_conn() takes it off the list; the analyzer loses track of the heads.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        close_conn(conn, false);
}
