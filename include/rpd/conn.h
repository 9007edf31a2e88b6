/* Connections, for backends that only speak a protocol. rpd accepts, reads, writes and closes; the
 * backend sees bytes.
 *
 *     on_connect ──► on_data ⇄ on_writable ──► on_close
 *
 * All of it is [loop]. What a connection's own callback writes goes out in one system call when the
 * callback returns. From elsewhere (a job's done, another connection) each write is sent at once.
 *
 * Clients take turns. on_data has a slice of 0.05 to 0.25 ms. When the slice is used up,
 * rpd_conn_input() is empty and rpd_conn_read_line() false, however much has come, and on_data is
 * called again once the other clients have had their turn. A backend that calls these two until
 * they return nothing more needs nothing else. A backend that works on one request for a long time
 * checks rpd_conn_slice_is_over() meanwhile, and may call rpd_conn_yield().
 *
 * Nothing here is unbounded. rpd stops reading from a client that does not read its answers: from
 * 256 KiB of waiting output on, rpd_conn_input() is empty, and on_data is called again once the
 * output is below 64 KiB. These bounds are at most half and an eighth of limits.output_bytes. rpd
 * closes a connection, with on_close as usual, when it passes one of the service's limits:
 *
 *     services[].limits.   by default  bounds
 *     output_bytes         16 MiB      the output that waits for the client
 *     write_stall_s        60 s        how long the client takes none of it, or, after the first
 *                                      10 s, less than progress_bytes_per_s requires
 *     input_bytes          64 MiB      the input that on_data has not consumed
 *     request_s            10 s        from when on_data leaves input unconsumed until it
 *                                      consumes some, or as much more has come as
 *                                      progress_bytes_per_s requires
 *     progress_bytes_per_s 1 KiB/s     what counts as progress for these two
 *     first_byte_s         off         from on_connect until the client sends anything
 *     idle_s               off         from the last bytes, in or out, to the next request
 *     keepalive_s          60 s        TCP: from a client's last sign of life until the kernel
 *                                      asks for another; without an answer it counts as gone
 *     buffer_bytes         256 MiB     the memory of all such input and output of the
 *                                      service's clients together
 *     buffer_bytes_per_peer  off       likewise of one user (unix) or one address (tcp)
 *
 * The last two limits are sums. In the last eighth before the bound, a client that holds more than
 * its share (the bound, divided by the number of clients that hold anything) is not read, and is
 * closed if that lasts for request_s. If the bound is passed, the client that holds most is closed:
 * of those within a factor of two, the one that has held so much for longest. A buffer's memory is
 * a power of two. What a backend keeps for itself does not count in the sums.
 *
 * first_byte_s, request_s and idle_s count only while rpd waits for the client: not while the
 * connection is paused or kept, while output waits, or while rpd drains.
 *
 *     pause       is not counted: one resume ends any number of pauses
 *     keep        is counted: as many releases
 *     resume      does not call on_data: it comes in a later turn, if input is left
 *     on_writable comes after rpd_conn_input() was empty because much output waited
 *     order       write, then resume, then release
 *     exceptions  must not leave a callback
 *
 * Files, bodies and answers by jobs are in rpd/body.h. */
#ifndef RPD_CONN_H
#define RPD_CONN_H

#include <rpd/base.h>

RPD_BEGIN

/* One client. rpd owns it: it is valid until on_close returns, or until the
 * last rpd_conn_release() if that is later. */
struct rpd_conn;
struct rpd_listener; /* see service.h */

/* [loop] The input that has come and has not been consumed. Valid until the callback returns. It is
 * empty while too much output waits, and when on_data has consumed some input and its slice is used
 * up: on_data is then called again. */
RPD_API struct rpd_span rpd_conn_input(const struct rpd_conn *conn);

/* [loop] Drops the first bytes of the input. rpd keeps the rest, and the next on_data sees it
 * again, with what follows. */
RPD_API void rpd_conn_consume(struct rpd_conn *conn, size_t bytes);

/* [loop] limits.input_bytes: a request with more bytes is never seen whole. */
RPD_API size_t rpd_conn_input_limit(const struct rpd_conn *conn);

