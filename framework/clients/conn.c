/* The data path: a connection's life. See conn.h for its shape, rpd/conn.h for its
 * promises, conn_input.c and conn_output.c for its two halves.
 *
 * Callbacks, libevent's events and the backend's calls only set fields. Whichever field is set, the
 * connection then gets a turn (conn_turns.h), and serve() takes these steps, in this order:
 *
 *     may_have_room, has_stalled   output that waits is sent; a client that has not
 *                                  taken any for write_stall_s is cut
 *     choked, and little waits     not choked any more: on_writable
 *     owed: a body, dues           one read of the body, as for may_have_input; what is due is
 *                                  told (conn_owed.h)
 *     holds memory                 starved if that is short, it has more than its share, and its
 *                                  client may send more
 *     may_have_input               one read, unless wants_data, input_ended, starved, choked,
 *                                  paused, finishing or broken; what it brings sets wants_data
 *     untaken, and wants_data      likewise: after a resume, it is more that on_data needs
 *     wants_data                   on_data, unless choked, paused, finishing or broken
 *   settle():
 *     holds memory                 starved if that is short, it has more than its share, and its
 *                                  client may send more
 *     broken                       closed, at once
 *     finishing, no output         closed, when the client has all of it
 *     input_ended, no output       likewise, unless wants_data, paused or kept
 *     group->draining, no output   likewise, and if nothing has been asked; with
 *                                  has_no_future also if it is paused, or half a request came
 *     what is true then            decides which events are added, which clock runs, and
 *                                  whether it needs one more turn
 *
 * What libevent watches is asked of libevent (watch()), never remembered here; and
 * nothing but libevent makes a connection's events active. */
#include "clients/conn.h"

#include "base/clock.h"
#include "base/rare.h"
#include "base/smaller.h"
#include "clients/conn_inside.h"
#include "guard/foreign.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    OUTPUT_HIGH = 256 * 1024, /* unless the limit of output is low, too */
    OUTPUT_LOW = 64 * 1024,
    REPORTS_MAX = 3,
    MEASURED = 64
};

static enum conn_turn_end serve(struct conn_turn *turn);
static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_clock_expired(struct conn_clock *clock, enum conn_clock_kind kind);

int conn_loop_init(struct conn_loop *loop, struct event_base *base)
{
    *loop = (struct conn_loop){.base = base};
    conn_turns_init(&loop->turns, base, serve);
    loop->input = malloc(CONN_BLOCK);
    loop->output = malloc(CONN_BLOCK);
    return loop->input && loop->output ? 0 : -1;
}

void conn_loop_finish(struct conn_loop *loop)
{
    conn_turns_finish(&loop->turns);
    linger_finish(&loop->lingerers);
    free(loop->input);
    free(loop->output);
}

static void init_cut_logs(struct conn_group *group)
{
    const struct config_limits *limits = group->limits;
    const struct {
        const char *what, *key;
        int value;
        const char *unit;
    } causes[] = {
        [CONN_LIMIT_FIRST_BYTE] = {"sent nothing", "first_byte_s", limits->first_byte_s, " s"},
        [CONN_LIMIT_REQUEST] = {"no complete request", "request_s", limits->request_s, " s"},
        [CONN_LIMIT_IDLE] = {"idle", "idle_s", limits->idle_s, " s"},
        [CONN_LIMIT_WRITE_STALL] = {"read nothing or too little", "write_stall_s",
                                    limits->write_stall_s, " s"},
        [CONN_LIMIT_OUTPUT] = {"unread output", "output_bytes", limits->output_bytes, ""},
        [CONN_LIMIT_INPUT] = {"incomplete request", "input_bytes", limits->input_bytes, ""},
        [CONN_LIMIT_BUFFERS] = {"held most, all clients together", "buffer_bytes",
                                limits->buffer_bytes, ""},
        [CONN_LIMIT_PEER_BUFFERS] = {"held most, all of one peer together", "buffer_bytes_per_peer",
                                     limits->buffer_bytes_per_peer, ""},
    };

    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        log_count_init(&group->cuts[i], group->loop->base, group->owner.service, "client",
                       "closed: %s %s limits.%s (%d%s)", causes[i].what,
                       causes[i].unit[0] ? "within" : "beyond", causes[i].key, causes[i].value,
                       causes[i].unit);
}

static void set_bounds(struct conn_group *group)
{
    const size_t output_max = (size_t)group->limits->output_bytes;

    group->output_high = smaller(OUTPUT_HIGH, output_max / 2);
    group->output_low = smaller(OUTPUT_LOW, output_max / 8);
    group->request_progress = (size_t)group->limits->progress_bytes_per_s *
                              (size_t)group->limits->request_s;
}

