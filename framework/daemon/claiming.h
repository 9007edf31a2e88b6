/* The daemon's step "claim": the run-time directory is opened, endpoints are resolved, inherited
 * listeners are adopted, and all that is owned is locked: all or none. */
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
