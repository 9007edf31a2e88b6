/* The data path's output half. See conn_inside.h.
 *
 * Bytes go out at once if they can; what a callback of the connection writes goes out in one call,
 * when it returns. What the kernel does not take waits in conn->out, and goes in the connection's
 * turns as the client makes room. */
#include "base/plain_io.h"
#include "base/rare.h"
#include "clients/conn_inside.h"
#include "guard/loop_only.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    PACE_GRACE_MS = 10000,
    PACE_MUCH = 64 * 1024 /* at once */
};

/* The connection is broken if no more can ever be sent. */
static size_t take_result(struct rpd_conn *conn, ssize_t sent)
{
    if (sent >= 0) {
        conn_count_sent(conn, (size_t)sent);
        return (size_t)sent;
    }
    if (errno != EAGAIN)
        conn->broken = true;
    return 0;
}

/* Sends what it can, and returns how much that was. */
static size_t send_piece(struct rpd_conn *conn, const void *data, size_t size)
{
    ssize_t sent;

    do
        sent = plain_send(conn->fd, data, size);
    while (sent < 0 && errno == EINTR);
    return take_result(conn, sent);
}

/* Likewise, of two. */
static size_t send_pieces(struct rpd_conn *conn, const void *first, size_t first_size,
                          const void *second, size_t second_size)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t)first, first_size},
                              {(void *)(uintptr_t)second, second_size}};
    const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    ssize_t sent;

    if (first_size == 0)
        return send_piece(conn, second, second_size);
    do
        sent = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return take_result(conn, sent);
}

static RARE void queue_output(struct rpd_conn *conn, const char *data, size_t size)
{
    if (size == 0 || conn->broken)
        return;
    if (conn->out.size + size > (size_t)conn->group->limits->output_bytes) {
        conn_cut(conn, CONN_LIMIT_OUTPUT);
        return;
    }
    if (conn_append(conn, &conn->out, data, size) < 0)
        conn_cut(conn, CONN_LIMIT_MEMORY);
    conn_account(conn);
    if (rpd_conn_output_size(conn) >= conn->group->output_high)
        conn->choked = true;
}

/* A broken connection may have lost what should have gone first. */
static bool sends_at_once(const struct rpd_conn *conn)
{
    return !conn_has_output(conn) && !conn->broken;
}

/* Sends it, and queues what does not go out at once. */
static void send_or_queue(struct rpd_conn *conn, const char *data, size_t size)
{
    const size_t sent = sends_at_once(conn) ? send_piece(conn, data, size) : 0;

    if (sent < size)
        queue_output(conn, data + sent, size - sent);
}

/* Two pieces, in order. */
static RARE void send_or_queue_both(struct rpd_conn *conn, const char *first, size_t first_size,
                                    const char *second, size_t second_size)
{
    size_t sent = 0;

    if (sends_at_once(conn))
        sent = send_pieces(conn, first, first_size, second, second_size);
    if (sent < first_size) {
        queue_output(conn, first + sent, first_size - sent);
        sent = first_size;
    }
    queue_output(conn, second + (sent - first_size), second_size - (sent - first_size));
}

/* Whether little output waits for a client that was choked. */
static bool is_little(const struct rpd_conn *conn)
{
    return conn->out.size < conn->group->output_low && conn_files_are_few(conn);
}

bool conn_cork(struct rpd_conn *conn)
{
    struct conn_loop *loop = conn->group->loop;

    if (loop->corked)
        return false;
    loop->corked = conn;
    return true;
}

void conn_uncork(struct rpd_conn *conn)
{
    struct conn_loop *loop = conn->group->loop;
    const size_t size = loop->output_size;

    if (loop->corked != conn)
        return;
    loop->corked = NULL;
    loop->output_size = 0;
    if (size > 0)
        send_or_queue(conn, loop->output, size);
    if (!conn_has_files(conn) || conn->broken)
        return;
    conn_send_queue(conn);
    conn->may_have_room |= conn->choked && is_little(conn); /* no event will say so */
}

static void write_corked(struct rpd_conn *conn, const void *data, size_t size)
{
    struct conn_loop *loop = conn->group->loop;
    const size_t before = loop->output_size;

    if (size <= CONN_BLOCK - before) {
        memcpy(loop->output + before, data, size);
        loop->output_size += size;
        return;
    }
    loop->output_size = 0;
    send_or_queue_both(conn, loop->output, before, data, size);
}