/* [loop] Takes one line from the input, without its "\n" or "\r\n". False if there is no whole line
 * yet, or if rpd_conn_input() is empty. An incomplete line at the end of the input is not a line:
 * see rpd_conn_read_rest(). The line is valid until the callback returns. */
RPD_API bool rpd_conn_read_line(struct rpd_conn *conn, struct rpd_span *ret_line);

/* [loop] Takes what is left of the input when the input has ended without a newline. False if
 * nothing is left, or if more may come. The client may have wanted to send more: "remove foo" may
 * be the beginning of "remove foobar". Valid until the callback returns. */
RPD_API bool rpd_conn_read_rest(struct rpd_conn *conn, struct rpd_span *ret_rest);

/* [loop] In on_data: whether its slice is used up. If so, return soon: on_data is called again in a
 * later turn, with the input that is left. False anywhere else. */
RPD_API bool rpd_conn_slice_is_over(struct rpd_conn *conn);

/* [loop] Lets other clients go first: on_data is called in a later turn, with the input that is
 * left, whether or not more has come. Call this in on_data to continue with unconsumed input later,
 * or from elsewhere to begin. While the connection is paused, that turn waits. rpd reads nothing
 * more from the client meanwhile, so do not use this to wait for more. */
RPD_API void rpd_conn_yield(struct rpd_conn *conn);

/* [loop] Stops reading from this client, and does not call on_data for it, until resume: for
 * answers that must come in order while a job works on one. The on_data that follows the resume
 * sees the input that has already come. While rpd does not read from a client, it notices that the
 * client has left only when something is written to it. */
RPD_API void rpd_conn_pause(struct rpd_conn *conn);
RPD_API void rpd_conn_resume(struct rpd_conn *conn);

/* [loop] Whether the client has ended its input (it may still read), and rpd_conn_input() shows all
 * that is left of it. rpd calls on_data once more for it, then closes the connection when all
 * output is sent and the connection is not kept. */
RPD_API bool rpd_conn_input_ended(const struct rpd_conn *conn);

/* [loop] Sends bytes; they are copied if they cannot be sent at once. 0, or -1
 * if the connection is closing: then no client is left to answer. */
RPD_API int rpd_conn_write(struct rpd_conn *conn, const void *data, size_t size);
RPD_API int rpd_conn_printf(struct rpd_conn *conn, const char *format, ...) RPD_PRINTF(2, 3);

/* [loop] The number of bytes that are written and that the kernel has not taken yet. */
RPD_API size_t rpd_conn_output_size(const struct rpd_conn *conn);

/* [loop] Closes the connection when all output is sent; rpd no longer looks at input. */
RPD_API void rpd_conn_finish(struct rpd_conn *conn);

/* [loop] Closes the connection now. on_close runs before this call returns or, if it comes from
 * within one of this connection's callbacks, as soon as the callback returns. */
RPD_API void rpd_conn_abort(struct rpd_conn *conn);

/* [loop] Keeps the connection while a job or another connection still owes an answer: the client's
 * end of input does not close the connection, and a stop waits for the answer until the drain
 * deadline. The struct stays valid until the matching release, even if the client leaves;
 * rpd_conn_is_open() says whether it has left. */
RPD_API void rpd_conn_keep(struct rpd_conn *conn);
RPD_API void rpd_conn_release(struct rpd_conn *conn);
RPD_API bool rpd_conn_is_open(const struct rpd_conn *conn);

/* [loop] A pointer of the backend's; free what it points to in on_close. */
RPD_API void rpd_conn_set_data(struct rpd_conn *conn, void *data);
RPD_API void *rpd_conn_data(const struct rpd_conn *conn);

RPD_API struct rpd_service *rpd_conn_service(const struct rpd_conn *conn);

/* [loop] The listener that the client has connected to, for a service that speaks one protocol at
 * one endpoint and another at the next: see rpd_listener_text(). */
RPD_API const struct rpd_listener *rpd_conn_listener(const struct rpd_conn *conn);

/* [loop] For getpeername() and getsockopt(). Never read, write or close it. */
RPD_API int rpd_conn_fd(const struct rpd_conn *conn);

RPD_END
#endif
