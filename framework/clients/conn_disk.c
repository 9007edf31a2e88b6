/* What a disk may have to do with a file that is sent. See conn_owed.h.
 *
 * The loop must not wait for a disk. Two ways lead from a file to its client:
 *
 *     in memory   sendfile() on the loop, right after a look: the loop reads a byte here and there,
 *                 without waiting. What the look found holds for LOOK_HOLDS_US, as a client that
 *                 stalls may outlast any page in memory. A mincore() of all pages took a third of
 *                 the time of sending them.
 *     otherwise   a worker reads a step into memory of the connection's own, which no kernel
 *                 evicts. The pages behind the step are read ahead meanwhile, so the next step is
 *                 usually in memory.
 *
 * A page may still be evicted between the look and sendfile(), or be missing between two bytes that
 * were read. The loop then waits once, and notices that: a thread that waits gives up its processor
 * of its own accord. For SHY_US from then on all files of the service take the second way. */
#include "clients/conn_owed.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/smaller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    LOOK_EVERY = 64 * 1024,
    LOOK_HOLDS_US = 2000,
    SLOW_US = 1000, /* 1 MiB takes a tenth of that, unless there is a wait */
    SHY_US = 60 * 1000000,
    READ_STEP = 256 * 1024
};

/* ---- is it in memory? ------------------------------------------------------------ */

static bool is_file_system_in_memory(int fd)
{
    struct statfs status;

    return fstatfs(fd, &status) == 0 &&
           (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
}

ssize_t conn_read_now(int fd, void *bytes, size_t size, uint64_t at)
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
        got = conn_read_now(fd, &byte, 1, at + (looked < size ? looked : size - 1));
        looked += LOOK_EVERY;
    } while (got > 0 && looked < size + LOOK_EVERY - 1);
    return got >= 0;
}

static bool is_shy(const struct conn_group *group, uint64_t now_us)
{
    return group->file_waited_us > 0 && now_us - group->file_waited_us < SHY_US;
}

bool conn_look_at_file(const struct conn_owed *owed, struct conn_file *file)
{
    const size_t step = smaller(file->left, CONN_STEP);
    const uint64_t now_us = clock_us();

    if (is_shy(owed->conn->group, now_us))
        return false;
    if (file->ready > 0 && now_us < file->ready_until_us)
        return true;
    file->ready = is_resident(file->fd, file->at, step) ? step : 0;
    file->ready_until_us = now_us + LOOK_HOLDS_US;
    return file->ready > 0;
}

/* ---- from memory --------------------------------------------------------------------- */

/* How often this thread has waited for something. */
static long waits_so_far(void)
{
    struct rusage usage = {0};

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void note_wait(struct conn_group *group, uint64_t now_us, uint64_t took_us)
{
    group->file_waited_us = now_us;
    log_line(RPD_LOG_INFO, group->owner.service,
             "sending a file made the loop wait for %llu ms; for %d s workers read the files of "
             "this service",
             (unsigned long long)(took_us / 1000), SHY_US / 1000000);
}

ssize_t conn_send_from_file(struct rpd_conn *conn, const struct conn_file *file)
{
    const long waits = waits_so_far();
    const uint64_t began_us = clock_us();
    off_t at = (off_t)file->at;
    uint64_t took_us;
    ssize_t sent;
    int error;

    do
        sent = sendfile(conn->fd, file->fd, &at, (size_t)file->ready);
    while (sent < 0 && errno == EINTR);
    error = errno;
    took_us = clock_us() - began_us;
    if (took_us > SLOW_US && waits_so_far() > waits)
        note_wait(conn->group, began_us + took_us, took_us);
    errno = error;
    return sent;
}

/* ---- from a disk ----------------------------------------------------------------------- */

/* 0, or an errno. */
static int read_all(int fd, char *bytes, size_t size, uint64_t at)
{
    while (size > 0) {
        const ssize_t got = pread(fd, bytes, size, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : ENODATA;
        bytes += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static void run_reading(struct rpd_job *job, void *arg)
{
    struct conn_owed *owed = arg;
    const struct conn_file *file = owed->read;

    (void)job;
    posix_fadvise(file->fd, (off_t)file->at, READ_STEP + CONN_STEP, POSIX_FADV_WILLNEED);
    owed->reading_error = read_all(file->fd, owed->piece.data, owed->piece.size, file->at);
}

void conn_free_piece(struct conn_owed *owed)
{
    free(owed->piece.data);
    owed->piece = (struct conn_piece){0};
    conn_account(owed->conn);
}

static void end_reading(struct rpd_service *service, void *arg, bool cancelled)
{
    struct conn_owed *owed = arg;
    struct rpd_conn *conn = owed->conn;
    const int error = cancelled ? ECANCELED : owed->reading_error;

    (void)service;
    owed->is_reading = false;
    if (!conn->open || error)
        conn_free_piece(owed);
    if (!conn->open)
        conn_end_owed(conn);
    else if (error)
        conn_fail_file(owed, owed->read, error);
    conn->may_have_room = true;
    conn_owed_end_work(conn);
}

void conn_start_reading(struct conn_owed *owed, struct conn_file *file)
{
    struct rpd_conn *conn = owed->conn;
    const size_t step = smaller(file->left, READ_STEP);

    owed->piece = (struct conn_piece){.data = malloc(step), .size = step};
    if (!owed->piece.data) {
        owed->piece.size = 0;
        conn_cut(conn, CONN_LIMIT_MEMORY);
        return;
    }
    owed->read = file;
    owed->reading_error = 0;
    owed->reading.run = run_reading;
    owed->reading.done = end_reading;
    owed->reading.arg = owed;
    if (jobs_start(conn->group->jobs, &owed->reading, NULL, JOB_STEP) < 0) {
        conn_free_piece(owed);
        conn_fail_file(owed, file, ECANCELED);
        return;
    }
    owed->is_reading = true;
    conn->works++;
    conn_account(conn);
}
