/* Handlers of faults that came with a plugin: those that its constructors installed,
 * before rpd put its own back (surroundings.h).
 *
 * A language's runtime makes an error of the language of a fault in its own code (Go
 * recovers from a nil pointer so). Such a handler still gets the faults in the code of
 * its own object, and no others, before they are a crash. If it gives up, by raising the
 * signal anew or by setting its default, the crash is reported as ever. */
#ifndef FRAMEWORK_CRASH_CHAIN_H
#define FRAMEWORK_CRASH_CHAIN_H

#include <signal.h>
#include <stdbool.h>

/* [start] Whether it is one of those: a handler, of a fault, and there is room. */
bool crash_chain_add(int number, const struct sigaction *theirs);

/* [any], async-signal-safe. Whether the fault was theirs, and has been dealt with: then
 * the handler returns. */
bool crash_chain_take(int number, siginfo_t *info, void *context);

#endif
