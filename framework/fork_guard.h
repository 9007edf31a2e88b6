/* A child that a plugin forks must not keep our locks and listeners: it would
 * hold them after our death, and the next start would find them taken.
 *
 * (A child that calls exec loses them anyway: all are close-on-exec.) */
#ifndef FRAMEWORK_FORK_GUARD_H
#define FRAMEWORK_FORK_GUARD_H

#include <stdbool.h>

/* [start] Once, before any plugin's code. 0, or -1 without memory. A child that returns from
 * the callback that forked it ends there (70), and is named: once in the life of the daemon,
 * whichever child it is. It would be a second daemon otherwise. */
int fork_guard_install(void);

/* [start][loop] This descriptor is closed in a child; it no longer is. What does
 * not fit the table (4096) is not guarded. */
void fork_guard_add(int fd);
void fork_guard_remove(int fd);

/* [start][loop] Removes and closes it; -1 is legal. */
void fork_guard_close(int fd);

/* [loop] What a child calls that this thread forks: its way out of the loop, for a callback
 * of which rpd has no return (an event that a plugin added to the base itself). */
void fork_guard_leave_loop(void (*leave)(void *loop), void *loop);

/* [any] This is such a child. */
bool fork_guard_is_child(void);

#endif