int rpd_conn_write(struct rpd_conn *conn, const void *data, size_t size)
{
    if (loop_only_refuses())
        return -1;
    if (!conn->open || conn->broken || conn->finishing)
        return -1;
    if (size == 0)
        return 0;
    if (conn->group->loop->corked == conn)
        write_corked(conn, data, size);
    else
        send_or_queue(conn, data, size);
    if (!conn->in_callback) {
        conn->progressed |= conn->in.size == 0;
        conn_settle_later(conn);
    }
    return conn->broken ? -1 : 0;
}

/* There is no memory for the answer: the client must neither wait for it nor take the next answer
 * for this one. */
static void lose_answer(struct rpd_conn *conn)
{
    if (!conn->open)
        return;
    conn_cut(conn, CONN_LIMIT_MEMORY);
    conn_settle_later(conn);
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
    else if (size >= 0)
        lose_answer(conn);
    if (text != small)
        free(text);
    return result;
}

size_t rpd_conn_output_size(const struct rpd_conn *conn)
{
    loop_only_warns();
    const struct conn_loop *loop = conn->group->loop;

    return conn->out.size + (loop->corked == conn ? loop->output_size : 0) +
           (conn->owed ? (size_t)conn_file_bytes(conn) : 0);
}

/* ---- how fast it is taken ------------------------------------------------------- */

/* After the first PACE_GRACE_MS that output waits, limits.progress_bytes_per_s. */
static bool is_too_slow(const struct rpd_conn *conn, uint64_t now_ms)
{
    const struct config_limits *limits = conn->group->limits;
    const uint64_t graced_ms = conn->pace.waits_since_ms + PACE_GRACE_MS;
    const uint64_t from_ms = graced_ms > conn->pace.window_ms ? graced_ms : conn->pace.window_ms;
    const uint64_t asked_ms = now_ms > from_ms ? now_ms - from_ms : 0;

    return conn->pace.taken < 1 + (uint64_t)limits->progress_bytes_per_s * asked_ms / 1000;
}

/* A client that has just made much room may have been ready for more while the loop was late: it is
 * excused once, not in each window. */
static void judge_pace(struct rpd_conn *conn, size_t sent)
{
    const uint64_t now_ms = conn_clock_now_ms();
    const uint64_t window_ms = (uint64_t)conn->group->limits->write_stall_s * 1000;
    bool is_slow;

    conn->pace.taken += sent;
    if (now_ms - conn->pace.window_ms < window_ms)
        return;
    is_slow = is_too_slow(conn, now_ms);
    if (is_slow && (sent < PACE_MUCH || conn->pace.excused))
        conn_cut(conn, CONN_LIMIT_WRITE_STALL);
    conn->pace.excused = is_slow;
    conn->pace.window_ms = now_ms;
    conn->pace.taken = 0;
}

void conn_begin_pace(struct rpd_conn *conn)
{
    const uint64_t now_ms = conn_clock_now_ms();

    conn->pace = (struct conn_pace){.waits_since_ms = now_ms, .window_ms = now_ms};
}

static size_t send_bytes(struct rpd_conn *conn)
{
    const size_t sent = send_piece(conn, buffer_data(&conn->out), conn->out.size);

    buffer_drop(&conn->out, sent);
    return sent;
}

static void send_some(struct rpd_conn *conn)
{
    const size_t sent = conn_has_files(conn) ? conn_send_queue(conn) : send_bytes(conn);

    conn_account(conn);
    /* If the loop is late, libevent reports the time-out and not that there is room: a client that
     * takes something now has not stalled. The event persists: libevent counts its time-out anew
     * from each turn in which there was room. */
    if (sent == 0 && conn->has_stalled)
        conn_cut(conn, CONN_LIMIT_WRITE_STALL);
    else if (conn_has_output(conn) && !conn_is_reading_file(conn) &&
             event_is_watched(&conn->write_event)) /* which began the pace */
        judge_pace(conn, sent);
}

void conn_send_waiting(struct rpd_conn *conn)
{
    if ((conn->may_have_room || conn->has_stalled) && conn_has_output(conn) && !conn->broken)
        send_some(conn);
    conn->may_have_room = conn->has_stalled = false;
    if (conn->broken || !conn->choked || !is_little(conn))
        return;
    conn->choked = false;
    if (!conn->refused)
        conn_call(conn, METRIC_ON_WRITABLE, conn->group->backend->on_writable);
}
