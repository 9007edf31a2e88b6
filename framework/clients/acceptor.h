/* Accepting: one listener's clients, on the loop.
 *
 * A turn accepts a bounded number, so that a burst does not starve the
 * connections that are there already. Where there is no place (places.h) it waits
 * until there is one. Without descriptors or memory, or where accept() fails again
 * and again, it pauses for 10, 100, then 1000 ms: libevent's own listener would spin. */
#ifndef FRAMEWORK_ACCEPTOR_H
#define FRAMEWORK_ACCEPTOR_H

#include "clients/accept_client.h"
#include "clients/log_rate.h"
#include "clients/places.h"
#include "library/libevent.h"

#include <rpd/base.h>

/* [loop] take_fd: connected, non-blocking, close-on-exec; it has a place, and is
 * closed by places_close(). */
typedef void (*acceptor_client_fn)(void *arg, int take_fd, const struct sockaddr *peer,
                                   socklen_t peer_length);

struct acceptor {
    struct places *places; /* set by the owner before the start */
    struct event readable;
    struct event resume;
    const char *subject; /* for the log: the service's name */
    bool started;
    bool same_user_only; /* an abstract name has no mode that would keep others out */
    struct accept_errors errors;
    unsigned pause_ms;
    uint64_t pauses; /* so far */
    struct log_state paused;
    struct place_waiter waiter;
    acceptor_client_fn client;
    void *arg;
};

/* subject stays the caller's. From now on acceptor_take_queued() is legal. */
void acceptor_init(struct acceptor *acceptor, const char *subject, bool same_user_only,
                   acceptor_client_fn client, void *arg);

/* fd stays the caller's. 0, or -1 without memory. */
int acceptor_start(struct acceptor *acceptor, struct event_base *base, int fd);

/* Accepts, whether there are places or not, the clients queued at fd: the last act
 * of a listener that has been withdrawn or replaced. */
void acceptor_take_queued(struct acceptor *acceptor, int fd);

/* Goes on with another descriptor. */
int acceptor_switch(struct acceptor *acceptor, int fd);

void acceptor_stop(struct acceptor *acceptor);

#endif
