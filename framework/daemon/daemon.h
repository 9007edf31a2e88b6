/* The daemon: the only file that knows the order of things. */
#ifndef FRAMEWORK_DAEMON_H
#define FRAMEWORK_DAEMON_H

#include "config/arguments.h"
#include "config/config.h"

/* [start] Runs what is configured until it is stopped, or, in the mode
 * ARGUMENTS_TEST, only checks it. Prints what goes wrong. Returns the exit
 * code. started_us: when the process began, on clock.h's clock. */
int daemon_run(const struct arguments *arguments, const struct config *config, uint64_t started_us);

#endif