void conn_group_init(struct conn_group *group, struct conn_loop *loop)
{
    group->loop = loop;
    if (!group->metrics)
        group->metrics = metrics_unread;
    set_bounds(group);
    TAILQ_INIT(&group->conns);
    TAILQ_INIT(&group->starved);
    conn_memory_init(&group->memory, (size_t)group->limits->buffer_bytes);
    conn_clocks_init(&group->clocks, loop->base, group->limits, on_clock_expired);
    init_cut_logs(group);
}

void conn_group_change_limits(struct conn_group *group, const struct config_limits *limits)
{
    struct rpd_conn *conn;

    for (size_t i = 0; i < sizeof group->cuts / sizeof *group->cuts; i++)
        log_count_finish(&group->cuts[i]);
    group->limits = limits;
    set_bounds(group);
    init_cut_logs(group);
    group->memory.most = (size_t)limits->buffer_bytes;
    conn_clocks_change(&group->clocks, limits);
    TAILQ_FOREACH(conn, &group->conns, link)
        conn_settle_later(conn);
}

void conn_group_finish(struct conn_group *group)
{
    conn_clocks_finish(&group->clocks);
    for (size_t i = 0; i < CONN_LIMITS; i++)
        log_count_finish(&group->cuts[i]);
}

void conn_settle_later(struct rpd_conn *conn)
{
    if (!conn->in_callback)
        conn_turn_add(&conn->group->loop->turns, &conn->turn);
}

_Static_assert((int)CONN_LIMIT_MEMORY == METRIC_CLIENTS_CUT_LAST - METRIC_CLIENTS_CUT,
               "a metric for each limit");

static void count_cut(struct conn_group *group, enum conn_limit limit)
{
    if (limit == CONN_LIMIT_MEMORY) {
        places_count_shortage(group->places);
        return;
    }
    group->cut++;
    rpd_metric_add(group->metrics[METRIC_CLIENTS_CUT + (int)limit], 1);
    log_count_add(&group->cuts[limit]);
}

void conn_cut(struct rpd_conn *conn, enum conn_limit limit)
{
    if (conn->broken)
        return;
    conn->broken = true;
    count_cut(conn->group, limit);
}

/* ---- callbacks -------------------------------------------------------------- */

bool conn_begin_call(struct rpd_conn *conn)
{
    conn->in_callback = true;
    return conn_cork(conn);
}

void conn_end_call(struct rpd_conn *conn, bool corks)
{
    if (corks)
        conn_uncork(conn);
    conn->in_callback = false;
    if (conn->open)
        conn_keep_leftover(conn);
}

/* This saves a call in each request. */
static inline __attribute__((always_inline)) void call(struct rpd_conn *conn,
                                                       conn_callback callback)
{
    const bool corks = conn_begin_call(conn);

    foreign_enter(conn->group->owner, (foreign_code)callback);
    callback(conn, conn->group->state);
    foreign_leave();
    conn_end_call(conn, corks);
}

static __attribute__((noinline)) void
call_and_measure(struct rpd_conn *conn, enum metric_callback kind, conn_callback callback)
{
    uint64_t *const time = conn->group->metrics[METRIC_CALLBACK_TIME + (int)kind];
    const uint64_t outer_us = foreign_began_us(), began_us = clock_us();

    foreign_set_began_us(began_us);
    call(conn, callback);
    foreign_set_began_us(outer_us);
    rpd_metric_observe(time, clock_us() - began_us);
}

void conn_call(struct rpd_conn *conn, enum metric_callback kind, conn_callback callback)
{
    if (!callback)
        return;
    rpd_metric_add_alone(conn->group->metrics[METRIC_CALLBACKS + (int)kind], 1);
    call_and_measure(conn, kind, callback);
}

/* The clock is dear: one call in MEASURED is measured. (Of the others the slice has said when they
 * began.) */
void conn_call_on_data(struct rpd_conn *conn)
{
    struct conn_group *group = conn->group;

    if (!group->backend->on_data)
        return;
    if (group->on_data_calls++ % MEASURED == 0)
        call_and_measure(conn, METRIC_ON_DATA, group->backend->on_data);
    else
        call(conn, group->backend->on_data);
}

/* ---- the end ---------------------------------------------------------------- */

void conn_free_if_unused(struct rpd_conn *conn)
{
    if (conn->open || conn->keeps > 0 || conn->works > 0 || conn->in_callback)
        return;
    if (conn->owed)
        conn_free_owed(conn);
    free(conn);
}

