/* Frames, for protocols that send the size of a message ahead of it. rpd_conn_read_line() is for
 * protocols that end a message with a newline. An example:
 *
 *     static void on_data(struct rpd_conn *conn, void *state)
 *     {
 *         struct rpd_span body;
 *         int got;
 *
 *         while ((got = rpd_conn_read_frame(conn, RPD_FRAME_U32_BE, 1 << 20, &body)) > 0)
 *             answer(conn, body);
 *         if (got < 0)
 *             rpd_conn_finish(conn);
 *     }
 *
 *     framing                 a frame is                               bytes before the body
 *     ----------------------  ---------------------------------------  ---------------------
 *     RPD_FRAME_U8            a byte with the size, the body           1
 *     RPD_FRAME_U16_BE ... U64_LE
 *                             2, 4 or 8 bytes with the size, the most  2, 4, 8
 *                             significant first (BE) or last (LE)
 *     RPD_FRAME_VARINT        7 bits of the size a byte, the least     1 to 10
 *                             significant first, bit 7 set in all
 *                             bytes but the last (Protocol Buffers)
 *     RPD_FRAME_HEADERS       "Content-Length: SIZE\r\n\r\n", the      4096 at most
 *                             body, as in LSP and DAP
 *     RPD_FRAME_NETSTRING     "SIZE:", the body, ","                   2 to 21
 *
 * The size is that of the body alone. A body may be empty. The names of headers are compared
 * without regard to case, headers other than Content-Length are skipped, and lines may end in "\n"
 * alone. A second Content-Length is an error, and so is anything but digits in the first. A
 * netstring's size has no leading zero. A varint may have more bytes than it needs. */
#ifndef RPD_FRAME_H
#define RPD_FRAME_H

#include <rpd/conn.h>

RPD_BEGIN

enum rpd_framing {
    RPD_FRAME_U8 = 1,
    RPD_FRAME_U16_BE,
    RPD_FRAME_U16_LE,
    RPD_FRAME_U32_BE,
    RPD_FRAME_U32_LE,
    RPD_FRAME_U64_BE,
    RPD_FRAME_U64_LE,
    RPD_FRAME_VARINT,
    RPD_FRAME_HEADERS,
    RPD_FRAME_NETSTRING
};

enum { RPD_FRAME_HEADERS_MAX = 4096, RPD_FRAME_HEAD_MAX = 64 };

/* [loop] Takes one whole frame from the input. 1: *ret_body is its body, which is valid until the
 * callback returns. 0: there is no whole frame yet, or rpd_conn_input() is empty: return from
 * on_data, which is called again. -1 and errno: this client's input cannot be read any further;
 * nothing is taken, so the next call returns the same. Answer, if the protocol has an answer for
 * that, and call rpd_conn_finish().
 *
 *     EBADMSG   the input does not begin with a frame
 *     EMSGSIZE  the body is larger than max_size, or the frame than rpd_conn_input_limit(): the
 *               call reports this as soon as the size has come, and does not wait for the body
 *     EINVAL    no such framing (a mistake in the plugin)
 *
 * max_size is the largest size of a body, in bytes; 0: as much as rpd_conn_input_limit() allows.
 * An incomplete frame counts as an unfinished request (limits.request_s). If the client ends its
 * input in the middle of a frame, rpd_conn_read_rest() returns what has arrived of it. On another
 * thread the call returns -1, EPERM. */
RPD_API int rpd_conn_read_frame(struct rpd_conn *conn, enum rpd_framing framing, size_t max_size,
                                struct rpd_span *ret_body) RPD_MUST_CHECK;

/* [loop] Sends one frame with this body, as rpd_conn_write() sends bytes. Returns 0; or -1, and
 * nothing is sent, if the connection is closing, the framing cannot express that size
 * (RPD_FRAME_U8: at most 255), or there is no such framing. */
RPD_API int rpd_conn_write_frame(struct rpd_conn *conn, enum rpd_framing framing, const void *data,
                                 size_t size);

/* [any] Finds a frame without a connection, for files and for clients. Looks for the frame at the
 * beginning of the input and reads no byte beyond it. 1: its body, and the size of the whole frame
 * in bytes; 0: more input has to come; -1 and errno, as above. If max_size is 0, the only bound is
 * that of size_t. */
RPD_API int rpd_frame_find(enum rpd_framing framing, struct rpd_span input, size_t max_size,
                           struct rpd_span *ret_body, size_t *ret_frame_size) RPD_MUST_CHECK;

/* [any] Writes the bytes that precede a body of this size to ret_head. Returns their number, at
 * most RPD_FRAME_HEAD_MAX; 0: the framing cannot express that size. A "," follows the body of a
 * netstring. */
RPD_API size_t rpd_frame_head(enum rpd_framing framing, size_t size,
                              char ret_head[RPD_FRAME_HEAD_MAX]) RPD_MUST_CHECK;

RPD_END
#endif
