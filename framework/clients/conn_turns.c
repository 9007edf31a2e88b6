/* Turns. See conn_turns.h. */
#include "clients/conn_turns.h"

#include "base/clock.h"
#include "base/rare.h"
#include "guard/foreign.h"

enum {
    STRIDE_FIRST = 2,
    STRIDE_MAX = 4,
    SLICE_STRIDE_MAX = 16,
    STRIDE_US = 20,  /* slices that take longer are measured more often */
    LONG_WEIGHS = 2, /* a short slice takes 1 away */
    USED_UP_WEIGHS = 3 * LONG_WEIGHS,
    HEAVY = USED_UP_WEIGHS,
    WEIGHT_MAX = HEAVY + 2
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

/* Returns how long ago the clock was last read. */
static RARE uint64_t read_clock(struct conn_turns *turns)
{
    const uint64_t last_us = turns->read_us;

    turns->read_us = clock_us();
    turns->is_over = turns->read_us - turns->began_us >= CONN_TURN_US;
    return turns->read_us - last_us;
}

static RARE void begin_turn(struct conn_turns *turns)
{
    turns->is_in_turn = true;
    turns->is_over = false;
    turns->began_us = turns->read_us = clock_us();
    /* If slices took long in the last turn, they are measured in this turn, too, from the first
     * on. */
    if (turns->stride > STRIDE_FIRST)
        turns->stride = STRIDE_FIRST;
    turns->slices = 0;
}

static void end_turn(struct conn_turns *turns)
{
    turns->is_in_turn = turns->is_over = false;
}

/* Heavy connections are always measured: otherwise they might stay heavy for want of a
 * measurement. */
static void begin_slice(struct conn_turns *turns, bool is_light)
{
    if (!is_light && turns->slices > 0) {
        read_clock(turns);
        turns->slices = 0;
    }
    turns->slice_us = is_light ? CONN_LIGHT_SLICE_US : CONN_SLICE_US;
    turns->is_slice_over = false;
    turns->entered_us = turns->slices == 0 ? turns->read_us : 0;
    foreign_set_began_us(turns->read_us); /* of what it calls, unless that is measured */
    turns->slice_began_us = 0;
    turns->asked = 0;
    turns->slice_stride = 1;
}

static RARE void measure_slice(struct conn_turns *turns)
{
    const uint64_t passed_us = read_clock(turns);

    turns->slices = 0;
    turns->stride = adapt(turns->stride, STRIDE_MAX,
                          turns->entered_us ? turns->read_us - turns->entered_us : passed_us);
}

/* Returns how long the slice took, as far as is known, or 0: once a slice took long, each is
 * measured. */
static uint64_t end_slice(struct conn_turns *turns, bool is_light)
{
    if (++turns->slices >= turns->stride || !is_light)
        measure_slice(turns);
    return turns->entered_us ? turns->read_us - turns->entered_us : 0;
}

/* took_us: 0 if the time is not known. The last slice of several is as long as what was left. */
static RARE void weigh(struct conn_turn *turn, uint64_t took_us, bool is_used_up)
{
    const bool was_long = is_used_up || took_us > CONN_LIGHT_SLICE_US;

    if (was_long)
        turn->weight += is_used_up ? USED_UP_WEIGHS : LONG_WEIGHS;
    else if (took_us > 0 && turn->weight > 0 && !turn->goes_on)
        turn->weight--;
    if (turn->weight > WEIGHT_MAX)
        turn->weight = WEIGHT_MAX;
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
    turns->is_slice_over = turns->read_us - turns->slice_began_us >= turns->slice_us;
    turns->slice_stride = adapt(turns->slice_stride, SLICE_STRIDE_MAX, passed_us);
    turns->asked = 0;
    turns->tick = tick;
    return turns->is_slice_over;
}

/* ---- the queues ---------------------------------------------------------------- */

static bool any_waits(const struct conn_turns *turns)
{
    return !TAILQ_EMPTY(&turns->queues[CONN_TURN_LIGHT]) ||
           !TAILQ_EMPTY(&turns->queues[CONN_TURN_HEAVY]) ||
           !TAILQ_EMPTY(&turns->queues[CONN_TURN_USED]);
}

static void append(struct conn_turns *turns, struct conn_turn *turn, enum conn_turn_place place)
{
    turn->place = place;
    TAILQ_INSERT_TAIL(&turns->queues[place], turn, link);
}

static bool is_heavy(const struct conn_turn *turn)
{
    return turn->weight >= HEAVY;
}

/* The place of a connection that has not used up its slice. */
static enum conn_turn_place place_of(const struct conn_turn *turn)
{
    return is_heavy(turn) ? CONN_TURN_HEAVY : CONN_TURN_LIGHT;
}

static bool is_queued(const struct conn_turn *turn)
{
    return turn->place != CONN_TURN_NONE && turn->place != CONN_TURN_NOW;
}

static void take_out(struct conn_turns *turns, struct conn_turn *turn)
{
    TAILQ_REMOVE(&turns->queues[turn->place], turn, link);
}

void conn_turn_remove(struct conn_turns *turns, struct conn_turn *turn)
{
    if (is_queued(turn))
        take_out(turns, turn);
    turn->place = CONN_TURN_NONE;
}

/* Runs in this pass of libevent's, after all events that are active already: that is the end of the
 * turn. While the event runs it takes care of this itself. */
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
    append(turns, turn, place_of(turn));
    run_soon(turns);
}

