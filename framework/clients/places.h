/* Places: how many clients may be here at a time, and which may be among them.
 *
 * A client has a place from its accept until its descriptor is closed, whatever holds the client
 * meanwhile: the waiting room, a connection, a backend that took it by rpd_accept(), or the
 * lingering end. All services of the process share one pool, as large as the descriptors allow; a
 * service may have a limit of its own (limits.clients), and one for each peer
 * (limits.clients_per_peer). While there is no place, no client is accepted: clients wait in the
 * kernel's queue, and acceptors are called back as soon as there is a place. All of it is
 * [loop]. */
#ifndef FRAMEWORK_PLACES_H
#define FRAMEWORK_PLACES_H

#include "clients/log_rate.h"
#include "clients/peers.h"
#include "config/config.h"

#include <rpd/base.h>

#include <stdint.h>
#include <sys/queue.h>

struct place;

/* The process's. */
struct place_pool {
    size_t limit, taken;
    struct place *by_fd;
    size_t room;               /* of by_fd */
    uint64_t last_id, id_step; /* of clients */
    TAILQ_HEAD(place_waiters, place_waiter) waiters;
    struct log_state full;
};

/* One service's. */
struct places {
    struct place_pool *pool;
    const struct config_limits *limits;
    size_t taken;
    size_t given;               /* of those: to the backend, by rpd_accept() */
    uint64_t accepted, refused; /* so far */
    struct peers peers;
    struct log_state full;
    uint64_t short_of_memory; /* clients that were closed because there was none for them */
    struct log_count refusals, strangers, unreported, shortages;
};

/* An acceptor that waits for a place. */
struct place_waiter {
    struct places *places;
    void (*go_on)(void *arg); /* there is a place, or was a moment ago */
    void *arg;
    bool is_listed;
    struct log_state *full; /* what it waits for; NULL when it does not */
    TAILQ_ENTRY(place_waiter) link;
};

/* There are as many places as the limit of descriptors leaves, without the descriptors in use now
 * and a reserve for what is not a client. */
void place_pool_init(struct place_pool *pool, struct event_base *base);
void place_pool_finish(struct place_pool *pool);

void places_init(struct places *places, struct place_pool *pool, struct event_base *base,
                 const struct config_limits *limits, const char *service_name);

/* [loop] Other limits hold for clients that come from now on. */
void places_change_limits(struct places *places, struct event_base *base,
                          const struct config_limits *limits, const char *service_name);

/* All clients must have left, except those that a backend did not give back. */
void places_finish(struct places *places);

bool places_are_free(const struct places *places);

/* Clients are queued, and there is no place: calls go_on as soon as there is one. */
void places_wait(struct place_waiter *waiter);

/* No client is queued any more. Legal even if none was. */
void places_wait_over(struct place_waiter *waiter);

/* Takes a place for a client, beyond the number of places if need be. A client
 * that may not come in is closed: -1. */
int places_take(struct places *places, int take_fd, const struct sockaddr *address,
                socklen_t length);

/* The peer whose client this is; NULL if peers are not distinguished. */
struct peer *places_peer(const struct places *places, int fd);

/* Closes a client's descriptor and gives its place back. */
void places_close(struct places *places, int take_fd);

/* Likewise, because there is no memory for what the client needs; this is counted and logged. */
void places_close_for_memory(struct places *places, int take_fd);

/* Counts a client that its holder closes for want of memory. */
void places_count_shortage(struct places *places);

/* From now on the descriptor belongs to the backend, which reports when it has closed it. False,
 * and logged: the backend has no such client. */
void places_give(struct places *places, int fd);
bool places_take_back(struct places *places, int fd);

/* One that has a place. */
struct place_view {
    int fd;      /* -1: before the first */
    uint64_t id; /* counted by the process, from 1 */
    uint64_t since_us;
    bool is_given;
};

/* The next of this service's by its descriptor; false: there is none. */
bool places_next(const struct places *places, struct place_view *view);

/* No descriptor of a client is as high. */
size_t places_room(const struct places *places);

#endif
