/* Handles a child that a plugin forks and that returns from the callback instead of calling exec
 * or _exit(). It would be a second daemon. The child ends with 70 as soon as it returns. Until
 * then it cannot send anything to clients, because its thread is no longer the loop's
 * (loop_only.h). Only one such child is reported during the life of the daemon.
 *
 * A child made by vfork() or a raw clone() is not noticed. */
#ifndef FRAMEWORK_FORKED_H
#define FRAMEWORK_FORKED_H

#include <stdbool.h>

/* [start] Call once, before any plugin's code runs. 0, or -1 without memory. */
int forked_install(void);

/* [loop] Sets the function that such a child calls if the loop's thread has forked it. It leaves
 * the loop after a callback whose return rpd does not see, such as an event that a plugin added
 * to the base itself. NULL: none. */
void forked_leaves_loop(void (*leave)(void *loop), void *loop);

/* [any] This is such a child: ends it. */
void forked_end_child(void);

#endif
