/* What files, bodies and jobs have in common. See conn_owed.h. */
#include "clients/conn_owed.h"
#include "guard/loop_only.h"
#include "publish/callback.h"

#include <errno.h>
#include <stdlib.h>

struct conn_owed *conn_owe(struct rpd_conn *conn)
{
    struct conn_owed *owed = conn->owed;

    if (!conn->open || conn->broken || conn->finishing) {
        errno = ECANCELED;
        return NULL;
    }
    if (owed)
        return owed;
    owed = calloc(1, sizeof *owed);
    if (!owed) {
        errno = ENOMEM;
        return NULL;
    }
    owed->conn = conn;
    TAILQ_INIT(&owed->dues);
    TAILQ_INIT(&owed->files);
    conn_jobs_init(owed);
    conn->owed = owed;
    return owed;
}

void conn_list_due(struct conn_owed *owed, struct conn_due *due, int error)
{
    due->error = error;
    TAILQ_INSERT_TAIL(&owed->dues, due, link);
    owed->due_count++;
}

void conn_owed_pause(struct conn_owed *owed)
{
    owed->pauses++;
    owed->conn->paused |= CONN_PAUSED_FOR_OWED;
}

void conn_owed_unpause(struct conn_owed *owed)
{
    if (--owed->pauses == 0)
        conn_end_pause(owed->conn, CONN_PAUSED_FOR_OWED);
}

void conn_owed_end_work(struct rpd_conn *conn)
{
    conn->works--;
    if (conn->open)
        conn_settle_later(conn);
    else
        conn_free_if_unused(conn);
}

void conn_call_done(struct rpd_conn *conn, rpd_conn_done_fn done, void *arg, int error)
{
    const bool is_there = conn->open && !conn->broken;
    struct callback call;
    bool corks;

    if (!done)
        return;
    corks = conn_begin_call(conn);
    call = callback_enter(conn->group->metrics, METRIC_DONE, conn->group->owner,
                          (foreign_code)done);
    done(is_there ? conn : NULL, arg, is_there || error ? error : ECANCELED);
    callback_leave(&call);
    conn_end_call(conn, corks);
}

/* ---- in its turn ----------------------------------------------------------------- */

static void call_due(struct conn_owed *owed)
{
    struct conn_due *due = TAILQ_FIRST(&owed->dues);
    const bool is_body = due == &owed->body.due;
    const int error = due->error;

    TAILQ_REMOVE(&owed->dues, due, link);
    owed->due_count--;
    if (is_body)
        owed->body.is_due = false;
    conn_call_done(owed->conn, due->done, due->arg, error);
    if (is_body)
        conn_end_body(owed, error);
    else
        conn_free_file(due);
}

static bool has_body_input(const struct rpd_conn *conn)
{
    return (conn->may_have_input || conn->view_size > 0) && conn_takes_body(conn);
}

void conn_serve_owed(struct rpd_conn *conn)
{
    struct conn_owed *owed = conn->owed;

    if (has_body_input(conn))
        conn_take_body(conn);
    /* Calls each done once: what a done begins may be due at once, and other connections want their
     * turn. */
    for (size_t count = owed->due_count; count > 0 && !conn->broken; count--)
        call_due(owed);
}

bool conn_owed_has_work(const struct rpd_conn *conn)
{
    return conn->owed->due_count > 0 || has_body_input(conn);
}

/* ---- the end ------------------------------------------------------------------------ */

void conn_end_owed(struct rpd_conn *conn)
{
    struct conn_owed *owed = conn->owed;

    conn->works++; /* until this is over */
    conn_drop_jobs(owed);
    conn_drop_body(owed);
    conn_drop_files(owed);
    while (owed->due_count > 0)
        call_due(owed);
    conn->works--;
}

void conn_unwatch_owed(struct rpd_conn *conn)
{
    event_del(&conn->owed->hang_up);
}

bool conn_has_dues(const struct rpd_conn *conn)
{
    return conn->owed->due_count > 0;
}

size_t conn_owed_memory(const struct rpd_conn *conn)
{
    const struct conn_owed *owed = conn->owed;

    return owed->body.filled.room + owed->body.sunk.room + owed->piece.size;
}

void conn_free_owed(struct rpd_conn *conn)
{
    free(conn->owed);
    conn->owed = NULL;
}

size_t rpd_conn_output_room(const struct rpd_conn *conn)
{
    size_t waits;

    if (loop_only_refuses() || !conn->open || conn->broken || conn->finishing || conn->choked)
        return 0;
    waits = rpd_conn_output_size(conn);
    return waits < conn->group->output_high ? conn->group->output_high - waits : 0;
}
