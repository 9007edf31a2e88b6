/* The data path's bounds on memory: the two sums that count what a connection holds, and what
 * follows from them. See conn_inside.h and conn_memory.h.
 *
 * Buffers double, but near a bound they grow little by little: the range between "near" and the
 * bound is an eighth of the bound, and a buffer that doubles would jump over it.
 *
 * A buffer that grows or shrinks is accounted for at once, before anything else can grow. When a
 * sum passes its bound, the connection that holds most is cut: its output is freed now, and its
 * input in its next turn if a callback may be looking at it; both leave the sums at once. Near a
 * bound, connections with more than their share are not read; they wait in group->starved, and
 * whenever a sum falls, all of them are looked at again. A client that will send no more is read
 * nevertheless: it would hold what it has for nothing. */
#include "clients/conn_inside.h"

#include <string.h>

enum { WOKEN_AT_ONCE = 16 }; /* each one that has been looked at wakes the next */

static struct conn_memory *peer_memory_of(const struct rpd_conn *conn)
{
    return conn->peer ? peer_memory(conn->peer) : NULL;
}

/* ---- how buffers grow -------------------------------------------------------------- */

char *conn_reserve(struct rpd_conn *conn, struct buffer *buffer, size_t bytes)
{
    const size_t growth = buffer_growth(buffer, bytes);
    const struct conn_memory *of_peer = peer_memory_of(conn);

    if (growth > 0 && (growth > conn_memory_left(&conn->group->memory) ||
                       (of_peer && growth > conn_memory_left(of_peer))))
        return buffer_reserve_little(buffer, bytes);
    return buffer_reserve(buffer, bytes);
}

int conn_append(struct rpd_conn *conn, struct buffer *buffer, const void *data, size_t size)
{
    char *end = conn_reserve(conn, buffer, size);

    if (!end)
        return -1;
    memcpy(end, data, size);
    buffer_added(buffer, size);
    return 0;
}

/* ---- clients that are not read ------------------------------------------------------------- */

static void wake_some(struct conn_group *group, size_t most)
{
    struct rpd_conn *conn;

    for (size_t i = 0; i < most && group->unwoken > 0; i++) {
        conn = TAILQ_FIRST(&group->starved);
        TAILQ_REMOVE(&group->starved, conn, starved_link);
        TAILQ_INSERT_TAIL(&group->starved, conn, starved_link);
        group->unwoken--;
        conn_settle_later(conn);
    }
}

/* Each must be looked at to find out which of them may be read again. */
static void wake_starved(struct conn_group *group)
{
    group->unwoken = group->starved_count;
    wake_some(group, WOKEN_AT_ONCE);
}

/* The only place where a sum changes: a client that waits for memory must not miss the change. */
static void set_shares(struct rpd_conn *conn, size_t held)
{
    const bool falls = held < conn->share.held;
    struct conn_memory *of_peer = peer_memory_of(conn);

    conn_memory_set(&conn->group->memory, &conn->share, held);
    if (of_peer)
        conn_memory_set(of_peer, &conn->peer_share, held);
    if (falls)
        wake_starved(conn->group);
}

static void starve(struct rpd_conn *conn)
{
    conn->starved = true;
    conn->group->starved_count++;
    TAILQ_INSERT_TAIL(&conn->group->starved, conn, starved_link);
}

static void feed(struct rpd_conn *conn)
{
    struct conn_group *group = conn->group;

    if (!conn->starved)
        return;
    conn->starved = false;
    TAILQ_REMOVE(&group->starved, conn, starved_link);
    group->starved_count--;
    if (group->unwoken > group->starved_count)
        group->unwoken = group->starved_count;
}

static bool is_starved(const struct rpd_conn *conn, enum conn_limit *ret_limit)
{
    const struct conn_memory *of_peer = peer_memory_of(conn);

    *ret_limit = CONN_LIMIT_BUFFERS;
    if (conn_memory_is_short_for(&conn->group->memory, &conn->share))
        return true;
    *ret_limit = CONN_LIMIT_PEER_BUFFERS;
    return of_peer && conn_memory_is_short_for(of_peer, &conn->peer_share);
}

void conn_look_at_share(struct rpd_conn *conn)
{
    enum conn_limit limit;
    const bool starved = !conn->broken && !conn->sends_no_more && is_starved(conn, &limit);

    if (starved && !conn->starved)
        starve(conn);
    else if (!starved)
        feed(conn);
    wake_some(conn->group, 1);
}

bool conn_cut_if_starved(struct rpd_conn *conn)
{
    enum conn_limit limit;

    if (!is_starved(conn, &limit)) {
        conn_settle_later(conn);
        return false;
    }
    conn_cut(conn, limit);
    return true;
}

static void free_input(struct rpd_conn *conn)
{
    buffer_finish(&conn->in);
    conn->view = NULL;
    conn->view_size = 0;
}

/* ---- sums ---------------------------------------------------------------------------- */

/* grower: whose buffer has grown. */
static void cut_for_memory(struct rpd_conn *conn, const struct rpd_conn *grower,
                           enum conn_limit limit)
{
    conn_cut(conn, limit);
    set_shares(conn, 0);
    buffer_finish(&conn->out);
    if (conn != grower && !conn->group->loop->corked)
        free_input(conn);
    conn_settle_later(conn);
}

static void keep_to_bounds(struct rpd_conn *conn)
{
    struct conn_memory *of_peer = peer_memory_of(conn);
    struct conn_share *share;

    while (of_peer && conn_memory_is_full(of_peer) && (share = conn_memory_largest(of_peer)))
        cut_for_memory(conn_of_peer_share(share), conn, CONN_LIMIT_PEER_BUFFERS);
    while (conn_memory_is_full(&conn->group->memory) &&
           (share = conn_memory_largest(&conn->group->memory)))
        cut_for_memory(conn_of_share(share), conn, CONN_LIMIT_BUFFERS);
}

void conn_account_changed(struct rpd_conn *conn)
{
    const size_t held = conn->broken || !conn->open ? 0 : conn_memory_of(conn);
    const bool grows = held > conn->share.held;

    set_shares(conn, held);
    if (grows)
        keep_to_bounds(conn);
}

/* What a worker is busy with stays until that is over, but leaves the sums now: to close the
 * connection again would free nothing. */
void conn_free_buffers(struct rpd_conn *conn)
{
    feed(conn);
    free_input(conn);
    buffer_finish(&conn->out);
    conn_account_changed(conn);
    conn->peer = NULL; /* the place has it, and is about to be given up */
}
