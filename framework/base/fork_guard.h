/* A child that a plugin forks must not keep our locks and listeners: it would still hold them after
 * the daemon ends, and the next start would find them taken.
 *
 * A child that calls exec loses them in any case: all are close-on-exec. */
#ifndef FRAMEWORK_FORK_GUARD_H
#define FRAMEWORK_FORK_GUARD_H

/* [start] Called once, before any plugin's code runs. Returns 0, or -1 if out of memory. */
int fork_guard_install(void);

/* [start][loop] From now on a child closes this descriptor; or no longer closes it. Descriptors
 * above a million are not guarded. */
void fork_guard_add(int fd);
void fork_guard_remove(int fd);

/* [start][loop] Removes a descriptor from the guard and closes it. -1 is allowed. */
void fork_guard_close(int fd);

#endif
