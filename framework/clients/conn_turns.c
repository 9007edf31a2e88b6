/* Turns. See conn_turns.h. */
#include "clients/conn_turns.h"

#include "base/clock.h"
#include "guard/foreign.h"

enum {
    STRIDE_FIRST = 2,
    STRIDE_MAX = 4,
    SLICE_STRIDE_MAX = 16,
    STRIDE_US = 20, /* what takes longer is looked at more often */
    HEAVY_US = 25,
    HEAVY_TURNS = 16 /* so long others go before it: a turn is CONN_TURN_US at most */
};

/* ---- time -------------------------------------------------------------------- */

static long tick_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_nsec;
}

/* Doubled while little time passes between two readings. */
static unsigned adapt(unsigned stride, unsigned most, uint64_t passed_us)
{
    if (passed_us > STRIDE_US)
        return stride > 1 ? stride / 2 : 1;
    return stride < most ? stride * 2 : most;
}

/* Returns how long ago it was read last. */
static uint64_t read_clock(struct conn_turns *turns)
{
    const uint64_t last_us = turns->read_us;

    turns->read_us = clock_us();
    turns->is_over = turns->read_us - turns->began_us >= CONN_TURN_US;
    return turns->read_us - last_us;
}

static void begin_turn(struct conn_turns *turns)
{
    turns->is_in_turn = true;
    turns->is_over = false;
    turns->began_us = turns->read_us = clock_us();
    turns->stride = STRIDE_FIRST;
    turns->slices = 0;
}

static void end_turn(struct conn_turns *turns)
{
    turns->is_in_turn = turns->is_over = false;
    turns->number++;
}

static void begin_slice(struct conn_turns *turns)
{
    turns->is_slice_over = false;
    turns->entered_us = turns->slices == 0 ? turns->read_us : 0;
    foreign_set_began_us(turns->read_us); /* of what it calls, unless that is measured */
    turns->slice_began_us = 0;
    turns->asked = 0;
    turns->slice_stride = 1;
}

/* Returns whether it took long, as far as is known: once a slice did, each is measured. */
static bool end_slice(struct conn_turns *turns)
{
    if (++turns->slices >= turns->stride) {
        const uint64_t passed_us = read_clock(turns);
        turns->slices = 0;
        turns->stride = adapt(turns->stride, STRIDE_MAX,
                              turns->entered_us ? turns->read_us - turns->entered_us : passed_us);
    }
    return turns->entered_us != 0 && turns->read_us - turns->entered_us > HEAVY_US;
}

bool conn_turns_slice_is_over(struct conn_turns *turns)
{
    const long tick = tick_now();
    uint64_t passed_us;

    if (turns->is_slice_over || (++turns->asked < turns->slice_stride && tick == turns->tick))
        return turns->is_slice_over;
    passed_us = read_clock(turns);
    if (turns->slice_began_us == 0)
        turns->slice_began_us = turns->read_us;
    turns->is_slice_over = turns->read_us - turns->slice_began_us >= CONN_SLICE_US;
    turns->slice_stride = adapt(turns->slice_stride, SLICE_STRIDE_MAX, passed_us);
    turns->asked = 0;
    turns->tick = tick;
    return turns->is_slice_over;
}

/* ---- the queues ---------------------------------------------------------------- */

static bool any_waits(const struct conn_turns *turns)
{
    return !TAILQ_EMPTY(&turns->fresh) || !TAILQ_EMPTY(&turns->used);
}

static void append(struct conn_turns *turns, struct conn_turn *turn, bool is_fresh)
{
    struct conn_turn_list *list = is_fresh ? &turns->fresh : &turns->used;

    turn->place = is_fresh ? CONN_TURN_FRESH : CONN_TURN_USED;
    TAILQ_INSERT_TAIL(list, turn, link);
}

static bool is_heavy(const struct conn_turns *turns, const struct conn_turn *turn)
{
    return turn->heavy_until != 0 && (int)(turn->heavy_until - turns->number) > 0;
}

