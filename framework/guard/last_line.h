/* The last line of a process that ends against rpd's will, a crash or an exit() of a
 * plugin's: what such lines have in common. All of it is async-signal-safe. */
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

/* [any] To stderr, by one write(2), if that takes it; text->used is then the newline's. */
void last_line_write(struct text_builder *text);

#endif
