/* Numbers in the form that people read, and lines that fit a terminal. */
#ifndef FRAMEWORK_RPDCTL_DRAW_H
#define FRAMEWORK_RPDCTL_DRAW_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { DRAW_BAR_MAX = 48, DRAW_NUMBER_MAX = 32 };

/* "[#####.....]", with `width` places between the brackets; it is full only at 1000. */
const char *draw_bar(unsigned permille, unsigned width, char ret_text[DRAW_BAR_MAX]);

/* "12 s", "3 min 05 s", "2 h 03 min", "5 d 04 h". */
const char *draw_duration(uint64_t ms, char ret_text[DRAW_NUMBER_MAX]);

/* "950", "12.3 k", "4.56 M": at most three significant digits from 1000 on. */
const char *draw_count(uint64_t count, char ret_text[DRAW_NUMBER_MAX]);

/* Writes a text over what a terminal shows, from its first place on. Each line is cut to the
 * columns, and the rest of it is cleared; at most rows - 1 lines are written, and all below them is
 * cleared. */
void draw_screen(const char *text, unsigned rows, unsigned columns, FILE *to);

#endif
