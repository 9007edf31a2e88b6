/* The daemon's step "inspect", and its reversal: its services, and their plugins as files. */
#ifndef FRAMEWORK_INSPECTING_H
#define FRAMEWORK_INSPECTING_H

#include "base/error.h"

struct daemon;

/* [start] */
int daemon_inspect(struct daemon *daemon, struct error *error);

/* [start]; [loop] of a daemon that will never start (live.h): nothing else of this process is
 * changed. */
int daemon_inspect_services(struct daemon *daemon, struct error *error);
void daemon_forget_services(struct daemon *daemon);

#endif
