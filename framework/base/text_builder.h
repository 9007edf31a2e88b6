/* Builds a line of text in a buffer of the caller's, for signal handlers and for error
 * descriptions: no malloc, no stdio, no locks. */
#ifndef FRAMEWORK_TEXT_BUILDER_H
#define FRAMEWORK_TEXT_BUILDER_H

#include <stddef.h>
#include <stdint.h>

/* Text under construction. used < size always. Text that does not fit is left out, and the result
 * ends in "...". used grows only after the bytes are in place. */
struct text_builder {
    char *bytes;
    size_t size;
    size_t used;
};

void text_init(struct text_builder *text, char *bytes, size_t size);
/* Appends at most 255 bytes of a string; control characters become '?'. Returns how many bytes it
 * took. */
size_t text_add(struct text_builder *text, const char *string);
void text_add_hex(struct text_builder *text, uint64_t value); /* 0x1f */
void text_add_decimal(struct text_builder *text, int64_t value);

#endif
