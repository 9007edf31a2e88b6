/* The waiting room: clients that are connected, and may not be served yet.
 *
 * A held client costs its descriptor and one small struct: nothing is read,
 * what it sends stays in the kernel. A client that leaves is dropped: one that
 * is gone (a reset, or on unix a full hang-up), or one that ends its input
 * without having sent anything. One that sent something and ended its input
 * is kept: it waits for its answer. */
#ifndef FRAMEWORK_HOLD_H
#define FRAMEWORK_HOLD_H

#include "places.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct event;
struct event_base;
struct held;

/* [loop] take_fd: the client goes in. arg: what it was held with. */
typedef void (*hold_admit_fn)(void *arg, int take_fd, const struct sockaddr *peer,
                              socklen_t peer_length);

struct hold {
    struct places *places;
    struct event_base *base;
    struct event *turn;
    size_t count;
    bool open;
    TAILQ_HEAD(held_list, held) clients;
};

int hold_init(struct hold *hold, struct event_base *base, struct places *places);

/* [loop] Holds a client; closes it where there is no memory. */
void hold_add(struct hold *hold, int take_fd, const struct sockaddr *peer, socklen_t peer_length,
              hold_admit_fn admit, void *arg);

/* [loop] From now on lets clients in, oldest first, a number each turn so that
 * the loop does other work in between. Those who come while somebody is still
 * held wait behind them. */
void hold_open(struct hold *hold);

/* [loop] Nobody will be held any more: lets all in if it is open, closes them
 * if it never was. */
void hold_drain(struct hold *hold);

/* [loop] Closes all who are held. */
void hold_finish(struct hold *hold);

#endif
