/* The last line of a process that a crash or a plugin's exit() ends unexpectedly: the parts
 * that such lines have in common. Everything here is async-signal-safe. */
#ifndef FRAMEWORK_LAST_LINE_H
#define FRAMEWORK_LAST_LINE_H

#include "base/text_builder.h"

#include <stdint.h>

enum { LAST_LINE_MAX = 4096 /* PIPE_BUF: one write of it is never torn */ };

/* [start][loop] Where the process is, as a literal: "code", "serve". */
void last_line_set_step(const char *literal);

/* [any] ", step serve, service echo (plugin /p/echo.so), thread loop", of the calling
 * thread. blamed: where the code is. */
void last_line_add_context(struct text_builder *text, uintptr_t blamed);

/* [any] Writes to stderr, by one write(2) if it accepts the whole line. Afterwards, text->used is
 * the position of the newline. */
void last_line_write(struct text_builder *text);

#endif
