/* The steps of a start that a keeper takes in another way than a daemon without one, and what it
 * does with its runner on the loop (keeper/keeper.h). */
#ifndef FRAMEWORK_KEEPING_H
#define FRAMEWORK_KEEPING_H

#include "base/error.h"

struct daemon;

/* [start] */
void daemon_init_keeper(struct daemon *daemon);

/* [start] The step "runner": the first one is started, and could serve; and its undoing. */
int daemon_start_runner(struct daemon *daemon, struct error *error);
void daemon_end_runner(struct daemon *daemon);

/* [start] Dies of that signal, as its runner has. */
_Noreturn void daemon_end_by_signal(int number);

#endif
