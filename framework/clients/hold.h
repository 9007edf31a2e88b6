/* The waiting room: clients that are connected, and may not be served yet.
 *
 * When it opens, clients are let in oldest first, without a stampede: a turn of
 * the loop admits as many as are done in a moment, and fewer when serving those
 * that are in already makes the loop late. Those that come meanwhile queue
 * apart, and are admitted turn by turn with the others: no client waits behind
 * ten thousand.
 *
 * A held client costs its descriptor and one small struct: nothing is read,
 * what it sends stays in the kernel. A client that leaves is dropped: one that
 * is gone (a reset, or on unix a full hang-up), or one that ends its input
 * without having sent anything. One that sent something and ended its input
 * is kept: it waits for its answer. */
#ifndef FRAMEWORK_HOLD_H
#define FRAMEWORK_HOLD_H

#include "clients/places.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct event;
struct event_base;
struct held;

/* [loop] take_fd: the client goes in. arg: what hold_add() was given. */
typedef void (*hold_admit_fn)(void *arg, int take_fd, const struct sockaddr *peer,
                              socklen_t peer_length);

TAILQ_HEAD(held_list, held);

struct hold {
    struct places *places;
    hold_admit_fn admit;
    struct event_base *base;
    struct event *turn;
    struct event *watch; /* NULL: no client was held yet, or will be any more */
    int watch_fd;        /* the held clients' own epoll set */
    size_t count;
    size_t left; /* so far: dropped because they had gone */
    bool open;
    struct held_list early, late; /* came before it opened, and after */
    bool is_lates_turn;
    unsigned batch; /* how many a turn admits */
    uint64_t turn_ended_us;
};

int hold_init(struct hold *hold, struct event_base *base, struct places *places,
              hold_admit_fn admit);

/* [loop] Holds a client; closes it where there is no memory, which is counted
 * and logged. */
void hold_add(struct hold *hold, int take_fd, const struct sockaddr *peer, socklen_t peer_length,
              void *arg);

/* [loop] From now on lets clients in. */
void hold_open(struct hold *hold);

/* [loop] No client will be held any more: lets all in if it is open, closes them
 * if it never was. */
void hold_drain(struct hold *hold);

/* [loop] Closes all that are held. */
void hold_finish(struct hold *hold);

#endif
