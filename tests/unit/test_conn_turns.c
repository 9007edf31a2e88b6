/* Which connection has its turn, on a real loop: a model of connections, some of which always have
 * more work. */
#include "base/clock.h"
#include "clients/conn_turns.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>

enum { MANY = 200, HEAVY = 6 /* as in conn_turns.c */ };

struct conn {
    struct conn_turn turn; /* first */
    unsigned work_us;      /* per piece */
    enum conn_turn_end end;
    unsigned served, asks;
    bool removes_next;
};

static struct event_base *base;
static struct conn_turns turns;
static struct conn conns[MANY];
static struct conn *order[10000];
static size_t served;
static struct event *stop;

static void work_for(unsigned us)
{
    const uint64_t until_us = clock_us() + us;

    while (us > 0 && clock_us() < until_us)
        continue;
}

static enum conn_turn_end serve(struct conn_turn *turn)
{
    struct conn *conn = (struct conn *)turn;
    const enum conn_turn_end end = conn->end;

    if (served < sizeof order / sizeof *order)
        order[served] = conn;
    served++;
    conn->served++;
    work_for(conn->work_us);
    for (unsigned i = 0; i < conn->asks && !conn_turns_slice_is_over(&turns); i++)
        work_for(20);
    if (conn->removes_next)
        conn_turn_remove(&turns, &conn[1].turn);
    if (end == CONN_TURN_GONE)
        memset(conn, 0xa5, sizeof *conn); /* must not be looked at */
    return end;
}

static void begin(void)
{
    struct error error;

    cr_assert_eq(libevent_load(&error), 0);
    struct event_config *config = event_config_new();
    base = event_base_new_with_config(config);
    event_config_free(config);
    conn_turns_init(&turns, base, serve);
    memset(conns, 0, sizeof conns);
    served = 0;
}

static void end(void)
{
    conn_turns_finish(&turns);
    event_base_free(base);
}

TestSuite(conn_turns, .init = begin, .fini = end, .timeout = 20);

