/* Files that are sent, between the bytes of conn->out. See conn_owed.h.
 *
 * What of the first file is in memory goes from its pages to the socket; the rest a worker reads
 * first (conn_disk.c). Small files are copied into the block in which a callback's output
 * gathers. */
#include "clients/conn_owed.h"

#include "base/log.h"
#include "base/smaller.h"
#include "guard/loop_only.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { SMALL = 16 * 1024, FILES_MAX = 1024 };

/* ---- the way of a file ------------------------------------------------------------- */

void conn_free_file(struct conn_due *due)
{
    free(due);
}

static void end_file(struct conn_owed *owed, struct conn_file *file, int error)
{
    TAILQ_REMOVE(&owed->files, file, link);
    owed->file_count--;
    owed->file_bytes -= file->left;
    owed->marked -= file->behind;
    conn_list_due(owed, &file->due, error);
}

void conn_drop_files(struct conn_owed *owed)
{
    if (owed->is_reading) {
        jobs_drop(&owed->reading);
        return;
    }
    conn_free_piece(owed);
    while (!TAILQ_EMPTY(&owed->files))
        end_file(owed, TAILQ_FIRST(&owed->files), ECANCELED);
}

/* The client has been promised more. */
void conn_fail_file(struct conn_owed *owed, struct conn_file *file, int error)
{
    struct rpd_conn *conn = owed->conn;

    log_line(RPD_LOG_WARNING, conn->group->owner.service,
             "a file cannot be sent to the end: %s; its client is closed",
             error == ENODATA ? "it has become shorter" : strerror(error));
    end_file(owed, file, error);
    conn->broken = true;
}

/* ---- sending --------------------------------------------------------------------------- */

/* How much was sent in one go, and whether there may be room for more: a client may have made room
 * meanwhile, and a try costs less than waiting for the loop to report it. */
struct progress {
    size_t sent;
    bool has_room;
};

static void count_sent(struct progress *progress, ssize_t sent)
{
    progress->sent += sent > 0 ? (size_t)sent : 0;
    progress->has_room = sent > 0;
}

static void send_bytes(struct conn_owed *owed, struct conn_file *next, struct progress *progress)
{
    struct rpd_conn *conn = owed->conn;
    const size_t size = next ? next->behind : conn->out.size;
    ssize_t sent;

    do
        sent = send(conn->fd, buffer_data(&conn->out), size, MSG_NOSIGNAL | (next ? MSG_MORE : 0));
    while (sent < 0 && errno == EINTR);
    count_sent(progress, sent);
    if (sent < 0) {
        conn->broken |= errno != EAGAIN;
        return;
    }
    conn_count_sent(conn, (size_t)sent);
    buffer_drop(&conn->out, (size_t)sent);
    if (next) {
        next->behind -= (size_t)sent;
        owed->marked -= (size_t)sent;
    }
}