void conn_turn_yield(struct conn_turns *turns, struct conn_turn *turn)
{
    if (turn->place == CONN_TURN_NOW)
        return;
    conn_turn_remove(turns, turn);
    append(turns, turn, CONN_TURN_USED);
    run_soon(turns);
}

/* ---- serving -------------------------------------------------------------------- */

/* The connection may be gone when this returns. */
static void serve_slice(struct conn_turns *turns, struct conn_turn *turn)
{
    enum conn_turn_end end;
    const bool is_light = !is_heavy(turn);
    uint64_t took_us;

    turn->place = CONN_TURN_NOW;
    begin_slice(turns, is_light);
    do
        end = turns->serve(turn);
    while (end == CONN_TURN_MORE && !conn_turns_slice_is_over(turns));
    took_us = end_slice(turns, is_light);
    if (end == CONN_TURN_GONE)
        return;
    if (took_us > 0 || turns->is_slice_over)
        weigh(turn, took_us, turns->is_slice_over);
    turn->goes_on = end != CONN_TURN_DONE;
    turn->place = CONN_TURN_NONE;
    if (end != CONN_TURN_DONE)
        append(turns, turn, CONN_TURN_USED);
}

void conn_turn_take(struct conn_turns *turns, struct conn_turn *turn)
{
    if (turn->place != CONN_TURN_NONE)
        return;
    if (!turns->is_in_turn) {
        run_soon(turns);
        begin_turn(turns);
    }
    if (any_waits(turns) || turns->is_over || is_heavy(turn)) {
        append(turns, turn, place_of(turn));
        return;
    }
    turns->is_serving = true;
    serve_slice(turns, turn);
    turns->is_serving = false;
}

/* Takes from the first queue whose part of the turn is not over; otherwise from the last. */
static struct conn_turn *next(const struct conn_turns *turns)
{
    static const uint64_t parts_us[] = {[CONN_TURN_LIGHT] = CONN_TURN_US / 2,
                                        [CONN_TURN_HEAVY] = CONN_TURN_US * UINT64_C(3) / 4,
                                        [CONN_TURN_USED] = UINT64_MAX};
    const uint64_t passed_us = turns->read_us - turns->began_us;
    struct conn_turn *last = NULL;

    for (int place = CONN_TURN_LIGHT; place <= CONN_TURN_USED; place++) {
        struct conn_turn *first = TAILQ_FIRST(&turns->queues[place]);
        if (first && passed_us < parts_us[place])
            return first;
        last = first ? first : last;
    }
    return last;
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
    *turns = (struct conn_turns){.serve = serve, .stride = STRIDE_FIRST};
    for (int place = CONN_TURN_NONE; place < CONN_TURN_NOW; place++)
        TAILQ_INIT(&turns->queues[place]);
    evtimer_assign(&turns->run, base, on_run, turns);
}

void conn_turns_finish(struct conn_turns *turns)
{
    event_del(&turns->run);
}
