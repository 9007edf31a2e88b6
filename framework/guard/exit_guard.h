/* A plugin that calls exit(): the line names the plugin and the caller, and the process ends
 * with 70 after it is cleaned up. */
#ifndef FRAMEWORK_EXIT_GUARD_H
#define FRAMEWORK_EXIT_GUARD_H

/* [start] From now on exit(), on whichever thread, prints a line, calls
 * cleanup on that thread, and ends the process with 70. A child that a plugin
 * has forked may exit as it likes. Call once. _exit() cannot be caught. */
void exit_guard_install(void (*cleanup)(void));

/* [start] The daemon is about to return from main(). */
void exit_guard_allow(void);

#endif
