/* The waiting room: clients that are connected, but may not be served yet.
 *
 * When it opens, clients are let in oldest first, without a stampede: a turn of the loop admits as
 * many as it can in a moment, and fewer when serving the clients admitted before makes the loop
 * late. Clients that come meanwhile queue separately, and are admitted in alternation with the
 * others: no client waits behind ten thousand.
 *
 * A held client costs its descriptor and one small struct: nothing is read, and what the client
 * sends stays in the kernel. A client that leaves is dropped: it is gone (a reset, or on unix a
 * full hang-up), or it ends its input without having sent anything. A client that sent something
 * and ended its input is kept: it waits for its answer. */
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
    hold_admit_fn admit, admit_passed;
    struct event_base *base;
    struct event *turn;
    struct event *watch; /* NULL: no client has been held yet, or none will be held any more */
    int watch_fd;        /* the held clients' own epoll set */
    size_t count;
    size_t left; /* so far: dropped because they had gone */
    bool open;
    bool divides;                 /* clients that come are late, though the hold is not open */
    struct held_list early, late; /* came before it opened, and after */
    bool is_lates_turn;
    unsigned batch; /* how many a turn admits */
    uint64_t turn_ended_us;
};

/* A client that was held. */
struct hold_client {
    int fd; /* it has its place */
    void *arg;
};

int hold_init(struct hold *hold, struct event_base *base, struct places *places,
              hold_admit_fn admit);

/* [loop] Holds a client; closes it if there is no memory, which is counted and logged. */
void hold_add(struct hold *hold, int take_fd, const struct sockaddr *peer, socklen_t peer_length,
              void *arg);

/* [loop] Takes in a client that was held elsewhere. The client is admitted in its turn, before
 * clients that came later, even if the hold is open. Until then this hold does not watch it: the
 * process that holds the client does. The client has no place. If there is no memory, it is
 * admitted at once. */
void hold_add_passed(struct hold *hold, int take_fd, const struct sockaddr *peer,
                     socklen_t peer_length, hold_admit_fn admit, void *arg);

/* [loop] The clients are taken out one by one, by hold_take_next(), oldest first; clients that come
 * from now on take turns with those before. hold_unite() reverses that: all clients count as having
 * come at one time. */
void hold_divide(struct hold *hold);
void hold_unite(struct hold *hold);

/* [loop] The next client becomes the caller's. False: none is held. */
bool hold_take_next(struct hold *hold, struct hold_client *ret);

/* [loop] Holds a client again that was taken, as the oldest. Closes it if there is no memory. */
void hold_put_back(struct hold *hold, const struct hold_client *client);

/* [loop] From now on lets clients in. */
void hold_open(struct hold *hold);

/* [loop] No client will be held any more: lets all in if the hold is open, closes them if it never
 * was. */
void hold_drain(struct hold *hold);

/* [loop] Closes all that are held. */
void hold_finish(struct hold *hold);

#endif
