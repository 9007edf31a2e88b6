/* Writing lines to stderr without ever waiting for its reader: a pipe that
 * nobody reads must stop neither the loop nor the end of the process. */
#ifndef FRAMEWORK_OUTPUT_H
#define FRAMEWORK_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

enum { OUTPUT_LINE_MAX = 4096 }; /* what a pipe takes whole or not at all */

/* [start] Before other threads write. Until then it may wait if somebody else
 * fills the pipe at the very same moment. */
void output_open(void);

/* [any], async-signal-safe. A whole line, or false: there was no room. */
bool output_write(const char *line, size_t size);

#endif
