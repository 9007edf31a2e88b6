/* The waiting room of one service, in the keeper. It accepts and holds clients while no runner
 * accepts, and passes them to the runner when the runner serves.
 *
 *   HOLDS ──the runner serves──► PASSES ──the room is empty──► the runner ACCEPTS
 *     ▲                             │                                │
 *     └──────── the runner ended, or drains by itself ───────────────┘
 *
 * The keeper passes the oldest clients first, some at a time, and the next ones when the runner has
 * admitted those before. Until then the keeper keeps its copy of each client, so that a runner that
 * crashes, or has no descriptor left, loses none. Clients that come during the passing take turns
 * with clients that came before. */
#ifndef FRAMEWORK_PASSING_H
#define FRAMEWORK_PASSING_H

#include "keeper/channel.h"
#include "keeper/runner.h"
#include "service/service.h"

/* How many clients are passed at a time: a client that comes meanwhile waits for no more than
 * these. */
enum { PASSING_BATCH = 16 };

enum passing_state { PASSING_HOLDS, PASSING_PASSES, PASSING_RUNNER_ACCEPTS, PASSING_CLOSED };

struct passing {
    struct rpd_service *service; /* its places, hold and acceptors are used */
    unsigned index;              /* of the service */
    enum passing_state state;
    struct runner *runner; /* NULL: none serves */
    /* Sent, and not all admitted: */
    struct hold_client sent[PASSING_BATCH];
    size_t sent_count;
    uint64_t admitted; /* by this runner, before those that were sent */
    struct event *again;
    unsigned pause_ms;         /* the runner had no descriptors */
    void (*broken)(void *arg); /* the runner cannot be reached */
    void (*emptied)(void *arg, struct passing *passing);
    void *arg;
};

/* [loop] 0, or -1 without memory. passing_finish() is legal in both cases. */
int passing_start(struct passing *passing, struct event_base *base, struct place_pool *pool);
void passing_finish(struct passing *passing);

/* [loop] No runner serves: accepts and holds. */
void passing_hold(struct passing *passing);

/* [loop] The runner serves: it gets the clients that wait, then the listeners. */
void passing_begin(struct passing *passing, struct runner *runner);

/* [loop] The runner has sent CHANNEL_TOOK; CHANNEL_ADMITTED. */
void passing_took(struct passing *passing, size_t count);
void passing_admitted(struct passing *passing);

/* [loop] The runner has ended, or accepts no more: the clients that it has not admitted wait
 * again. */
void passing_lost_runner(struct passing *passing);

/* [loop] A stop: the keeper still accepts the clients that are queued, and no others. Clients on
 * the way still arrive; if no runner serves, clients that wait are closed. */
void passing_drain(struct passing *passing);

/* [loop] No client waits, and none is on the way. */
bool passing_is_empty(const struct passing *passing);

#endif
