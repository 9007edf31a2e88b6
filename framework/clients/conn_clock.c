/* The clocks of connections. See conn_clock.h. */
#include "clients/conn_clock.h"

#include <time.h>

enum { EXPIRED_A_TURN = 256 };

/* Precise to some milliseconds, at a fifth of the cost. */
uint64_t conn_clock_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void tick_in(struct conn_clocks *clocks, int seconds)
{
    const struct timeval wait = {.tv_sec = seconds};

    clocks->is_ticking = event_add(&clocks->tick, &wait) == 0;
}

/* Returns a clock that has expired; NULL: none. */
static struct conn_clock *find_expired(struct conn_clocks *clocks, uint64_t now)
{
    for (int kind = CONN_CLOCK_FIRST_BYTE; kind < CONN_CLOCK_KINDS; kind++) {
        struct conn_clock *first = TAILQ_FIRST(&clocks->running[kind]);

        /* 0: the limit was taken away while this clock ran. */
        if (first && clocks->timeout_ms[kind] > 0 &&
            now - first->started_ms >= clocks->timeout_ms[kind])
            return first;
    }
    return NULL;
}

static bool any_is_running(const struct conn_clocks *clocks)
{
    for (int kind = CONN_CLOCK_FIRST_BYTE; kind < CONN_CLOCK_KINDS; kind++)
        if (!TAILQ_EMPTY(&clocks->running[kind]))
            return true;
    return false;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct conn_clocks *clocks = arg;
    const uint64_t now = conn_clock_now_ms();
    struct conn_clock *clock;
    int expired = 0;

    (void)fd;
    (void)what;
    while (expired < EXPIRED_A_TURN && (clock = find_expired(clocks, now))) {
        const enum conn_clock_kind kind = clock->kind;

        conn_clock_stop(clocks, clock);
        clocks->expired(clock, kind);
        expired++;
    }
    clocks->is_ticking = false;
    if (any_is_running(clocks))
        tick_in(clocks, expired == EXPIRED_A_TURN ? 0 : 1); /* others first */
}

void conn_clocks_change(struct conn_clocks *clocks, const struct config_limits *limits)
{
    const int seconds[CONN_CLOCK_KINDS] = {
        [CONN_CLOCK_FIRST_BYTE] = limits->first_byte_s,
        [CONN_CLOCK_REQUEST] = limits->request_s,
        [CONN_CLOCK_IDLE] = limits->idle_s,
    };

    for (int kind = 0; kind < CONN_CLOCK_KINDS; kind++)
        clocks->timeout_ms[kind] = (uint64_t)seconds[kind] * 1000u;
}

void conn_clocks_init(struct conn_clocks *clocks, struct event_base *base,
                      const struct config_limits *limits, conn_clock_expired_fn expired)
{
    clocks->expired = expired;
    clocks->is_ticking = false;
    evtimer_assign(&clocks->tick, base, on_tick, clocks);
    for (int kind = 0; kind < CONN_CLOCK_KINDS; kind++)
        TAILQ_INIT(&clocks->running[kind]);
    conn_clocks_change(clocks, limits);
}

void conn_clocks_finish(struct conn_clocks *clocks)
{
    if (clocks->is_ticking)
        event_del(&clocks->tick);
}

void conn_clock_start(struct conn_clocks *clocks, struct conn_clock *clock,
                      enum conn_clock_kind kind)
{
    clock->kind = kind;
    clock->started_ms = conn_clock_now_ms();
    TAILQ_INSERT_TAIL(&clocks->running[kind], clock, link);
    if (!clocks->is_ticking)
        tick_in(clocks, 1);
}

void conn_clock_stop(struct conn_clocks *clocks, struct conn_clock *clock)
{
    if (clock->kind != CONN_CLOCK_OFF)
        TAILQ_REMOVE(&clocks->running[clock->kind], clock, link);
    clock->kind = CONN_CLOCK_OFF;
}
