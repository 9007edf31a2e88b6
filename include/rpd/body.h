/* Bodies, and answers by jobs: what is owed to a client, or by it, across many turns of the loop.
 *
 *     rpd_conn_job           a worker makes the answer                 run [worker], done [loop]
 *     rpd_conn_send_file     part of a file, between what is written   done [loop]
 *     rpd_conn_receive       the next bytes of input, to a function    sink [worker], done [loop]
 *     rpd_conn_receive_file  likewise, to a descriptor                 done [loop]
 *
 * Each returns 0, or -1 and errno: then nothing was begun, done is not called, and the client can
 * still be answered. What was begun is done exactly once:
 *
 *                             done is called with       and then
 *     ----------------------  ------------------------  ---------------------------------------
 *     all went well           conn, 0                   on_data goes on, behind the body
 *     sink or disk failed     conn, its errno           answer; the connection is closed after it
 *     the body ended early    conn, ENODATA             likewise: its client sent less than it said
 *     a file could not be     NULL, its errno;          the connection is closed: its client has
 *       sent                  ENODATA: it has shrunk    been promised more
 *     the client has left,    NULL, ECANCELED           -
 *       or was closed
 *
 * With NULL on_close has been called before, so let arg stand for itself. done is called in a turn
 * of the loop, or in that of the close; never within the call that began it, and in the order of
 * these calls. What it writes goes out in one system call.
 *
 *     pause      is not counted: one resume ends any number of pauses. What is here reads by
 *                pauses of its own, which are apart from the backend's.
 *     resume     does not call on_data: that comes in a later turn, also where nothing new has
 *                come, if input is left.
 *     order      write, resume, release. (rpd_conn_job() does the latter two after done.)
 *     threads    conn and the state are the loop's. run and sink get arg alone: it is theirs while
 *                they run, and the loop's before and after.
 *     exceptions must not leave any of these functions.
 *
 * Back-pressure is inside. While a file waits to be sent it counts as waiting output: from 256 KiB
 * on its client is not read. A body is read as fast as its sink takes it, 2 MiB ahead at most;
 * these are in limits.buffer_bytes. Memory, other than that of buffers in the kernel, is used by
 * neither a file that is sent nor a client that stalls. Other clients have their turn after each
 * MiB. A file's pages are read from the disk by a worker, 1 MiB at a time, and sent by the loop,
 * which does not wait for a disk.
 *
 * services[].limits, while a body is owed: its client must send progress_bytes_per_s, as for a
 * request (request_s), but not while the sink is what is waited for; and take its output at the
 * same rate, but not while the disk is. A stop lets all of it end, until drain_s. */
#ifndef RPD_BODY_H
#define RPD_BODY_H

#include <rpd/conn.h>
#include <rpd/job.h>

RPD_BEGIN

/* [loop] conn: NULL if no client is there to answer. error: 0, or an errno. */
typedef void (*rpd_conn_done_fn)(struct rpd_conn *conn, void *arg, int error);

/* [loop] Answers by a job: nothing more is read of the client until done has been called, and the
 * connection is kept. error, for done: 0, or ECANCELED if the client has left, or run gave up or
 * never ran. A client that leaves cancels it, so what must be done whether or not it waits is one
 * for rpd_job_submit(). (One that closes its side of TCP may still read, and has not left.)
 * Several of one client run one after the other. EAGAIN: 10,000 jobs wait already; ECANCELED: the
 * connection is closing; ENOMEM. */
RPD_API int rpd_conn_job(struct rpd_conn *conn, rpd_job_run_fn run, rpd_conn_done_fn done,
                         void *arg) RPD_MUST_CHECK;

/* [loop] Sends size bytes of a regular file, from offset on, behind what was written before and
 * ahead of what is written after. fd stays the caller's: done, which may be NULL, is when it may be
 * closed or used otherwise. (Its file offset is neither used nor moved.) What is written into that
 * part of the file meanwhile is, or is not, sent. EINVAL: not a regular file, or shorter
 * than that; EBADF: not open for reading; ECANCELED: the connection is closing; EAGAIN: 1,024 wait
 * for this client already; ENOMEM. */
RPD_API int rpd_conn_send_file(struct rpd_conn *conn, int fd, uint64_t offset, uint64_t size,
                               rpd_conn_done_fn done, void *arg) RPD_MUST_CHECK;

/* [worker] The next bytes of a body, in order, at most 1 MiB; they are gone when it returns. May
 * block. 0, or an errno, after which it is not called again. */
typedef int (*rpd_sink_fn)(void *arg, const void *data, size_t size);

/* [loop] The next size bytes of the input are a body: they go to sink, and on_data sees none of
 * them. Those that have come already, and were not consumed, are its first. size may be 0: done
 * follows. EBUSY: a body of this client is being received; ECANCELED: the connection is closing;
 * EAGAIN: the service stops; ENOMEM. */
RPD_API int rpd_conn_receive(struct rpd_conn *conn, uint64_t size, rpd_sink_fn sink,
                             rpd_conn_done_fn done, void *arg) RPD_MUST_CHECK;

/* [loop] Likewise, to a file from offset on; fd stays the caller's, as above. EINVAL: neither a
 * regular file nor a block device, or not open for writing, or for appending; EBADF. */
RPD_API int rpd_conn_receive_file(struct rpd_conn *conn, uint64_t size, int fd, uint64_t offset,
                                  rpd_conn_done_fn done, void *arg) RPD_MUST_CHECK;

/* [loop] How many bytes can be written until too much waits, and the client is not read until
 * on_writable; 0: that is so now. For an answer that is made as it is taken: write so much, and go
 * on in on_writable. */
RPD_API size_t rpd_conn_output_room(const struct rpd_conn *conn);

/* Who a client is, as the kernel says. */
struct rpd_peer {
    int64_t uid, gid, pid; /* when it connected to a unix socket; -1: it did not, or has left */
    char address[64];      /* "192.0.2.1:4711", "[2001:db8::1]:4711"; "" for a unix socket */
};

/* [loop] A process may pass its connection on, and its pid may be another's by now. */
RPD_API struct rpd_peer rpd_conn_peer(const struct rpd_conn *conn);

RPD_END
#endif
