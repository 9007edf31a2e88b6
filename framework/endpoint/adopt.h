/* Adopted listeners: sockets that a service manager bound for us and passes on as
 * LISTEN_FDS, with the services' names in LISTEN_FDNAMES. */
#ifndef FRAMEWORK_ADOPT_H
#define FRAMEWORK_ADOPT_H

#include "base/error.h"
#include "endpoint/endpoint.h"

struct adopted;

struct adoption {
    struct adopted *sockets;
    size_t count;
};

/* [start] Reads the variables and removes them from the environment. The count is 0
 * if there are none, or if they are meant for another process. */
int adoption_begin(struct adoption *adoption, struct error *error);

/* [start] The descriptor, now the caller's, of an inherited listener that has
 * this endpoint's address and, unless it is NULL, this name; -1 if there is
 * none. Try all services by their names first. */
int adoption_take(struct adoption *adoption, const struct rpd_endpoint *endpoint, const char *name);

/* [start] Checks that every listener has been taken. Otherwise reports the first that was not,
 * with 78. */
int adoption_end(const struct adoption *adoption, struct error *error);

/* A start that ends with this code cannot succeed the next time either: an operator has to change
 * something first. */
bool adoption_is_hopeless(int code);

/* [start] Accepts and closes the clients that wait at a listener. If clients were left in the
 * queue, the manager would start us again at once, until it gives up the socket. */
void adoption_turn_away(int listener_fd);

/* [start] The same for all listeners that were not taken. */
void adoption_turn_all_away(const struct adoption *adoption);

/* [start] The same for all inherited listeners, before adoption_begin(). */
void adoption_turn_away_early(void);

/* Closes the listeners that were not taken. */
void adoption_finish(struct adoption *adoption);

#endif