static void take_out(struct conn_turns *turns, struct conn_turn *turn)
{
    struct conn_turn_list *list = turn->place == CONN_TURN_FRESH ? &turns->fresh : &turns->used;

    TAILQ_REMOVE(list, turn, link);
}

void conn_turn_remove(struct conn_turns *turns, struct conn_turn *turn)
{
    if (turn->place == CONN_TURN_FRESH || turn->place == CONN_TURN_USED)
        take_out(turns, turn);
    turn->place = CONN_TURN_NONE;
}

/* In this pass of libevent's, behind all that is active already: that is the end of the
 * turn. While it runs it sees to it itself. */
static void run_soon(struct conn_turns *turns)
{
    if (turns->is_serving || event_is_due(&turns->run))
        return;
    event_active(&turns->run, EV_TIMEOUT, 0);
}

void conn_turn_add(struct conn_turns *turns, struct conn_turn *turn)
{
    if (turn->place != CONN_TURN_NONE)
        return;
    append(turns, turn, !is_heavy(turns, turn));
    run_soon(turns);
}

void conn_turn_yield(struct conn_turns *turns, struct conn_turn *turn)
{
    if (turn->place == CONN_TURN_NOW)
        return;
    conn_turn_remove(turns, turn);
    append(turns, turn, false);
    run_soon(turns);
}

/* ---- serving -------------------------------------------------------------------- */

/* It may be gone when this returns. */
static void serve_slice(struct conn_turns *turns, struct conn_turn *turn)
{
    enum conn_turn_end end;
    bool is_long;

    turn->place = CONN_TURN_NOW;
    begin_slice(turns);
    do
        end = turns->serve(turn);
    while (end == CONN_TURN_MORE && !conn_turns_slice_is_over(turns));
    is_long = end_slice(turns);
    if (end == CONN_TURN_GONE)
        return;
    if (is_long)
        turn->heavy_until = turns->number + HEAVY_TURNS;
    turn->place = CONN_TURN_NONE;
    if (end != CONN_TURN_DONE)
        append(turns, turn, false);
}

void conn_turn_take(struct conn_turns *turns, struct conn_turn *turn)
{
    if (turn->place != CONN_TURN_NONE)
        return;
    run_soon(turns);
    if (!turns->is_in_turn)
        begin_turn(turns);
    if (any_waits(turns) || turns->is_over || is_heavy(turns, turn)) {
        append(turns, turn, !is_heavy(turns, turn));
        return;
    }
    turns->is_serving = true;
    serve_slice(turns, turn);
    turns->is_serving = false;
}

static struct conn_turn *next(const struct conn_turns *turns)
{
    struct conn_turn *fresh = TAILQ_FIRST(&turns->fresh), *used = TAILQ_FIRST(&turns->used);
    const bool is_half_over = turns->read_us - turns->began_us >= CONN_TURN_US / 2;

    return fresh && (!used || !is_half_over) ? fresh : used;
}

static void on_run(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval at_once = {0};
    struct conn_turns *turns = arg;
    struct conn_turn *turn;
    (void)fd;
    (void)what;
    if (!turns->is_in_turn)
        begin_turn(turns);
    turns->is_serving = true;
    while (!turns->is_over && (turn = next(turns))) {
        take_out(turns, turn);
        serve_slice(turns, turn);
    }
    turns->is_serving = false;
    end_turn(turns);
    if (any_waits(turns))
        event_add(&turns->run, &at_once);
}

void conn_turns_init(struct conn_turns *turns, struct event_base *base, conn_turn_serve_fn serve)
{
    *turns = (struct conn_turns){.serve = serve};
    TAILQ_INIT(&turns->fresh);
    TAILQ_INIT(&turns->used);
    evtimer_assign(&turns->run, base, on_run, turns);
}

void conn_turns_finish(struct conn_turns *turns)
{
    event_del(&turns->run);
}
