/* Sizes and durations as people write them: "64M", "1h30m", "250ms". */
#ifndef FRAMEWORK_QUANTITY_H
#define FRAMEWORK_QUANTITY_H

#include "base/nearest.h"

#include <stdbool.h>
#include <stdint.h>

enum quantity_kind { QUANTITY_BYTES, QUANTITY_TIME };

/* Sizes, in bytes: a number and B, K, M, G or T (or KiB and so on), with powers of 1024. Durations,
 * in microseconds: numbers and us, ms, s, m, h, d or w, the largest unit first. A number may have
 * up to six decimals, but the result is whole. False: not a quantity, or too large. */
bool quantity_read(enum quantity_kind kind, const char *text, int64_t *ret);

/* The text that people would write: "64M", "1h30m"; 0 gives "0". Returns the text. */
enum { QUANTITY_TEXT_MAX = 64 };
const char *quantity_text(enum quantity_kind kind, int64_t value, char text[QUANTITY_TEXT_MAX]);

/* The format as a regular expression, for the schema, and in words. */
const char *quantity_pattern(enum quantity_kind kind);
const char *quantity_expected(enum quantity_kind kind);

/* A hint for the first unknown unit: "; did you mean \"M\"?", or "" if no unit is near. */
const char *quantity_hint(enum quantity_kind kind, const char *text, char hint[NEAREST_HINT_MAX]);

#endif
