/* The steps of a start that a keeper takes differently from a daemon without one, and how the
 * keeper handles its runner on the loop; see keeper/keeper.h. */
#ifndef FRAMEWORK_KEEPING_H
#define FRAMEWORK_KEEPING_H

#include "base/error.h"

struct daemon;

/* [start] */
void daemon_init_keeper(struct daemon *daemon);

/* [start][loop] Gives it what the configuration says of keepers. */
void daemon_configure_keeper(struct daemon *daemon);

/* [start] The step "runner", and its reversal. Starts the first runner, which could then serve. */
int daemon_start_runner(struct daemon *daemon, struct error *error);
void daemon_end_runner(struct daemon *daemon);

/* [start] Ends this process by the signal that ended its runner. */
_Noreturn void daemon_end_by_signal(int number);

#endif
