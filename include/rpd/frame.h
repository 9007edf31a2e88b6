/* Frames, for protocols that say how long a message is before it comes. Beside
 * rpd_conn_read_line(), which is for those that end it with a newline:
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
 *                             body, as LSP and DAP have it
 *     RPD_FRAME_NETSTRING     "SIZE:", the body, ","                   2 to 21
 *
 * The size is that of the body alone. A body may be empty. Of headers, names are compared
 * without case, others than Content-Length are skipped, lines may end in "\n" alone, and a
 * second Content-Length is a mistake, like anything but digits in the first. A netstring's
 * size has no zero in front. A varint may have more bytes than it needs. */
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

/* [loop] Takes one whole frame from the input. 1: its body, which is valid until the callback
 * returns. 0: there is no whole frame yet, or rpd_conn_input() is empty: return from on_data,
 * which comes again. -1 and errno: this client's input cannot be read any further; nothing is
 * taken, so the next call says the same. Answer, if the protocol has an answer for that, and
 * rpd_conn_finish().
 *
 *     EBADMSG   what came begins no frame
 *     EMSGSIZE  its body is larger than max_size, or the frame than rpd_conn_input_limit():
 *               said as soon as its size has come, before the body is waited for
 *     EINVAL    no such framing (a mistake in the plugin)
 *
 * max_size: of a body, in bytes; 0: what rpd_conn_input_limit() leaves room for. A frame that
 * has begun is a request whose time runs (limits.request_s). One that the client's end has cut
 * off is no frame: rpd_conn_read_rest() gives what came of it. On another thread: -1, EPERM. */
RPD_API int rpd_conn_read_frame(struct rpd_conn *conn, enum rpd_framing framing, size_t max_size,
                                struct rpd_span *ret_body) RPD_MUST_CHECK;

/* [loop] Sends one frame with this body, as rpd_conn_write() sends bytes. 0, or -1: the connection
 * is closing, the framing cannot say that size (a U8 at most 255), or there is no such framing;
 * nothing is sent then. */
RPD_API int rpd_conn_write_frame(struct rpd_conn *conn, enum rpd_framing framing, const void *data,
                                 size_t size);

/* [any] The same without a connection, for files and for clients. Looks for a frame at the
 * beginning of the input and reads no byte beyond it. 1: its body, and the bytes of the
 * whole frame; 0: more has to come; -1 and errno, as above. max_size 0: no bound but that of
 * size_t. */
RPD_API int rpd_frame_find(enum rpd_framing framing, struct rpd_span input, size_t max_size,
                           struct rpd_span *ret_body, size_t *ret_frame_size) RPD_MUST_CHECK;

/* [any] What stands before a body of this size: its bytes, which are no more than
 * RPD_FRAME_HEAD_MAX; 0: the framing cannot say that size. (Behind a netstring's body there is a
 * ",".) */
RPD_API size_t rpd_frame_head(enum rpd_framing framing, size_t size,
                              char ret_head[RPD_FRAME_HEAD_MAX]) RPD_MUST_CHECK;

RPD_END
#endif
