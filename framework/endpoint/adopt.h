/* Adopted listeners: sockets that a service manager bound for us and passes on
 * as LISTEN_FDS (and LISTEN_FDNAMES, the services' names). */
#ifndef FRAMEWORK_ADOPT_H
#define FRAMEWORK_ADOPT_H

#include "base/error.h"
#include "endpoint/endpoint.h"

struct adopted;

struct adoption {
    struct adopted *sockets;
    size_t count;
};

/* [start] Reads the variables and takes them out of the environment. None, or
 * meant for another process: count 0. */
int adoption_begin(struct adoption *adoption, struct error *error);

/* [start] The descriptor, now the caller's, of an inherited listener that has
 * this endpoint's address and, unless it is NULL, this name; -1 if there is
 * none. All services are asked by their names first. */
int adoption_take(struct adoption *adoption, const struct rpd_endpoint *endpoint, const char *name);

/* [start] Every one has been taken; or the first that was not, and 78. */
int adoption_end(const struct adoption *adoption, struct error *error);

/* A start that ends with this code cannot succeed the next time either: an operator has to change
 * something first. */
bool adoption_is_hopeless(int code);

/* [start] Accepts and closes the clients that wait at a listener. Clients that are left in the
 * queue would have the manager start us again at once, until it gives the socket up. */
void adoption_turn_away(int listener_fd);

/* [start] The same with all that was not taken. */
void adoption_turn_all_away(const struct adoption *adoption);

/* [start] The same before adoption_begin(), with all that is inherited. */
void adoption_turn_away_early(void);

/* Closes what was not taken. */
void adoption_finish(struct adoption *adoption);

#endif