/* Of what a worker has read. */
static ssize_t send_piece(struct conn_owed *owed)
{
    struct conn_piece *piece = &owed->piece;
    ssize_t sent;

    do
        sent = send(owed->conn->fd, piece->data + piece->sent, piece->size - piece->sent,
                    MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    piece->sent += sent > 0 ? (size_t)sent : 0;
    if (piece->sent == piece->size)
        conn_free_piece(owed);
    return sent;
}

static void count_part(struct conn_owed *owed, struct conn_file *file, size_t sent)
{
    conn_count_sent(owed->conn, sent);
    file->at += sent;
    file->left -= sent;
    file->ready -= smaller(file->ready, sent);
    owed->file_bytes -= sent;
    if (file->left == 0)
        end_file(owed, file, 0);
}

static void send_part(struct conn_owed *owed, struct conn_file *file, struct progress *progress)
{
    struct rpd_conn *conn = owed->conn;
    const ssize_t sent = owed->piece.data ? send_piece(owed) : conn_send_from_file(conn, file);

    count_sent(progress, sent);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
        conn->broken = true;
    else if (sent == 0 || (sent < 0 && errno != EAGAIN))
        conn_fail_file(owed, file, sent == 0 ? ENODATA : errno);
    if (sent > 0)
        count_part(owed, file, (size_t)sent);
}

/* False: a worker reads it. */
static bool is_ready(struct conn_owed *owed, struct conn_file *file)
{
    if (owed->is_reading)
        return false;
    if (owed->piece.data || conn_look_at_file(owed, file))
        return true;
    conn_start_reading(owed, file);
    return false;
}

/* An empty file is sent when its turn has come. */
static struct conn_file *first_file(struct conn_owed *owed)
{
    struct conn_file *file;

    while ((file = TAILQ_FIRST(&owed->files)) && file->behind == 0 && file->left == 0)
        end_file(owed, file, 0);
    return file;
}

size_t conn_send_queue(struct rpd_conn *conn)
{
    struct conn_owed *owed = conn->owed;
    struct progress progress = {.has_room = true};

    while (progress.has_room && progress.sent < CONN_STEP && !conn->broken) {
        struct conn_file *file = first_file(owed);

        if (file ? file->behind > 0 : conn->out.size > 0)
            send_bytes(owed, file, &progress);
        else if (file && is_ready(owed, file))
            send_part(owed, file, &progress);
        else
            break;
    }
    return progress.sent;
}

bool conn_files_wait(const struct rpd_conn *conn)
{
    return !TAILQ_EMPTY(&conn->owed->files);
}

bool conn_is_reading_file(const struct rpd_conn *conn)
{
    return conn->owed && conn->owed->is_reading;
}

bool conn_files_are_few(const struct rpd_conn *conn)
{
    const struct conn_owed *owed = conn->owed;

    return !owed || (owed->file_count < CONN_FILES_HIGH / 4 &&
                     owed->file_bytes + conn->out.size < conn->group->output_low);
}

uint64_t conn_file_bytes(const struct rpd_conn *conn)
{
    return conn->owed->file_bytes;
}

/* ---- the backend's side ------------------------------------------------------------------ */

/* 0: the file is regular, long enough, and readable. */
static int check_file(int fd, uint64_t offset, uint64_t size)
{
    struct stat status;
    char byte;

    if (fstat(fd, &status) < 0)
        return -1;
    errno = EINVAL;
    if (!S_ISREG(status.st_mode) || offset > (uint64_t)status.st_size ||
        size > (uint64_t)status.st_size - offset)
        return -1;
    return conn_read_now(fd, &byte, 0, offset) < 0 && errno == EBADF ? -1 : 0;
}

/* Copies a file that is small and in memory into the block in which a callback's output gathers. */
static bool copy_small(struct rpd_conn *conn, const struct conn_file *file)
{
    struct conn_loop *loop = conn->group->loop;
    const size_t size = (size_t)file->left;

    if (loop->corked != conn || file->left > SMALL || size > CONN_BLOCK - loop->output_size ||
        conn_read_now(file->fd, loop->output + loop->output_size, size, file->at) != (ssize_t)size)
        return false;
    loop->output_size += size;
    return true;
}

static void add_file(struct conn_owed *owed, struct conn_file *file)
{
    struct rpd_conn *conn = owed->conn;
    const struct conn_loop *loop = conn->group->loop;
    const size_t ahead = conn->out.size + (loop->corked == conn ? loop->output_size : 0);

    file->behind = ahead - owed->marked;
    owed->marked = ahead;
    owed->file_count++;
    owed->file_bytes += file->left;
    TAILQ_INSERT_TAIL(&owed->files, file, link);
    if (rpd_conn_output_size(conn) >= conn->group->output_high ||
        owed->file_count >= CONN_FILES_HIGH)
        conn->choked = true;
    if (loop->corked != conn)
        conn->may_have_room = true;
}

int rpd_conn_send_file(struct rpd_conn *conn, int fd, uint64_t offset, uint64_t size,
                       rpd_conn_done_fn done, void *arg)
{
    struct conn_owed *owed;
    struct conn_file *file;

    if (loop_only_refuses())
        return -1;
    owed = conn_owe(conn);
    if (!owed || check_file(fd, offset, size) < 0)
        return -1;
    errno = owed->file_count < FILES_MAX ? ENOMEM : EAGAIN;
    file = owed->file_count < FILES_MAX ? calloc(1, sizeof *file) : NULL;
    if (!file)
        return -1;
    file->due.done = done;
    file->due.arg = arg;
    file->fd = fd;
    file->at = offset;
    file->left = size;
    if (TAILQ_EMPTY(&owed->files) && (size == 0 || copy_small(conn, file)))
        conn_list_due(owed, &file->due, 0);
    else
        add_file(owed, file);
    conn_settle_later(conn);
    return 0;
}