/* politely: all that was asked for has been sent, and must arrive. */
void conn_close(struct rpd_conn *conn, bool politely)
{
    struct conn_group *group = conn->group;

    conn->open = false;
    conn_clock_stop(&group->clocks, &conn->clock);
    conn_turn_remove(&group->loop->turns, &conn->turn);
    event_del(&conn->read_event);
    event_del(&conn->write_event);
    if (conn->owed)
        conn_unwatch_owed(conn);
    if (!conn->refused)
        conn_call(conn, METRIC_ON_CLOSE, group->backend->on_close);
    conn_free_buffers(conn);
    if (politely && !conn->input_ended)
        linger_close(&group->loop->lingerers, group->loop->base, group->places, conn->fd);
    else
        places_close(group->places, conn->fd);
    conn->fd = -1;
    if (conn->owed)
        conn_end_owed(conn);
    TAILQ_REMOVE(&group->conns, conn, link);
    group->count--;
    rpd_metric_add(group->metrics[METRIC_CLIENTS_CLOSED], 1);
    if (group->count == 0 && group->emptied)
        group->emptied(group->service);
    conn_free_if_unused(conn);
}

static bool is_idle(const struct rpd_conn *conn)
{
    return conn->in.size == 0 && conn->keeps == 0 && conn->works == 0;
}

