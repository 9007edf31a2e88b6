/* Bodies that are received. See conn_owed.h.
 *
 * The loop reads into one buffer while a worker empties the other, into a function or a file. When
 * both are full, nothing is read, and the client waits. What has come with the request, and was not
 * consumed, is the first part of the body; nothing is read beyond the body. */
#include "base/smaller.h"
#include "clients/conn_owed.h"
#include "guard/loop_only.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- its buffers ---------------------------------------------------------------- */

static void free_buffer(struct conn_sink_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct conn_sink_buffer){0};
}

/* What may be filled next; 0: nothing. There is a buffer for it. */
static size_t room_of(struct rpd_conn *conn, struct conn_body *body)
{
    struct conn_sink_buffer *buffer = &body->filled;
    const size_t room = smaller(body->left, CONN_SINK_STEP);

    if (!buffer->data && room > 0) {
        buffer->data = malloc(room);
        if (!buffer->data) {
            conn_cut(conn, CONN_LIMIT_MEMORY);
            return 0;
        }
        buffer->room = room;
        conn_account(conn);
    }
    return smaller(buffer->room - buffer->size, room);
}

static void count_received(struct conn_body *body, size_t size)
{
    body->filled.size += size;
    body->left -= size;
    body->received += size;
}

/* ---- sinking ----------------------------------------------------------------------- */

/* [worker] */
static int write_all(struct conn_body *body)
{
    const struct conn_sink_buffer *buffer = &body->sunk;
    size_t written = 0;

    while (written < buffer->size) {
        const ssize_t now = pwrite(body->fd, buffer->data + written, buffer->size - written,
                                   (off_t)body->at);

        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return now < 0 ? errno : EIO;
        written += (size_t)now;
        body->at += (uint64_t)now;
    }
    return 0;
}

static void run_sink(struct rpd_job *job, void *arg)
{
    struct conn_owed *owed = arg;
    struct conn_body *body = &owed->body;

    (void)job;
    body->sink_error = body->sink ? body->sink(body->due.arg, body->sunk.data, body->sunk.size)
                                  : write_all(body);
}

/* Lists the due of the body, and drops what is left of the body. */
static void end_receiving(struct conn_owed *owed, int error)
{
    struct conn_body *body = &owed->body;

    free_buffer(&body->filled);
    free_buffer(&body->sunk);
    conn_account(owed->conn);
    body->is_owed = false;
    body->is_due = true;
    conn_list_due(owed, &body->due, error);
}

static void hand_over(struct conn_owed *owed);

static void end_sink(struct rpd_service *service, void *arg, bool cancelled)
{
    struct conn_owed *owed = arg;
    struct rpd_conn *conn = owed->conn;

    (void)service;
    owed->is_sinking = false;
    owed->body.sunk.size = 0;
    if (cancelled)
        owed->body.sink_error = ECANCELED;
    if (!conn->open)
        conn_end_owed(conn);
    else if (owed->body.sink_error)
        end_receiving(owed, owed->body.sink_error);
    else
        hand_over(owed);
    conn_owed_end_work(conn);
}

static void swap_buffers(struct conn_body *body)
{
    const struct conn_sink_buffer buffer = body->sunk;

    body->sunk = body->filled;
    body->filled = buffer;
}

static void start_sink(struct conn_owed *owed)
{
    struct conn_body *body = &owed->body;

    swap_buffers(body);
    owed->sinking.run = run_sink;
    owed->sinking.done = end_sink;
    owed->sinking.arg = owed;
    owed->sinking.run_code = (foreign_code)body->sink;
    if (jobs_start(owed->conn->group->jobs, &owed->sinking, NULL, JOB_STEP) < 0) {
        end_receiving(owed, ECANCELED);
        return;
    }
    owed->is_sinking = true;
    owed->conn->works++;
}

/* A step costs a worker's wake-up, so the step should be worth that. */
static void hand_over(struct conn_owed *owed)
{
    const struct conn_body *body = &owed->body;

    if (owed->is_sinking)
        return;
    if (body->filled.size > 0 && (body->left == 0 || body->filled.size >= CONN_SINK_STEP / 2))
        start_sink(owed);
    else if (body->left == 0)
        end_receiving(owed, 0);
    else if (owed->conn->input_ended)
        end_receiving(owed, ENODATA);
}

/* ---- receiving ------------------------------------------------------------------------ */

static bool is_full(const struct conn_body *body)
{
    return body->filled.data && body->filled.size == body->filled.room;
}

