/* Bodies, and answers by jobs: what a service owes its client, or a client its service, across many
 * turns of the loop.
 *
 *     rpd_conn_job           a worker makes the answer                 run [worker], done [loop]
 *     rpd_conn_send_file     part of a file, between what is written   done [loop]
 *     rpd_conn_receive       the next bytes of input, to a function    sink [worker], done [loop]
 *     rpd_conn_receive_file  likewise, to a descriptor                 done [loop]
 *
 * Each call returns 0, or -1 and errno. After -1 nothing was begun, done is not called, and the
 * backend can still answer the client. After 0 done is called exactly once:
 *
 *                             done is called with       and then
 *     ----------------------  ------------------------  ---------------------------------------
 *     all went well           conn, 0                   on_data continues after the body
 *     sink or disk failed     conn, its errno           answer; the connection is closed after it
 *     the body ended early    conn, ENODATA             likewise: less came than was announced
 *     a file could not be     NULL, its errno;          the connection is closed: its client has
 *       sent                  ENODATA: it has shrunk    been promised more
 *     the client has left,    NULL, ECANCELED           -
 *       or was closed
 *
 * If conn is NULL, on_close has been called before, so arg must hold everything that done needs.
 * The loop calls done in one of its turns, or in the turn that closes the connection; never within
 * the call that began the work. Calls of done come in the order of the calls that began the work.
 * What done writes goes out in one system call.
 *
 *     pause      is not counted: one resume ends any number of pauses. The calls of this header
 *                pause on their own, apart from the backend's pauses.
 *     resume     does not call on_data itself: if input is left, on_data comes in a later turn,
 *                even if nothing new has come.
 *     order      write, resume, release. rpd_conn_job() does the last two after done.
 *     threads    conn and the state belong to the loop. run and sink get only arg: it belongs to
 *                them while they run, and to the loop before and after.
 *     exceptions must not leave any of these functions.
 *
 * A request that is refused may have a body behind it: answer and call rpd_conn_finish(), or
 * receive the body with a sink that drops it. To open, rename or remove a file may wait for a disk,
 * too: if that matters, let a job do it.
 *
 * Back-pressure is built in. A file that waits to be sent counts as waiting output: from 256 KiB
 * on, rpd does not read from its client. rpd reads a body as fast as its sink takes it, at most 2
 * MiB ahead; where a service receives more than 16 bodies, all of them at most 32 MiB ahead, but
 * 128 KiB each. Other clients have their turn after each MiB. The loop sends what the kernel has of
 * a file in memory, and a client that stalls then costs no memory but that of buffers in the
 * kernel. The rest of a file is read by a worker, 256 KiB at a time. These 256 KiB, like the 2 MiB
 * of a body, count in limits.buffer_bytes.
 *
 * The loop does not wait for a disk to send a file, with one exception: the kernel evicts a page in
 * the moment between the loop's look and the sending. If the loop then waits for a millisecond or
 * longer, workers read all files of the service for a minute: so that happens at most once a
 * minute.
 *
 * While a body is owed, services[].limits apply as follows. The client must send
 * progress_bytes_per_s, as for a request (request_s), except while rpd waits for the sink. The
 * client must take its output at the same rate, except while rpd waits for the disk. A stop lets
 * all of this finish, until drain_s has passed. */
#ifndef RPD_BODY_H
#define RPD_BODY_H

#include <rpd/conn.h>
#include <rpd/job.h>

RPD_BEGIN

/* [loop] conn: NULL if no client is there to answer. error: 0, or an errno. */
typedef void (*rpd_conn_done_fn)(struct rpd_conn *conn, void *arg, int error);

/* [loop] Answers by a job. Until done has been called, rpd reads nothing more from the client and
 * keeps the connection. done gets error 0, or ECANCELED if the client has left, or if run gave up
 * or never ran. A client that leaves cancels the job, so use rpd_job_submit() for work that must be
 * done whether or not the client waits. A client that closes its side of a TCP connection may still
 * read, and has not left. Several jobs of one client run one after the other. EAGAIN: 10,000 jobs
 * wait already; ECANCELED: the connection is closing; ENOMEM. */
RPD_API int rpd_conn_job(struct rpd_conn *conn, rpd_job_run_fn run, rpd_conn_done_fn done,
                         void *arg) RPD_MUST_CHECK;

/* [loop] Sends size bytes of a regular file, from offset on, after what was written before this
 * call and ahead of what is written later. fd stays the caller's: the caller may close it or use it
 * otherwise when done is called. done may be NULL. The call neither uses nor moves the file offset
 * of fd. Whatever is written into that part of the file meanwhile may or may not be sent. EINVAL:
 * fd is not a regular file, or the file is shorter than that; EBADF: fd is not open for reading;
 * ECANCELED: the connection is closing; EAGAIN: 1,024 files wait for this client already;
 * ENOMEM. */
RPD_API int rpd_conn_send_file(struct rpd_conn *conn, int fd, uint64_t offset, uint64_t size,
                               rpd_conn_done_fn done, void *arg) RPD_MUST_CHECK;

/* [worker] Takes the next bytes of a body, in order, at most 1 MiB; they are gone when the sink
 * returns. The sink may block. It returns 0, or an errno, after which it is not called again. */
typedef int (*rpd_sink_fn)(void *arg, const void *data, size_t size);

/* [loop] The next size bytes of the input are a body: they go to sink, and on_data sees none of
 * them. The body begins with the input that has arrived and is not consumed. size may be 0; done is
 * called then, too. EBUSY: a body of this client is being received; ECANCELED: the connection is
 * closing; EAGAIN: the service is stopping; ENOMEM. */
RPD_API int rpd_conn_receive(struct rpd_conn *conn, uint64_t size, rpd_sink_fn sink,
                             rpd_conn_done_fn done, void *arg) RPD_MUST_CHECK;

/* [loop] Likewise, but the body goes to a file, from offset on; fd stays the caller's, as above.
 * EINVAL: fd is neither a regular file nor a block device, is not open for writing, or is open for
 * appending; EBADF. */
RPD_API int rpd_conn_receive_file(struct rpd_conn *conn, uint64_t size, int fd, uint64_t offset,
                                  rpd_conn_done_fn done, void *arg) RPD_MUST_CHECK;

/* [loop] Returns how many bytes the backend can write before too much output waits; from then on
 * rpd does not read from the client until on_writable. 0: too much output waits now. For an answer
 * that is generated as the client reads it: write that many bytes, and continue in on_writable. */
RPD_API size_t rpd_conn_output_room(const struct rpd_conn *conn);

/* The identity of a client, as the kernel reports it. */
struct rpd_peer {
    int64_t uid, gid, pid; /* when it connected to a unix socket; -1: it did not, or has left */
    char address[64];      /* "192.0.2.1:4711", "[2001:db8::1]:4711"; "" for a unix socket */
};

/* [loop] A process may pass its connection on, and its pid may belong to another process by now. */
RPD_API struct rpd_peer rpd_conn_peer(const struct rpd_conn *conn);

RPD_END
#endif
