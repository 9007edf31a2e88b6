/* The daemon. Only this file knows the order of the steps. */
#ifndef FRAMEWORK_DAEMON_H
#define FRAMEWORK_DAEMON_H

#include "config/arguments.h"
#include "config/config.h"

/* [start] Runs what is configured until it is stopped. In the mode ARGUMENTS_TEST,
 * only checks it. Prints errors. Returns the exit code. started_us: when the process
 * began, on clock.h's clock. A reload changes the configuration. */
int daemon_run(const struct arguments *arguments, struct config *config, uint64_t started_us);

#endif
