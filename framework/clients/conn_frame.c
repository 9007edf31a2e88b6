/* The data path's frames: rpd_conn_read_line() and rpd_conn_write() for those who count
 * instead of looking for newlines. See conn_inside.h, and frame.c for where a frame ends. */
#include "clients/conn_inside.h"
#include "clients/frame.h"
#include "guard/loop_only.h"

#include <errno.h>

int rpd_conn_read_frame(struct rpd_conn *conn, enum rpd_framing framing, size_t max_size,
                        struct rpd_span *ret_body)
{
    if (loop_only_refuses()) {
        errno = EPERM;
        return -1;
    }
    const struct rpd_span input = rpd_conn_input(conn);
    const struct frame_bounds bounds = {max_size > 0 ? max_size : SIZE_MAX,
                                        rpd_conn_input_limit(conn)};
    size_t size;
    const int found = frame_find(framing, input, &bounds, ret_body, &size);

    if (found > 0)
        rpd_conn_consume(conn, size);
    return found;
}

/* The pieces go out together, also from outside the connection's callbacks. */
int rpd_conn_write_frame(struct rpd_conn *conn, enum rpd_framing framing, const void *data,
                         size_t size)
{
    if (loop_only_refuses())
        return -1;
    char head[RPD_FRAME_HEAD_MAX];
    const size_t head_size = rpd_frame_head(framing, size, head);
    const bool is_corked = head_size > 0 && conn_cork(conn);
    int result = head_size > 0 ? rpd_conn_write(conn, head, head_size) : -1;

    if (result == 0)
        result = rpd_conn_write(conn, data, size);
    if (result == 0 && framing == RPD_FRAME_NETSTRING)
        result = rpd_conn_write(conn, ",", 1);
    if (is_corked)
        conn_uncork(conn);
    return conn->broken ? -1 : result;
}
