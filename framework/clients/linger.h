/* Closing without cutting the last answer off.
 *
 * close() on a socket whose input has not all been read resets the connection,
 * and the reset may overtake the bytes that were just sent. So the sending side
 * is closed first, and what the client still sends is thrown away until it
 * closes too, for at most two seconds. A client that lingers keeps its place
 * (places.h). There is a bound to their number: a client beyond it is closed at
 * once, as far as that is possible without a reset. */
#ifndef FRAMEWORK_LINGER_H
#define FRAMEWORK_LINGER_H

#include "clients/places.h"

#include <sys/queue.h>

struct event_base;
struct lingerer;

/* Everybody that lingers on one loop; zeroed to begin with. */
struct linger_list {
    LIST_HEAD(lingerers, lingerer) lingerers;
    size_t count;
};

/* [loop] */
void linger_close(struct linger_list *list, struct event_base *base, struct places *places,
                  int take_fd);

/* [loop] For a client that is owed nothing: an end of file now. What it had sent
 * is thrown away first, as it would turn the end into a reset. */
void linger_close_now(struct places *places, int take_fd);

/* [loop] Closes all at once. */
void linger_finish(struct linger_list *list);

#endif
