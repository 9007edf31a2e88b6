/* Files that are sent, between the bytes of conn->out. See conn_owed.h.
 *
 * A step of a file is sent when its pages are in memory, so that sendfile() waits for no disk. The
 * loop reads a byte here and there, without waiting; if one is missing, or the loop cannot know, a
 * worker touches all of the step first. A mincore() of all pages took a third of the time of
 * sending them; caches are filled, and emptied, by larger pieces. Small files are copied into the
 * block in which a callback's output gathers. */
#include "clients/conn_owed.h"

#include "base/log.h"
#include "guard/loop_only.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SMALL = 16 * 1024, FILES_MAX = 1024, LOOK_EVERY = 256 * 1024 };

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- is it in memory? ------------------------------------------------------------ */

static bool is_file_system_in_memory(int fd)
{
    struct statfs status;

    return fstatfs(fd, &status) == 0 &&
           (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
}

/* Like preadv2() with RWF_NOWAIT. */
static ssize_t read_without_waiting(int fd, void *bytes, size_t size, uint64_t at)
{
    const struct iovec room = {bytes, size};
    const ssize_t got = preadv2(fd, &room, 1, (off_t)at, RWF_NOWAIT);

    if (got < 0 && errno == EOPNOTSUPP && is_file_system_in_memory(fd))
        return pread(fd, bytes, size, (off_t)at);
    return got;
}

/* If the file has ended, sendfile() reports it. */
static bool is_resident(int fd, uint64_t at, size_t size)
{
    size_t looked = 0;
    ssize_t got;
    char byte;

    do {
        got = read_without_waiting(fd, &byte, 1, at + (looked < size ? looked : size - 1));
        looked += LOOK_EVERY;
    } while (got > 0 && looked < size + LOOK_EVERY - 1);
    return got >= 0;
}

/* [worker] 0, or an errno. */
static int touch_by_reading(int fd, uint64_t at, size_t size)
{
    char block[64 * 1024];

    while (size > 0) {
        const size_t wanted = size < sizeof block ? size : sizeof block;
        const ssize_t got = pread(fd, block, wanted, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : ENODATA;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

/* [worker] The kernel reads the step after it meanwhile. 0, or an errno. */
static int make_resident(int fd, uint64_t at, size_t size)
{
    const uint64_t skipped = at % (uint64_t)sysconf(_SC_PAGESIZE);
    const size_t mapped = size + (size_t)skipped;
    void *pages = mmap(NULL, mapped, PROT_READ, MAP_SHARED, fd, (off_t)(at - skipped));
    bool is_done = false;

    if (pages != MAP_FAILED) {
        is_done = madvise(pages, mapped, MADV_POPULATE_READ) == 0;
        munmap(pages, mapped);
    }
    posix_fadvise(fd, (off_t)(at + size), CONN_STEP, POSIX_FADV_WILLNEED);
    return is_done ? 0 : touch_by_reading(fd, at, size);
}

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
    if (owed->is_paging) {
        jobs_drop(&owed->paging);
        return;
    }
    while (!TAILQ_EMPTY(&owed->files))
        end_file(owed, TAILQ_FIRST(&owed->files), ECANCELED);
}

/* The client has been promised more. */
static void fail_file(struct conn_owed *owed, struct conn_file *file, int error)
{
    struct rpd_conn *conn = owed->conn;

    log_line(RPD_LOG_WARNING, conn->group->owner.service,
             "a file cannot be sent to the end: %s; its client is closed",
             error == ENODATA ? "it has become shorter" : strerror(error));
    end_file(owed, file, error);
    conn->broken = true;
}

static void run_paging(struct rpd_job *job, void *arg)
{
    struct conn_owed *owed = arg;
    const struct conn_file *file = owed->paged;

    (void)job;
    owed->paging_error = make_resident(file->fd, file->at, (size_t)smaller(file->left, CONN_STEP));
}

static void end_paging(struct rpd_service *service, void *arg, bool cancelled)
{
    struct conn_owed *owed = arg;
    struct rpd_conn *conn = owed->conn;

    (void)service;
    owed->is_paging = false;
    if (!conn->open)
        conn_end_owed(conn);
    else if (cancelled || owed->paging_error)
        fail_file(owed, owed->paged, cancelled ? ECANCELED : owed->paging_error);
    else
        owed->paged->ready = smaller(owed->paged->left, CONN_STEP);
    conn->may_have_room = true;
    conn_owed_end_work(conn);
}

/* False: a worker works on it. */
static bool is_ready(struct conn_owed *owed, struct conn_file *file)
{
    const size_t step = (size_t)smaller(file->left, CONN_STEP);

    if (file->ready == 0 && is_resident(file->fd, file->at, step))
        file->ready = step;
    if (file->ready > 0)
        return true;
    owed->paging.run = run_paging;
    owed->paging.done = end_paging;
    owed->paging.arg = owed;
    owed->paging_error = 0;
    owed->paged = file;
    if (jobs_start(owed->conn->group->jobs, &owed->paging, NULL, JOB_STEP) < 0) {
        fail_file(owed, file, ECANCELED);
        return false;
    }
    owed->is_paging = true;
    owed->conn->works++;
    return false;
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

static void send_part(struct conn_owed *owed, struct conn_file *file, struct progress *progress)
{
    struct rpd_conn *conn = owed->conn;
    const size_t size = (size_t)file->ready;
    off_t at = (off_t)file->at;
    ssize_t sent;

    do
        sent = sendfile(conn->fd, file->fd, &at, size);
    while (sent < 0 && errno == EINTR);
    count_sent(progress, sent);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
        conn->broken = true;
    else if (sent == 0 || (sent < 0 && errno != EAGAIN))
        fail_file(owed, file, sent == 0 ? ENODATA : errno);
    if (sent <= 0)
        return;
    conn_count_sent(conn, (size_t)sent);
    file->at += (uint64_t)sent;
    file->left -= (uint64_t)sent;
    file->ready -= (uint64_t)sent;
    owed->file_bytes -= (uint64_t)sent;
    if (file->left == 0)
        end_file(owed, file, 0);
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
        else if (file && !owed->is_paging && is_ready(owed, file))
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

bool conn_is_paging(const struct rpd_conn *conn)
{
    return conn->owed && conn->owed->is_paging;
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
    return read_without_waiting(fd, &byte, 0, offset) < 0 && errno == EBADF ? -1 : 0;
}

/* Copies a file that is small and in memory into the block in which a callback's output gathers. */
static bool copy_small(struct rpd_conn *conn, const struct conn_file *file)
{
    struct conn_loop *loop = conn->group->loop;
    const size_t size = (size_t)file->left;

    if (loop->corked != conn || file->left > SMALL || size > CONN_BLOCK - loop->output_size ||
        read_without_waiting(file->fd, loop->output + loop->output_size, size, file->at) !=
            (ssize_t)size)
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
