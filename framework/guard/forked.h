/* A child that a plugin forks, and that comes back from the callback instead of calling exec or
 * _exit(): it would be a second daemon. It ends (70) as soon as it is back, and until then it can
 * send nothing to clients, since its thread is no longer the loop's (loop_only.h). One is
 * named in the life of the daemon.
 *
 * A child made by vfork() or a raw clone() is not noticed. */
#ifndef FRAMEWORK_FORKED_H
#define FRAMEWORK_FORKED_H

#include <stdbool.h>

/* [start] Once, before any plugin's code. 0, or -1 without memory. */
int forked_install(void);

/* [loop] What such a child calls that the loop's thread has forked: its way out of the loop, for
 * a callback of which rpd has no return (an event that a plugin added to the base itself).
 * NULL: nothing. */
void forked_leaves_loop(void (*leave)(void *loop), void *loop);

/* [any] This is such a child: ends it. */
void forked_end_child(void);

#endif
