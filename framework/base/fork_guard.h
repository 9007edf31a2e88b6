/* A child that a plugin forks must not keep our locks and listeners: it would
 * hold them after our death, and the next start would find them taken.
 *
 * A child that calls exec loses them anyway: all are close-on-exec. */
#ifndef FRAMEWORK_FORK_GUARD_H
#define FRAMEWORK_FORK_GUARD_H

/* [start] Once, before any plugin's code. 0, or -1 without memory. */
int fork_guard_install(void);

/* [start][loop] This descriptor is closed in a child; it no longer is. What is
 * above a million is not guarded. */
void fork_guard_add(int fd);
void fork_guard_remove(int fd);

/* [start][loop] Removes and closes it; -1 is legal. */
void fork_guard_close(int fd);

#endif
