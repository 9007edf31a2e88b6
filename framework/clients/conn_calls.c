/* The calls of a backend on a connection, except for input and output. See rpd/conn.h; conn.c has
 * what follows from each field. */
#include "clients/conn_inside.h"

#include "base/log.h"
#include "guard/loop_only.h"

void rpd_conn_finish(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    conn->finishing = true;
    if (conn->open)
        conn_settle_later(conn);
}

void rpd_conn_abort(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    if (!conn->open)
        return;
    conn->broken = true;
    if (!conn->in_callback)
        conn_close(conn, false);
}

void rpd_conn_pause(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    conn->paused |= CONN_PAUSED_BY_BACKEND;
    if (conn->open)
        conn_settle_later(conn);
}

void rpd_conn_resume(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    conn_end_pause(conn, CONN_PAUSED_BY_BACKEND);
}

void conn_end_pause(struct rpd_conn *conn, unsigned char by)
{
    if (!(conn->paused & by))
        return;
    conn->paused &= (unsigned char)~by;
    if (!conn->open || conn->paused)
        return;
    /* What came while it was paused has not been offered. */
    conn->wants_data |= conn->view_size > 0 || (conn->input_ended && !conn->end_offered);
    if (conn->group->loop->offered == conn)
        conn->group->loop->shown = false;
    conn_settle_later(conn);
}

void rpd_conn_keep(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    conn->keeps++;
}

void rpd_conn_release(struct rpd_conn *conn)
{
    if (loop_only_refuses())
        return;
    if (conn->keeps == 0) {
        log_line(RPD_LOG_ERROR, conn->group->owner.service,
                 "its backend releases a connection that it does not keep; that is ignored");
        return;
    }
    conn->keeps--;
    if (conn->open)
        conn_settle_later(conn);
    else
        conn_free_if_unused(conn);
}

bool rpd_conn_is_open(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->open && !conn->broken;
}

void rpd_conn_set_data(struct rpd_conn *conn, void *data)
{
    if (loop_only_refuses())
        return;
    conn->data = data;
}

void *rpd_conn_data(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->data;
}

struct rpd_service *rpd_conn_service(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->group->service;
}

const struct rpd_listener *rpd_conn_listener(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->listener;
}

int rpd_conn_fd(const struct rpd_conn *conn)
{
    loop_only_warns();
    return conn->fd;
}
