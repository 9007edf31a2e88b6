/* The clocks of connections: how long a client may take for what it does now.
 *
 * A connection has one clock, which measures one kind of waiting or is off. All
 * clocks of a kind have the same time-out, so the order in which they were
 * started is the order in which they expire: each kind is a list, and one timer
 * of the group looks at the heads, once a second while a list is not empty.
 * Starting and stopping cost a few stores; a kind without a time-out costs a
 * comparison. All of it is [loop]. */
#ifndef FRAMEWORK_CONN_CLOCK_H
#define FRAMEWORK_CONN_CLOCK_H

#include "config/config.h"
#include "library/libevent.h"

#include <sys/queue.h>

enum conn_clock_kind {
    CONN_CLOCK_OFF,
    CONN_CLOCK_FIRST_BYTE,
    CONN_CLOCK_REQUEST,
    CONN_CLOCK_IDLE,
    CONN_CLOCK_KINDS
};

/* Of one connection; zeroed to begin with. */
struct conn_clock {
    TAILQ_ENTRY(conn_clock) link;
    uint64_t started_ms;
    enum conn_clock_kind kind;
};

/* The clock has been stopped. */
typedef void (*conn_clock_expired_fn)(struct conn_clock *clock, enum conn_clock_kind kind);

/* Of one group. */
struct conn_clocks {
    struct event tick;
    bool is_ticking;
    conn_clock_expired_fn expired;
    uint64_t timeout_ms[CONN_CLOCK_KINDS]; /* 0: never */
    TAILQ_HEAD(conn_clock_list, conn_clock) running[CONN_CLOCK_KINDS];
};

void conn_clocks_init(struct conn_clocks *clocks, struct event_base *base,
                      const struct config_limits *limits, conn_clock_expired_fn expired);

/* Clocks that run count with the new limits from their own start. */
void conn_clocks_change(struct conn_clocks *clocks, const struct config_limits *limits);
void conn_clocks_finish(struct conn_clocks *clocks);

/* The time, to some milliseconds. */
uint64_t conn_clock_now_ms(void);

/* For conn_clock_set(). */
void conn_clock_start(struct conn_clocks *clocks, struct conn_clock *clock,
                      enum conn_clock_kind kind);
void conn_clock_stop(struct conn_clocks *clocks, struct conn_clock *clock);

/* From now on the clock measures this kind; anew: starting now, even if it measured this kind
 * already. */
static inline void conn_clock_set(struct conn_clocks *clocks, struct conn_clock *clock,
                                  enum conn_clock_kind kind, bool anew)
{
    if (clocks->timeout_ms[kind] == 0)
        kind = CONN_CLOCK_OFF;
    if (kind == clock->kind && (!anew || kind == CONN_CLOCK_OFF))
        return;
    conn_clock_stop(clocks, clock);
    if (kind != CONN_CLOCK_OFF)
        conn_clock_start(clocks, clock, kind);
}

#endif
