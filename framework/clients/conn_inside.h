/* A connection from inside: what the parts of the data path share. conn.c has the table of what
 * settle() does for each field. */
#ifndef FRAMEWORK_CONN_INSIDE_H
#define FRAMEWORK_CONN_INSIDE_H

#include "base/buffer.h"
#include "clients/conn_group.h"
#include "clients/peers.h"
#include "guard/foreign.h"
#include "library/libevent.h"
#include "publish/metrics_page.h"

#include <stddef.h>
#include <stdint.h>

struct conn_owed;

enum {
    CONN_BLOCK = 64 * 1024,
    CONN_PAUSED_BY_BACKEND = 1, /* paused: by whom */
    CONN_PAUSED_FOR_OWED = 2,
    UNTAKEN_MAX = 2 /* then on_data needs more, and not the same again */
};

/* How fast the client takes output that waits. */
struct conn_pace {
    uint64_t waits_since_ms;
    uint64_t window_ms; /* when the time in which it is measured began */
    size_t taken;       /* in it */
    bool excused;       /* too slow in the last one, but perhaps because the loop was late */
};

struct rpd_conn {
    struct conn_clock clock; /* first: conn_clock.c knows only this */
    struct conn_turn turn;
    struct conn_group *group;
    const struct rpd_listener *listener; /* that it came from */
    int fd;
    unsigned keeps;         /* the backend's */
    unsigned works;         /* what is under way for it: jobs, a body, a file that is made ready */
    struct conn_owed *owed; /* NULL: it was never owed anything (conn_owed.h) */
    bool open;              /* on_close has not been called */
    bool in_callback;
    bool refused;     /* only the busy answer is for it */
    bool end_offered; /* on_data has seen the end of input */
    union {
        struct {
            bool broken;          /* close at the next settle() */
            bool finishing;       /* close when the output is sent */
            bool choked;          /* too much output waits */
            unsigned char paused; /* by whom: bits of CONN_PAUSED_... */
        };
        uint32_t takes_none; /* any of them: each step of a request checks this */
    };
    bool input_ended;
    bool wants_data;    /* on_data is due: there is something that it has not been offered */
    bool yields;        /* it is due even without input, and after the others */
    bool has_sent;      /* something has come */
    bool progressed;    /* something happened that starts its clock anew */
    bool starved;       /* not read: memory is short, and it holds more than its share */
    bool sends_no_more; /* seen while it was starved: what is left to read is in the kernel */
    /* What libevent has reported since it was looked at: */
    bool may_have_input, may_have_room, has_stalled;
    unsigned char reports; /* that there is input */
    unsigned char untaken; /* so often in a row on_data took none of the same input */
    struct buffer in, out;
    struct conn_share share; /* of the group's memory */
    /* The input that a callback sees: the loop's block, or what in holds. */
    const char *view;
    size_t view_size;
    size_t scanned;          /* bytes of the view known to hold no newline */
    uint64_t received, sent; /* bytes, so far */
    size_t clocked_size;     /* size of in when its clock was started */
    void *data;
    TAILQ_ENTRY(rpd_conn) link, starved_link;
    struct conn_pace pace;
    struct peer *peer; /* NULL: its peer's memory is not bounded */
    struct conn_share peer_share;
    struct event read_event, write_event;
};
_Static_assert(offsetof(struct rpd_conn, clock) == 0, "the one is found by a pointer to the other");

typedef void (*conn_callback)(struct rpd_conn *conn, void *state);

/* ---- conn.c ---------------------------------------------------------------- */

/* For calls from outside the connection's own callbacks: the connection's next turn does what must
 * be done. The caller does not expect on_close now. */
void conn_settle_later(struct rpd_conn *conn);

/* Counts bytes that were read from the client, and bytes that were sent to it. */
static inline void conn_count_received(struct rpd_conn *conn, size_t size)
{
    conn->group->received += size;
    conn->received += size;
}

static inline void conn_count_sent(struct rpd_conn *conn, size_t size)
{
    conn->group->sent += size;
    conn->sent += size;
}

/* The client has exceeded a limit: the next settle() closes the connection. */
void conn_cut(struct rpd_conn *conn, enum conn_limit limit);

/* callback NULL: the backend has none. */
void conn_call(struct rpd_conn *conn, enum metric_callback kind, conn_callback callback);
void conn_call_on_data(struct rpd_conn *conn);

/* Enclose any other callback of a connection, together with callback_enter() and callback_leave():
 * conn_end_call() takes what conn_begin_call() returns. */
bool conn_begin_call(struct rpd_conn *conn);
void conn_end_call(struct rpd_conn *conn, bool corks);

