/* Turns: whose connection is served next, and for how long.
 *
 * A connection for which there is something to do waits in one of three queues, much as
 * in fq_codel: used, if it has used up a slice and is not done; heavy, if its last slices
 * took long; light otherwise, and to begin with. A turn of the loop serves
 * them for at most CONN_TURN_US in all, and each for at most CONN_SLICE_US, the light ones for
 * CONN_LIGHT_SLICE_US. The light ones go first for half of the turn, then the heavy ones until
 * three quarters of it, then the used ones; nothing of the turn is left unused while any of
 * them waits. What is left goes on in the loop's next turn, after the loop has looked for others,
 * timers, signals and new clients. One that becomes ready while no other waits is served at once.
 *
 * That a slice took long may be the machine's fault, and makes no connection heavy if it happens
 * now and then. A round of all that have much to do takes many turns: one that asks for little must
 * not wait for it, neither behind the used ones nor behind those whose next batch has come.
 *
 * The clock is read when a turn begins; after two to four slices (what is cold in the
 * caches after a system call is dear); and as often as a callback asks whether its slice
 * is over, but for those questions between which neither much has happened nor the
 * kernel's tick, which costs next to nothing, has moved. All of it is [loop]. */
#ifndef FRAMEWORK_CONN_TURNS_H
#define FRAMEWORK_CONN_TURNS_H

#include "library/libevent.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum {
    CONN_TURN_US = 2000, /* of the loop's turn */
    CONN_SLICE_US = 250, /* of one connection */
    CONN_LIGHT_SLICE_US = 50
};

/* Of one connection; zeroed to begin with. */
struct conn_turn {
    TAILQ_ENTRY(conn_turn) link;
    enum conn_turn_place {
        CONN_TURN_NONE,
        CONN_TURN_LIGHT,
        CONN_TURN_HEAVY,
        CONN_TURN_USED,
        CONN_TURN_NOW
    } place;
    unsigned weight; /* of its last slices */
    bool goes_on;    /* its last slice was not the last of what it had to do */
};

enum conn_turn_end {
    CONN_TURN_DONE,   /* there is nothing to do */
    CONN_TURN_MORE,   /* there is more to do */
    CONN_TURN_YIELDS, /* likewise, and others go first, whatever is left of the slice */
    CONN_TURN_GONE    /* it is not looked at again */
};

typedef enum conn_turn_end (*conn_turn_serve_fn)(struct conn_turn *turn);

TAILQ_HEAD(conn_turn_list, conn_turn);

struct conn_turns {
    struct event run; /* serves those that wait, and ends the turn */
    conn_turn_serve_fn serve;
    struct conn_turn_list queues[CONN_TURN_NOW]; /* by the place of those in them */
    bool is_serving;
    bool is_in_turn, is_over, is_slice_over;
    unsigned slices, stride; /* since the clock was read; how many until it is read again */
    unsigned asked, slice_stride;
    unsigned slice_us;          /* how long this one may be */
    long tick;                  /* the kernel's, as last seen in this slice */
    uint64_t read_us, began_us; /* the clock, as last read; when the turn began */
    /* Of a slice, 0: not known, as no clock was read: when it began for its callback, and
     * when the slice before it ended. */
    uint64_t slice_began_us, entered_us;
};

void conn_turns_init(struct conn_turns *turns, struct event_base *base, conn_turn_serve_fn serve);
void conn_turns_finish(struct conn_turns *turns);

/* It will be served; nothing is changed if it waits already, or is served now. */
void conn_turn_add(struct conn_turns *turns, struct conn_turn *turn);

/* Likewise, and at once if it is its turn; it may be gone when this returns. Not from
 * within a callback of any connection. */
void conn_turn_take(struct conn_turns *turns, struct conn_turn *turn);

/* ... and others go first. */
void conn_turn_yield(struct conn_turns *turns, struct conn_turn *turn);

/* It goes; legal at any time. */
void conn_turn_remove(struct conn_turns *turns, struct conn_turn *turn);

/* Of the one that is served: whether its slice is used up. Once it is, it stays so. */
bool conn_turns_slice_is_over(struct conn_turns *turns);

#endif