/* A request that waits in the kernel counts as in flight. */
static bool has_arrived(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

/* All output is sent: is there a reason to go on? */
static bool is_over(const struct rpd_conn *conn)
{
    const struct conn_group *group = conn->group;

    if (conn->finishing)
        return true;
    if (conn->keeps > 0 || conn->works > 0)
        return false;
    if (conn->paused)
        return group->draining && group->has_no_future;
    if (conn->wants_data)
        return false;
    if (conn->input_ended)
        return true;
    if (group->awaits_first && !conn->has_sent && !group->has_no_future)
        return false;
    return group->draining && (is_idle(conn) || group->has_no_future) && !has_arrived(conn->fd);
}

/* ---- what is waited for --------------------------------------------------------- */

static bool may_be_read(const struct rpd_conn *conn)
{
    return conn_takes_input(conn) && !conn->input_ended && !conn->starved;
}

/* Not while on_data is due, unless on_data has taken none of that input: it may need more. */
static bool needs_input(const struct rpd_conn *conn)
{
    return conn->wants_data ? conn->untaken == UNTAKEN_MAX : conn->may_have_input;
}

/* There is something to do without waiting for the client. */
static bool needs_turn(const struct rpd_conn *conn)
{
    return (conn->wants_data && conn_takes_input(conn)) ||
           (conn->may_have_input && may_be_read(conn)) || (conn->choked && conn->may_have_room) ||
           (conn->owed && conn_owed_has_work(conn));
}

/* event_add() returns 0 and does nothing for an event that is active without being watched, as
 * after a time-out: so what is left of an activation is removed first. */
static void arm(struct rpd_conn *conn, struct event *event, const struct timeval *timeout)
{
    if (event_is_watched(event))
        return;
    event_del(event);
    if (event_add(event, timeout) < 0)
        conn_cut(conn, CONN_LIMIT_MEMORY);
}

static void disarm(struct event *event)
{
    if (event_is_watched(event) || event_is_due(event))
        event_del(event);
}

/* libevent wants all events of a descriptor to be of one kind, and those of its output are not
 * edge-triggered. */
static void watch_by_edge(struct rpd_conn *conn, bool by_edge)
{
    const short what = EV_READ | EV_PERSIST | (by_edge ? EV_ET : 0);

    if (conn->read_event.ev_events == what)
        return;
    event_del(&conn->read_event);
    event_assign(&conn->read_event, conn->group->loop->base, conn->fd, what, on_readable, conn);
}

/* A starved connection is not read, and its client's end lies behind what the client has sent. So
 * each arrival is reported once; no more arrive than the kernel takes. While output waits, sending
 * it reveals the end. */
static bool awaits_end(const struct rpd_conn *conn)
{
    return conn->starved && !conn->input_ended && !conn->choked && !conn->finishing &&
           !conn->broken && !(conn->paused & CONN_PAUSED_BY_BACKEND) && !conn_has_output(conn);
}

/* more: the connection will be looked at again without such an event. */
static void watch_input(struct rpd_conn *conn, bool more)
{
    const bool by_edge = awaits_end(conn);

    watch_by_edge(conn, by_edge);
    if (!by_edge && !may_be_read(conn) && !conn_takes_body(conn))
        disarm(&conn->read_event);
    else if (!more)
        arm(conn, &conn->read_event, NULL);
}

static void watch(struct rpd_conn *conn, bool more)
{
    const struct timeval stall = {.tv_sec = conn->group->limits->write_stall_s};
    const bool sends = conn_has_output(conn) && !conn_is_reading_file(conn);

    if (!sends)
        disarm(&conn->write_event);
    watch_input(conn, more);
    if (sends && !event_is_watched(&conn->write_event)) {
        conn_begin_pace(conn);
        arm(conn, &conn->write_event, &stall);
    }
}

/* What rpd waits for the client to do. */
static enum conn_clock_kind clock_of(const struct rpd_conn *conn)
{
    if (conn_has_output(conn) || conn->finishing || conn->group->draining)
        return CONN_CLOCK_OFF;
    if (conn_takes_body(conn))
        return CONN_CLOCK_REQUEST;
    if (conn->choked || conn->paused || conn->keeps > 0 || conn->works > 0 || conn->input_ended ||
        conn->wants_data)
        return CONN_CLOCK_OFF;
    if (conn->in.size > 0)
        return CONN_CLOCK_REQUEST;
    return conn->has_sent ? CONN_CLOCK_IDLE : CONN_CLOCK_FIRST_BYTE;
}

static void run_clock(struct rpd_conn *conn)
{
    const enum conn_clock_kind kind = clock_of(conn);
    const size_t size = conn->in.size + (conn->owed ? (size_t)conn_body_received(conn) : 0);
    const bool anew = conn->has_sent && (conn->progressed || size - conn->clocked_size >=
                                                                 conn->group->request_progress);

    conn->progressed = false;
    if (anew || kind != conn->clock.kind)
        conn->clocked_size = size;
    conn_clock_set(&conn->group->clocks, &conn->clock, kind, anew);
}

static bool is_owed(const struct rpd_conn *conn)
{
    return conn_has_output(conn) || (conn->owed && conn_has_dues(conn));
}

/* Most requests end so: all of it was taken and answered, and libevent watches for the next one.
 * Then there is nothing to settle but the clock. A connection that holds no memory has neither
 * input nor output. */
static bool is_at_rest(const struct rpd_conn *conn)
{
    const bool is_restless = conn->input_ended | conn->wants_data | conn->yields | conn->starved |
                             conn->may_have_input | conn->may_have_room | conn->has_stalled |
                             conn->group->draining | !conn->has_sent;

    return !is_restless && !conn->takes_none && conn->share.held == 0 &&
           !(conn->keeps | conn->works) && !conn->owed && event_is_watched(&conn->read_event) &&
           conn->read_event.ev_events == (EV_READ | EV_PERSIST) &&
           !event_is_watched(&conn->write_event);
}

static void rest(struct rpd_conn *conn)
{
    conn_clock_set(&conn->group->clocks, &conn->clock, CONN_CLOCK_IDLE, conn->progressed);
    conn->progressed = false;
    conn->clocked_size = 0;
}

/* Does what follows from the state of the connection. Never called from within one of its
 * callbacks. */
static RARE enum conn_turn_end settle(struct rpd_conn *conn)
{
    bool more;

    if (conn->share.held > 0 || conn->starved)
        conn_look_at_share(conn);
    more = needs_turn(conn);
    if (!conn->broken)
        watch(conn, more);
    if (conn->broken || (!is_owed(conn) && is_over(conn))) {
        conn_close(conn, !conn->broken);
        return CONN_TURN_GONE;
    }
    run_clock(conn);
    if (!more)
        return CONN_TURN_DONE;
    return conn->yields ? CONN_TURN_YIELDS : CONN_TURN_MORE;
}

static enum conn_turn_end serve(struct conn_turn *turn)
{
    struct rpd_conn *conn = (struct rpd_conn *)((char *)turn - offsetof(struct rpd_conn, turn));

    if (conn->may_have_room || conn->has_stalled)
        conn_send_waiting(conn);
    if (conn->share.held > 0 && (conn->owed || needs_input(conn)))
        conn_look_at_share(conn);
    if (conn->owed)
        conn_serve_owed(conn);
    if (needs_input(conn) && may_be_read(conn))
        conn_take_input(conn);
    if (conn->wants_data && conn_takes_input(conn))
        conn_offer_input(conn);
    if (!is_at_rest(conn))
        return settle(conn);
    rest(conn);
    return CONN_TURN_DONE;
}

/* ---- clocks ------------------------------------------------------------------- */

static void on_clock_expired(struct conn_clock *clock, enum conn_clock_kind kind)
{
    static const enum conn_limit limit_of[CONN_CLOCK_KINDS] = {
        [CONN_CLOCK_FIRST_BYTE] = CONN_LIMIT_FIRST_BYTE,
        [CONN_CLOCK_REQUEST] = CONN_LIMIT_REQUEST,
        [CONN_CLOCK_IDLE] = CONN_LIMIT_IDLE,
    };
    struct rpd_conn *conn = (struct rpd_conn *)clock;

    /* Another connection's callback may have kept it; or the loop is late, not the client. */
    if (clock_of(conn) == kind && conn->starved && conn_cut_if_starved(conn)) {
        conn_close(conn, false);
        return;
    }
    if (clock_of(conn) != kind || has_arrived(conn->fd)) {
        run_clock(conn);
        return;
    }
    conn_cut(conn, limit_of[kind]);
    conn_close(conn, false);
}

/* ---- events ------------------------------------------------------------------ */

/* Has the client left, or ended its side? What a client that reset the connection has sent is not
 * worth its memory. */
static RARE void look_for_end(struct rpd_conn *conn)
{
    struct pollfd end = {.fd = conn->fd, .events = POLLRDHUP};

    conn->sends_no_more = poll(&end, 1, 0) > 0;
    conn->broken |= (end.revents & POLLERR) != 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_conn *conn = arg;

    (void)fd;
    (void)what;
    if (awaits_end(conn)) {
        look_for_end(conn);
        if (!conn->sends_no_more)
            return;
    }
    conn->may_have_input = true;
    /* The connection has waited for its turn during some of the loop's turns: libevent need not
     * report it again. */
    if (++conn->reports == REPORTS_MAX)
        event_del(&conn->read_event);
    conn_turn_take(&conn->group->loop->turns, &conn->turn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_conn *conn = arg;

    (void)fd;
    conn->may_have_room = true;
    conn->has_stalled |= (what & EV_TIMEOUT) != 0;
    conn_turn_take(&conn->group->loop->turns, &conn->turn);
}

static struct rpd_conn *make_conn(struct conn_group *group, int take_fd,
                                  const struct rpd_listener *listener)
{
    struct event_base *base = group->loop->base;
    struct rpd_conn *conn = calloc(1, sizeof *conn);

    if (!conn) {
        places_close_for_memory(group->places, take_fd);
        return NULL;
    }
    conn->group = group;
    conn->listener = listener;
    conn->peer = group->limits->buffer_bytes_per_peer > 0 ? places_peer(group->places, take_fd)
                                                          : NULL;
    conn->fd = take_fd;
    conn->open = true;
    event_assign(&conn->read_event, base, take_fd, EV_READ | EV_PERSIST, on_readable, conn);
    event_assign(&conn->write_event, base, take_fd, EV_WRITE | EV_PERSIST, on_writable, conn);
    TAILQ_INSERT_TAIL(&group->conns, conn, link);
    group->count++;
    return conn;
}

void conn_open(struct conn_group *group, int take_fd, const struct rpd_listener *listener)
{
    struct rpd_conn *conn = make_conn(group, take_fd, listener);

    if (!conn)
        return;
    conn_call(conn, METRIC_ON_CONNECT, group->backend->on_connect);
    conn_settle_later(conn);
}

/* The connection is like one that its backend has finished at once, except that on_close is not
 * called. */
static void answer_busy(struct rpd_conn *conn, void *state)
{
    (void)state;
    if (conn->group->backend->on_busy)
        conn->group->backend->on_busy(conn);
}

bool conn_is_busy_answer(conn_code code)
{
    return code == (conn_code)answer_busy;
}

void conn_refuse(struct conn_group *group, int take_fd, const struct rpd_listener *listener)
{
    struct rpd_conn *conn = make_conn(group, take_fd, listener);

    if (!conn)
        return;
    conn->refused = true;
    conn_call(conn, METRIC_ON_BUSY, answer_busy);
    conn->finishing = true;
    conn_settle_later(conn);
}

/* ---- all of a service's ---------------------------------------------------------- */

void conn_group_drain(struct conn_group *group)
{
    struct rpd_conn *conn;

    group->draining = true;
    /* Each connection is settled in the next turn, so what that does to others cannot disturb this
     * walk. */
    TAILQ_FOREACH(conn, &group->conns, link)
        conn_settle_later(conn);
}

void conn_group_abort(struct conn_group *group)
{
    struct rpd_conn *conn;

    while ((conn = TAILQ_FIRST(&group->conns)))
        /* conn_close() takes it off the list; the analyzer loses track of the heads.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        conn_close(conn, false);
}
