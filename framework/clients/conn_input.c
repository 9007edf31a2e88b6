/* The data path's input half. See conn_inside.h.
 *
 * Bytes are read into the loop's block, or behind what on_data has left; on_data is offered all of
 * it, for a slice (conn_turns.h). When the slice is used up, on_data is shown nothing more, and is
 * due again. */
#include "base/plain_io.h"
#include "base/rare.h"
#include "base/smaller.h"
#include "clients/conn_inside.h"
#include "guard/loop_only.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* ---- what the backend sees -------------------------------------------------- */

/* Whether on_data's slice is used up. Never before on_data has consumed something, so each on_data
 * makes progress. */
static bool is_withheld(const struct rpd_conn *conn)
{
    struct conn_loop *loop = conn->group->loop;

    if (loop->offered != conn || conn->view_size == 0 || conn->view_size == loop->offered_size)
        return false;
    if (!loop->withheld)
        loop->withheld = conn_turns_slice_is_over(&loop->turns);
    return loop->withheld;
}

struct rpd_span rpd_conn_input(const struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return (struct rpd_span){NULL, 0};
    if (!conn_takes_input(conn) || is_withheld(conn))
        return (struct rpd_span){conn->view, 0};
    if (conn->group->loop->offered == conn)
        conn->group->loop->shown = true;
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

bool rpd_conn_read_rest(struct rpd_conn *conn, struct rpd_span *ret_rest)
{
    if (loop_only_refuses())
        return false;
    const struct rpd_span input = rpd_conn_input(conn);

    if (!conn->input_ended || input.size == 0)
        return false;
    *ret_rest = input;
    rpd_conn_consume(conn, input.size);
    return true;
}

/* True only for a callback that has seen all that came before it. */
bool rpd_conn_input_ended(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->input_ended && (conn->view_size == 0 || rpd_conn_input(conn).size > 0);
}

bool rpd_conn_slice_is_over(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return false;
    struct conn_loop *loop = conn->group->loop;

    if (loop->offered == conn && !loop->withheld)
        loop->withheld = conn_turns_slice_is_over(&loop->turns);
    return loop->offered == conn && loop->withheld;
}

void rpd_conn_yield(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    conn->wants_data = conn->yields = true;
    if (conn->open && !conn->in_callback)
        conn_turn_yield(&conn->group->loop->turns, &conn->turn);
}

/* ---- reading ----------------------------------------------------------------- */

/* The input that on_data has not been shown may hold whole requests. While that is so, nothing is
 * read. */
static bool was_shown_all(const struct rpd_conn *conn)
{
    const struct conn_loop *loop = conn->group->loop;

    return conn_takes_input(conn) && !conn->yields && !(loop->offered == conn && loop->withheld);
}

/* The view may be the loop's block, which the next connection will use; and consumed bytes are
 * dropped only here, because lines that a callback was given must stay where they are until it
 * returns. */
static RARE void keep_leftover(struct rpd_conn *conn)
{
    if (conn->in.size > 0)
        buffer_drop(&conn->in, conn->in.size - conn->view_size);
    else if (conn->view_size > 0 && conn_append(conn, &conn->in, conn->view, conn->view_size) < 0)
        conn_cut(conn, CONN_LIMIT_MEMORY);
    conn_account(conn);
    conn->view = conn->in.size > 0 ? buffer_data(&conn->in) : NULL;
    conn->view_size = conn->in.size;
    if (conn->in.size > (size_t)conn->group->limits->input_bytes && was_shown_all(conn))
        conn_cut(conn, CONN_LIMIT_INPUT);
}

void conn_keep_leftover(struct rpd_conn *conn)
{
    if (conn->view_size > 0 || conn->in.size > 0)
        keep_leftover(conn);
    else
        conn->view = NULL;
}

/* Reads behind the leftover, and what has no room there into the loop's block: a client that drips
 * must not cost a large buffer. */
static RARE ssize_t read_behind_leftover(struct rpd_conn *conn, size_t *ret_room)
{
    char *block = conn->group->loop->input;
    char *end = conn_reserve(conn, &conn->in, smaller(conn->in.size, CONN_BLOCK / 4));
    const size_t room = buffer_free_space(&conn->in);
    struct iovec pieces[2] = {{end, room}, {block, CONN_BLOCK / 4}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    const ssize_t size = end ? recvmsg(conn->fd, &message, 0) : -1;
    const size_t behind = size > 0 ? smaller((size_t)size, room) : 0;

    *ret_room = room + CONN_BLOCK / 4;
    if (!end)
        errno = ENOMEM;
    buffer_added(&conn->in, behind);
    if (size > 0 && conn_append(conn, &conn->in, block, (size_t)size - behind) < 0) {
        errno = ENOMEM;
        return -1;
    }
    conn->view = buffer_data(&conn->in); /* it may have moved */
    conn->view_size = conn->in.size;
    conn_account(conn);
    return size;
}

static ssize_t read_into_block(struct rpd_conn *conn)
{
    char *block = conn->group->loop->input;
    const ssize_t size = plain_recv(conn->fd, block, CONN_BLOCK);

    if (size <= 0)
        return size;
    conn->view = block;
    conn->view_size = (size_t)size;
    conn->scanned = 0;
    return size;
}

static RARE void take_error(struct rpd_conn *conn, int error_number)
{
    if (error_number == ENOMEM)
        conn_cut(conn, CONN_LIMIT_MEMORY);
    else if (error_number != EAGAIN && error_number != EINTR)
        conn->broken = true;
}

void conn_take_input(struct rpd_conn *conn)
{
    size_t room = CONN_BLOCK;
    ssize_t size;

    conn->reports = 0;
    size = conn->in.size > 0 ? read_behind_leftover(conn, &room) : read_into_block(conn);
    conn->may_have_input = size < 0 ? errno == EINTR : (size_t)size == room;
    if (size < 0) {
        take_error(conn, errno);
        return;
    }
    conn_count_received(conn, (size_t)size);
    conn->input_ended = size == 0;
    conn->has_sent |= size > 0;
    conn->wants_data = true;
    conn->untaken = 0;
}

/* Is there anything to call on_data for? */
static bool is_due(const struct rpd_conn *conn)
{
    return conn->yields || conn->view_size > 0 || (conn->input_ended && !conn->end_offered);
}

void conn_offer_input(struct rpd_conn *conn)
{
    struct conn_loop *loop = conn->group->loop;
    const size_t offered = conn->view_size;

    conn->wants_data = conn->yields = false;
    conn->end_offered = conn->input_ended;
    loop->offered = conn;
    loop->offered_size = offered;
    loop->withheld = loop->shown = false;
    conn_call_on_data(conn);
    loop->offered = NULL;
    if (conn->view_size < offered)
        conn->progressed = true;
    conn->yields |= loop->withheld;
    conn->wants_data &= conn->yields || !loop->shown;
    conn->wants_data |= loop->withheld || conn->choked || conn->paused;
    conn->wants_data &= is_due(conn);
    if (conn->view_size < offered || conn->yields)
        conn->untaken = 0;
    else if (conn->untaken < UNTAKEN_MAX)
        conn->untaken++;
}
