/* The daemon's step "claim". It opens the run-time directory, resolves endpoints, adopts inherited
 * listeners, and locks everything that the daemon owns: all of it or nothing. */
#ifndef FRAMEWORK_CLAIMING_H
#define FRAMEWORK_CLAIMING_H

#include "base/error.h"

struct daemon;

/* [start] The endpoints of all services, as their configuration names them. */
int daemon_resolve(struct daemon *daemon, struct error *error);

/* [start] */
int daemon_claim(struct daemon *daemon, struct error *error);
void daemon_unclaim(struct daemon *daemon);

#endif