/* Clears this bit of paused. */
void conn_end_pause(struct rpd_conn *conn, unsigned char by);

/* Ends the connection, with on_close. politely: all that the client asked for has been sent, and
 * must arrive. */
void conn_close(struct rpd_conn *conn, bool politely);

/* Frees a closed connection, unless its backend keeps it or one of its callbacks runs. */
void conn_free_if_unused(struct rpd_conn *conn);

/* Whether its input may be offered, as far as the output, the backend and its end are
 * concerned. */
static inline bool conn_takes_input(const struct rpd_conn *conn)
{
    return conn->takes_none == 0;
}

/* ---- conn_owed.c, conn_files.c, conn_body.c: only where owed is there --------- */

/* In the connection's turn: reads some of the body, and calls the dones that are due. */
void conn_serve_owed(struct rpd_conn *conn);
bool conn_owed_has_work(const struct rpd_conn *conn);
bool conn_has_dues(const struct rpd_conn *conn);
size_t conn_owed_memory(const struct rpd_conn *conn);

/* The connection closes: before its descriptor is closed, and after. What no worker is busy with is
 * done. */
void conn_unwatch_owed(struct rpd_conn *conn);
void conn_end_owed(struct rpd_conn *conn);
void conn_free_owed(struct rpd_conn *conn);

bool conn_files_wait(const struct rpd_conn *conn);
uint64_t conn_file_bytes(const struct rpd_conn *conn);

/* Sends bytes and files in their order; returns how much was sent. */
size_t conn_send_queue(struct rpd_conn *conn);

/* These are legal at any time. Whether a body is owed, and can be read. */
bool conn_takes_body(const struct rpd_conn *conn);
uint64_t conn_body_received(const struct rpd_conn *conn);

/* Whether a worker works on the first file. */
bool conn_is_reading_file(const struct rpd_conn *conn);
bool conn_files_are_few(const struct rpd_conn *conn);

static inline bool conn_has_files(const struct rpd_conn *conn)
{
    return conn->owed && conn_files_wait(conn);
}

/* Whether output waits. */
static inline bool conn_has_output(const struct rpd_conn *conn)
{
    return conn->out.size > 0 || conn_has_files(conn);
}

/* ---- conn_bounds.c --------------------------------------------------------- */

void conn_account_changed(struct rpd_conn *conn);

static inline size_t conn_memory_of(const struct rpd_conn *conn)
{
    return conn->in.room + conn->out.room + (conn->owed ? conn_owed_memory(conn) : 0);
}

/* After anything that may have made a buffer larger or smaller. */
static inline void conn_account(struct rpd_conn *conn)
{
    if (conn_memory_of(conn) != conn->share.held)
        conn_account_changed(conn);
}

/* Like buffer_reserve() and buffer_append(), for one of the connection's buffers. If doubling the
 * buffer would come near a bound, it grows little by little, so that it never jumps over the range
 * near the bound. */
char *conn_reserve(struct rpd_conn *conn, struct buffer *buffer, size_t bytes);
int conn_append(struct rpd_conn *conn, struct buffer *buffer, const void *data, size_t size);

/* Sets starved. */
void conn_look_at_share(struct rpd_conn *conn);

/* The connection has waited for memory in vain. False: it may be read again, and will be. */
bool conn_cut_if_starved(struct rpd_conn *conn);

/* At its end. */
void conn_free_buffers(struct rpd_conn *conn);

static inline struct rpd_conn *conn_of_share(struct conn_share *share)
{
    return (struct rpd_conn *)((char *)share - offsetof(struct rpd_conn, share));
}

static inline struct rpd_conn *conn_of_peer_share(struct conn_share *share)
{
    return (struct rpd_conn *)((char *)share - offsetof(struct rpd_conn, peer_share));
}

/* ---- conn_input.c ---------------------------------------------------------- */

/* Reads once; on_data has seen all that was read before. */
void conn_take_input(struct rpd_conn *conn);

/* Calls on_data, which is due. */
void conn_offer_input(struct rpd_conn *conn);

/* The input that a callback has left becomes the connection's own. */
void conn_keep_leftover(struct rpd_conn *conn);

/* ---- conn_output.c --------------------------------------------------------- */

/* Between these two calls, what a callback writes is collected, and goes out in one system call
 * when the callback returns. False: another connection's callback is already under way, and each
 * write of this one is sent at once. */
bool conn_cork(struct rpd_conn *conn);
void conn_uncork(struct rpd_conn *conn);

/* Output begins to wait: from now on the client is expected to take it. */
void conn_begin_pace(struct rpd_conn *conn);

/* Sends what waits, if there is room; calls on_writable when little waits again. */
void conn_send_waiting(struct rpd_conn *conn);

#endif
