/* The data path's output half. See conn_inside.h.
 *
 * Bytes go out at once where they can: what a callback of the connection's writes, in
 * one call when it returns. What the kernel does not take waits in conn->out, and
 * goes in the connection's turns as the client makes room. */
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
    if (sent >= 0) {
        rpd_metric_add_alone(conn->group->metrics[METRIC_SENT], sent);
        conn->sent += (uint64_t)sent;
        return (size_t)sent;
    }
    if (errno != EAGAIN)
        conn->broken = true;
    return 0;
}

static void queue_output(struct rpd_conn *conn, const char *data, size_t size)
{
    if (size == 0 || conn->broken)
        return;
    if (conn->out.size + size > (size_t)conn->group->limits->output_bytes) {
        conn_cut(conn, CONN_LIMIT_OUTPUT);
        return;
    }
    if (buffer_append(&conn->out, data, size) < 0)
        conn_cut(conn, CONN_LIMIT_MEMORY);
    conn_account(conn);
    if (rpd_conn_output_size(conn) >= conn->group->output_high)
        conn->choked = true;
}

/* Sends two pieces in order, and queues what does not go out at once. */
static void send_or_queue(struct rpd_conn *conn, const char *first, size_t first_size,
                          const char *second, size_t second_size)
{
    size_t sent = 0;

    /* One that is broken may have lost what should have gone first. */
    if (conn->out.size == 0 && !conn->broken && first_size + second_size > 0)
        sent = first_size > 0 ? send_pieces(conn, first, first_size, second, second_size)
                              : send_pieces(conn, second, second_size, NULL, 0);
    if (sent < first_size) {
        queue_output(conn, first + sent, first_size - sent);
        sent = first_size;
    }
    queue_output(conn, second + (sent - first_size), second_size - (sent - first_size));
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
        send_or_queue(conn, loop->output, size, "", 0);
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
    send_or_queue(conn, loop->output, before, data, size);
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
        send_or_queue(conn, data, size, "", 0);
    if (!conn->in_callback) {
        conn->progressed |= conn->in.size == 0;
        conn_settle_later(conn);
    }
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

/* A client that has just made much room may have been ready for more, and the loop late:
 * once, not in each window. */
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

static void send_some(struct rpd_conn *conn)
{
    const size_t sent = send_pieces(conn, buffer_data(&conn->out), conn->out.size, NULL, 0);

    buffer_drop(&conn->out, sent);
    conn_account(conn);
    /* Where the loop is late, libevent tells the time-out and not that there is room:
     * who takes something now has not stalled. The event persists: libevent counts its
     * time-out anew from each turn in which there was room. */
    if (sent == 0 && conn->has_stalled)
        conn_cut(conn, CONN_LIMIT_WRITE_STALL);
    else if (conn->out.size > 0)
        judge_pace(conn, sent);
}

void conn_send_waiting(struct rpd_conn *conn)
{
    if ((conn->may_have_room || conn->has_stalled) && conn->out.size > 0 && !conn->broken)
        send_some(conn);
    conn->may_have_room = conn->has_stalled = false;
    if (conn->broken || !conn->choked || conn->out.size >= conn->group->output_low)
        return;
    conn->choked = false;
    if (!conn->refused)
        conn_call(conn, METRIC_ON_WRITABLE, conn->group->backend->on_writable);
}