/* One turn of the loop. */
static void turn_once(void)
{
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static bool was_served(const struct conn *conn, size_t among)
{
    for (size_t i = 0; i < among && i < served; i++)
        if (order[i] == conn)
            return true;
    return false;
}

Test(conn_turns, served_once_and_in_order)
{
    for (size_t i = 0; i < 5; i++) {
        conn_turn_add(&turns, &conns[i].turn);
        conn_turn_add(&turns, &conns[i].turn);
    }
    cr_assert_eq(served, 0, "within the call");
    turn_once();
    cr_assert_eq(served, 5);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(order[i], &conns[i]);
    turn_once();
    cr_assert_eq(served, 5, "again, without having been added");
}

/* Connections that are served at once do not prolong a turn without end. */
Test(conn_turns, take_serves_while_nobody_waits)
{
    conn_turn_take(&turns, &conns[0].turn);
    cr_assert_eq(served, 1);
    conn_turn_add(&turns, &conns[1].turn);
    conn_turn_take(&turns, &conns[2].turn);
    cr_assert_eq(served, 1);
    turn_once();
    cr_assert_eq(served, 3);
    for (size_t i = 0; i < 10; i++) {
        conns[i].work_us = CONN_TURN_US;
        conn_turn_take(&turns, &conns[i].turn);
    }
    cr_assert_lt(served, 3 + 4);
    for (size_t i = 0; i < 30; i++)
        turn_once();
    cr_assert_eq(served, 3 + 10);
}

/* Removed and closed connections are not touched any more. */
Test(conn_turns, who_goes_is_not_looked_at)
{
    for (size_t i = 0; i < 4; i++)
        conn_turn_add(&turns, &conns[i].turn);
    conns[0].removes_next = true;
    conns[2].end = CONN_TURN_GONE;
    conn_turn_remove(&turns, &conns[3].turn);
    conn_turn_remove(&turns, &conns[3].turn);
    turn_once();
    cr_assert_eq(served, 2);
    cr_assert_eq(conns[1].served, 0);
}

/* A new connection waits for at most one turn, however many others always have more work. */
Test(conn_turns, the_new_go_before_those_with_more_to_do)
{
    struct conn *fresh = &conns[MANY - 1];

    for (size_t i = 0; i + 1 < MANY; i++) {
        conns[i] = (struct conn){.end = CONN_TURN_MORE, .asks = 1000000};
        conn_turn_add(&turns, &conns[i].turn);
    }
    while (conns[MANY - 2].served == 0)
        turn_once(); /* then all have used up a slice */
    for (size_t i = 0; i + 1 < MANY; i++)
        conns[i].served = 0;
    for (size_t round = 0; round < 60; round++) {
        const size_t before = served;
        conn_turn_add(&turns, &fresh->turn);
        served = 0;
        turn_once();
        cr_assert(was_served(fresh, 1), "round %zu: after others", round);
        served += before;
    }
    /* ... and the connections with more work have had equal shares meanwhile. */
    unsigned least = conns[0].served, most = least;
    for (size_t i = 1; i + 1 < MANY; i++) {
        least = conns[i].served < least ? conns[i].served : least;
        most = conns[i].served > most ? conns[i].served : most;
    }
    cr_assert_leq(most - least, 1, "between %u and %u slices", least, most);
}

/* Serves it, and some like it, until its slices are known to be long. The clock is read after each
 * slice only then. */
static void make_heavy(struct conn *conn)
{
    for (size_t i = 0; i < 1000 && conn->turn.weight < HEAVY; i++) {
        for (size_t j = 0; j < 4; j++) {
            conns[j].work_us = conn->work_us;
            conn_turn_add(&turns, &conns[j].turn);
        }
        conn_turn_add(&turns, &conn->turn);
        turn_once();
    }
    for (size_t j = 0; j < 4; j++)
        conn_turn_remove(&turns, &conns[j].turn);
    conn_turn_remove(&turns, &conn->turn);
    cr_assert_geq(conn->turn.weight, HEAVY, "slices of %u us are not long", conn->work_us);
}

static void keep_heavy(struct conn *conn)
{
    conn->turn.weight = 1000;
}

/* A connection whose slice took long, even if the machine was to blame, does not wait for a whole
 * round of those with more work: a round of many takes many turns. */
Test(conn_turns, the_heavy_go_before_those_with_more_to_do)
{
    struct conn *heavy = &conns[MANY - 1];

    heavy->work_us = 200;
    make_heavy(heavy);
    heavy->work_us = 0;
    for (size_t i = 0; i + 1 < MANY; i++) {
        conns[i] = (struct conn){.end = CONN_TURN_MORE, .asks = 1000000};
        conn_turn_add(&turns, &conns[i].turn);
    }
    while (conns[MANY - 2].served == 0)
        turn_once();
    for (size_t round = 0; round < 60; round++) {
        keep_heavy(heavy);
        conn_turn_add(&turns, &heavy->turn);
        served = 0;
        turn_once();
        cr_assert(was_served(heavy, 1), "round %zu: after others", round);
    }
}

/* Connections with long slices do not delay one that has had none. */
Test(conn_turns, the_light_go_before_the_heavy)
{
    struct conn *light = &conns[MANY - 1];

    for (size_t i = 0; i + 1 < MANY; i++) {
        keep_heavy(&conns[i]);
        conn_turn_add(&turns, &conns[i].turn);
        conn_turn_take(&turns, &conns[i].turn);
    }
    cr_assert_eq(served, 0, "one that is heavy is served before its turn");
    conn_turn_add(&turns, &light->turn);
    turn_once();
    cr_assert(was_served(light, 1));
}

/* A connection whose batches always use up a slice waits behind those with little work, even after
 * it has been idle. */
Test(conn_turns, who_used_up_a_slice_is_heavy_when_it_comes_again)
{
    conns[0] = (struct conn){.asks = 1000000};
    conn_turn_add(&turns, &conns[0].turn);
    cr_assert_eq(conns[0].turn.place, CONN_TURN_LIGHT, "a new one");
    turn_once();
    cr_assert_eq(conns[0].turn.place, CONN_TURN_NONE);
    for (size_t i = 0; i < 100; i++)
        turn_once();
    conn_turn_add(&turns, &conns[0].turn);
    cr_assert_eq(conns[0].turn.place, CONN_TURN_HEAVY);
    /* ... until it has sent little for some time. */
    conns[0].asks = 0;
    for (size_t i = 0; i < 10000 && conns[0].turn.place != CONN_TURN_LIGHT; i++) {
        turn_once();
        conn_turn_add(&turns, &conns[1].turn);
        conn_turn_add(&turns, &conns[2].turn);
        conn_turn_add(&turns, &conns[0].turn);
    }
    cr_assert_eq(conns[0].turn.place, CONN_TURN_LIGHT);
}

/* Each batch is one slice and a little more; the connection still counts as heavy. */
Test(conn_turns, the_rest_of_much_is_not_little)
{
    for (size_t round = 0; round < 50; round++) {
        conns[0].asks = 1000000;
        conns[0].end = CONN_TURN_YIELDS;
        conn_turn_add(&turns, &conns[0].turn);
        cr_assert_eq(conns[0].turn.place, round == 0 ? CONN_TURN_LIGHT : CONN_TURN_HEAVY, "%zu",
                     round);
        for (conns[0].served = 0; conns[0].served == 0;)
            turn_once();
        conns[0].asks = 0;
        conns[0].work_us = 5;
        conns[0].end = CONN_TURN_DONE;
        while (conns[0].turn.place != CONN_TURN_NONE)
            turn_once();
    }
}

static uint64_t slice_us_of(struct conn *conn)
{
    struct conn *other = &conns[MANY - 1];

    served = 0;
    conn_turn_add(&turns, &conn->turn);
    conn_turn_add(&turns, &other->turn);
    while (other->turn.place != CONN_TURN_NONE)
        turn_once();
    return turns.slice_us;
}

/* Many new ones may come at once. */
Test(conn_turns, a_light_slice_is_short)
{
    struct conn *other = &conns[MANY - 1];

    cr_assert_eq(slice_us_of(&conns[0]), CONN_LIGHT_SLICE_US);
    keep_heavy(other);
    cr_assert_eq(slice_us_of(&conns[0]), CONN_SLICE_US);
}

/* The machine may be to blame. */
Test(conn_turns, one_long_slice_makes_nobody_heavy)
{
    for (size_t i = 0; i < 8; i++) {
        conns[i] = (struct conn){.work_us = 200};
        conn_turn_add(&turns, &conns[i].turn);
    }
    while (served < 8)
        turn_once();
    for (size_t i = 0; i < 8; i++) {
        conn_turn_add(&turns, &conns[i].turn);
        cr_assert_eq(conns[i].turn.place, CONN_TURN_LIGHT);
    }
}

/* Three quarters of a turn are for the first two kinds. */
Test(conn_turns, neither_the_light_nor_the_heavy_starve_the_others)
{
    struct conn *used = &conns[0], *heavy = &conns[1];

    *used = (struct conn){.end = CONN_TURN_YIELDS, .work_us = 100};
    heavy->work_us = 100;
    conn_turn_yield(&turns, &used->turn);
    for (size_t round = 0; round < 200 && (used->served < 9 || heavy->served < 9); round++) {
        keep_heavy(heavy);
        conn_turn_add(&turns, &heavy->turn);
        for (size_t i = 2; i < MANY; i++) {
            conns[i].work_us = 100;
            conns[i].turn.weight = 0;
            conn_turn_add(&turns, &conns[i].turn);
        }
        turn_once();
    }
    cr_assert_geq(used->served, 9);
    cr_assert_geq(heavy->served, 9);
}

/* Half a turn is for connections that have waited since earlier turns, however many new ones
 * come. */
Test(conn_turns, the_new_do_not_starve_the_others)
{
    struct conn *old = &conns[0];

    *old = (struct conn){.end = CONN_TURN_YIELDS, .work_us = 100};
    conn_turn_add(&turns, &old->turn);
    turn_once();
    old->served = 0;
    /* On a busy machine a turn may be over at once. */
    for (size_t round = 0; round < 200 && old->served < 9; round++) {
        for (size_t i = 1; i < MANY; i++) {
            conns[i].work_us = 100;
            if (conns[i].turn.place == CONN_TURN_NONE)
                conns[i].turn.weight = 0;
            conn_turn_add(&turns, &conns[i].turn);
        }
        turn_once();
    }
    cr_assert_geq(old->served, 9);
}

/* A busy loop checks for other events after each turn. */
static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    *(size_t *)arg = served;
    event_base_loopbreak(base);
}

Test(conn_turns, other_events_have_their_share)
{
    static const struct timeval soon = {0};
    size_t served_then = SIZE_MAX;

    for (size_t i = 0; i < MANY; i++) {
        conns[i] = (struct conn){.end = CONN_TURN_MORE, .work_us = 200};
        conn_turn_add(&turns, &conns[i].turn);
    }
    turn_once();
    stop = event_new(base, -1, 0, on_stop, &served_then);
    event_add(stop, &soon);
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    cr_assert_lt(served_then, 60, "%zu pieces of 200 us", served_then);
    event_free(stop);
}

Test(conn_turns, a_slice_ends)
{
    conns[0] = (struct conn){.asks = 1000000};
    conn_turn_add(&turns, &conns[0].turn);
    turn_once();
    cr_assert_eq(served, 1); /* and came back */
    conns[1] = (struct conn){.end = CONN_TURN_YIELDS};
    conn_turn_yield(&turns, &conns[1].turn);
    conn_turn_add(&turns, &conns[2].turn);
    served = 0;
    turn_once();
    cr_assert_eq(order[0], &conns[2], "before the one that has yielded");
    cr_assert_gt(conns[1].served, 1);
}