bool conn_takes_body(const struct rpd_conn *conn)
{
    const struct conn_owed *owed = conn->owed;

    return owed && owed->body.is_owed && owed->body.left > 0 && !is_full(&owed->body) &&
           !(conn->paused & CONN_PAUSED_BY_BACKEND) && !conn->choked && !conn->finishing &&
           !conn->broken && !conn->input_ended && !conn->starved;
}

static void take_from_socket(struct rpd_conn *conn)
{
    struct conn_owed *owed = conn->owed;
    struct conn_body *body = &owed->body;
    const size_t room = room_of(conn, body);
    ssize_t size;

    if (room == 0)
        return;
    conn->reports = 0;
    size = recv(conn->fd, body->filled.data + body->filled.size, room, 0);
    conn->may_have_input = size < 0 ? errno == EINTR : (size_t)size == room;
    if (size < 0) {
        conn->broken |= errno != EAGAIN && errno != EINTR;
        return;
    }
    conn->input_ended = size == 0;
    conn->has_sent |= size > 0;
    conn_count_received(conn, (size_t)size);
    count_received(body, (size_t)size);
    hand_over(owed);
}

/* What has come already. */
static void take_from_input(struct rpd_conn *conn)
{
    struct conn_body *body = &conn->owed->body;
    size_t room;

    while (conn->view_size > 0 && !conn->broken && (room = room_of(conn, body)) > 0) {
        const size_t size = smaller(conn->view_size, room);

        memcpy(body->filled.data + body->filled.size, conn->view, size);
        count_received(body, size);
        rpd_conn_consume(conn, size);
        hand_over(conn->owed);
    }
    if (!conn->in_callback)
        conn_keep_leftover(conn);
}

uint64_t conn_body_received(const struct rpd_conn *conn)
{
    return conn->owed && conn->owed->body.is_owed ? conn->owed->body.received : 0;
}

void conn_take_body(struct rpd_conn *conn)
{
    if (conn->view_size > 0)
        take_from_input(conn);
    else
        take_from_socket(conn);
}

/* ---- the end ---------------------------------------------------------------------------- */

void conn_drop_body(struct conn_owed *owed)
{
    if (owed->is_sinking)
        jobs_drop(&owed->sinking);
    else if (owed->body.is_owed)
        end_receiving(owed, ECANCELED);
}

void conn_end_body(struct conn_owed *owed, int error)
{
    struct rpd_conn *conn = owed->conn;

    conn->works--;
    if (error)
        conn->finishing = true; /* the rest of its input is the body's */
    conn->progressed = true;
    conn_owed_unpause(owed);
}

/* ---- the backend's side -------------------------------------------------------------------- */

static int begin(struct rpd_conn *conn, struct conn_body body, rpd_conn_done_fn done, void *arg)
{
    struct conn_owed *owed = conn_owe(conn);

    if (!owed)
        return -1;
    errno = owed->body.is_owed || owed->body.is_due ? EBUSY : EAGAIN;
    if (errno == EBUSY || conn->group->jobs->closed)
        return -1;
    body.is_owed = true;
    body.due.done = done;
    body.due.arg = arg;
    owed->body = body;
    conn->works++;
    conn_owed_pause(owed);
    take_from_input(conn);
    if (body.left == 0)
        end_receiving(owed, 0);
    /* ... or the client has ended with what has come */
    else if (owed->body.is_owed && conn->input_ended && !owed->is_sinking)
        hand_over(owed);
    conn_settle_later(conn);
    return 0;
}

int rpd_conn_receive(struct rpd_conn *conn, uint64_t size, rpd_sink_fn sink, rpd_conn_done_fn done,
                     void *arg)
{
    if (loop_only_refuses())
        return -1;
    errno = EINVAL;
    return sink ? begin(conn, (struct conn_body){.left = size, .sink = sink, .fd = -1}, done, arg)
                : -1;
}

int rpd_conn_receive_file(struct rpd_conn *conn, uint64_t size, int fd, uint64_t offset,
                          rpd_conn_done_fn done, void *arg)
{
    const struct conn_body body = {.left = size, .fd = fd, .at = offset};
    struct stat status;
    int flags;

    if (loop_only_refuses())
        return -1;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &status) < 0)
        return -1;
    errno = EINVAL;
    if ((!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) || (flags & (O_PATH | O_APPEND)) ||
        (flags & O_ACCMODE) == O_RDONLY || size > INT64_MAX || offset > INT64_MAX - size)
        return -1;
    return begin(conn, body, done, arg);
}
