/* Sizes and durations as people write them: "64M", "1h30m", "250ms". */
#ifndef FRAMEWORK_QUANTITY_H
#define FRAMEWORK_QUANTITY_H

#include "base/nearest.h"

#include <stdbool.h>
#include <stdint.h>

enum quantity_kind { QUANTITY_BYTES, QUANTITY_TIME };

/* Bytes: a number and B, K, M, G or T (KiB and so on, too), of 1024.
 * Time, in microseconds: numbers and us, ms, s, m, h, d or w, the largest unit first.
 * A number may have up to six decimals; what comes out is whole. False: it is none, or too large.
 */
bool quantity_read(enum quantity_kind kind, const char *text, int64_t *ret);

/* As people would write it: "64M", "1h30m"; 0: "0". Returns the text. */
enum { QUANTITY_TEXT_MAX = 64 };
const char *quantity_text(enum quantity_kind kind, int64_t value, char text[QUANTITY_TEXT_MAX]);

/* The same as a regular expression, for the schema, and in words. */
const char *quantity_pattern(enum quantity_kind kind);
const char *quantity_expected(enum quantity_kind kind);

/* The first unit in it that is none, if there is a nearest one: "; did you mean \"M\"?", or "". */
const char *quantity_hint(enum quantity_kind kind, const char *text, char hint[NEAREST_HINT_MAX]);

#endif
