/* Connections as they are seen from outside: `rpdctl clients`. See conn.h. */
#include "clients/conn.h"
#include "clients/conn_owed.h"

#include <rpd/conn.h>

void conn_group_visit(const struct conn_group *group,
                      void (*visit)(void *arg, int fd, const struct rpd_conn *conn), void *arg)
{
    const struct rpd_conn *conn;

    TAILQ_FOREACH(conn, &group->conns, link)
        visit(arg, conn->fd, conn);
}

/* The first that is true, as the table in conn.c has it. */
static const char *waits_for(const struct rpd_conn *conn)
{
    const struct {
        bool is_true;
        const char *words;
    } reasons[] = {
        {conn_has_output(conn), "the client, to read its answer"},
        {conn->finishing, "its end"},
        {conn->starved, "memory (limits.buffer_bytes)"},
        {conn->owed && conn->owed->body.is_owed, "the rest of a body"},
        {conn->owed && !TAILQ_EMPTY(&conn->owed->jobs), "its job"},
        {conn->paused & CONN_PAUSED_BY_BACKEND, "the backend, which has paused it"},
        {conn->keeps > 0, "the backend, which works for it"},
        {conn->wants_data, "its turn"},
        {conn->in.size > 0, "the rest of a request"},
        {!conn->has_sent, "its first byte"},
    };

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].is_true)
            return reasons[i].words;
    return "a request";
}

void conn_look(const struct rpd_conn *conn, struct conn_view *ret)
{
    *ret = (struct conn_view){
        .received = conn->received,
        .sent = conn->sent,
        .input = conn->in.size,
        .output = conn->out.size,
        .is_closing = conn->finishing,
        .waits_for = waits_for(conn),
    };
}

bool conn_group_end(struct conn_group *group, int fd)
{
    struct rpd_conn *conn;

    TAILQ_FOREACH(conn, &group->conns, link) {
        if (conn->fd != fd)
            continue;
        rpd_conn_abort(conn);
        return true;
    }
    return false;
}
