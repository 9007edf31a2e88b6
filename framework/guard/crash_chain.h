/* Fault handlers of a plugin: the handlers that its constructors installed before rpd
 * restored its own (surroundings.h).
 *
 * A language's runtime turns a fault in its own code into an error of the language. For
 * example, Go recovers from a nil pointer in this way. Such a handler still receives the
 * faults in the code of its own object, and no others, before they count as a crash. If it
 * gives up, by raising the signal again or by setting its default, the crash is reported
 * as usual. */
#ifndef FRAMEWORK_CRASH_CHAIN_H
#define FRAMEWORK_CRASH_CHAIN_H

#include <signal.h>
#include <stdbool.h>

/* [start] Whether it was added: it is a handler, for a fault, and there is room. */
bool crash_chain_add(int number, const struct sigaction *theirs);

/* [any], async-signal-safe. Whether one of them has handled the fault. Then our handler
 * returns. */
bool crash_chain_take(int number, siginfo_t *info, void *context);

#endif
