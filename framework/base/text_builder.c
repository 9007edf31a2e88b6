/* Text under construction. See text_builder.h. */
#include "base/text_builder.h"

#include "base/safe_text.h"

enum { MAX_STRING = 255 };

void text_init(struct text_builder *text, char *bytes, size_t size)
{
    text->bytes = bytes;
    text->size = size;
    text->used = 0;
    bytes[0] = 0;
}

static void add_byte(struct text_builder *text, char byte)
{
    if (text->used + 1 >= text->size) {
        for (size_t i = 2; i <= 4 && i <= text->size; i++)
            text->bytes[text->size - i] = '.';
        return;
    }
    text->bytes[text->used] = byte;
    text->bytes[text->used + 1] = 0;
    text->used++;
}

/* The sanitizers would object to reads outside our own objects. */
__attribute__((no_sanitize("address", "thread", "alignment"))) size_t
text_add(struct text_builder *text, const char *string)
{
    size_t used = 0;

    while (string[used]) {
        bool is_control;
        const size_t size = safe_text_character(string + used, &is_control);

        if (used + size > MAX_STRING)
            break;
        for (size_t i = 0; i < size; i++)
            add_byte(text, is_control ? '?' : string[used + i]);
        used += size;
    }
    return used;
}

void text_add_hex(struct text_builder *text, uint64_t value)
{
    int shift = 60;

    while (shift > 0 && !(value >> shift))
        shift -= 4;
    text_add(text, "0x");
    for (; shift >= 0; shift -= 4)
        add_byte(text, "0123456789abcdef"[value >> shift & 15]);
}

void text_add_decimal(struct text_builder *text, int64_t value)
{
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[24];
    size_t at = sizeof digits - 1;

    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        digits[--at] = '-';
    text_add(text, digits + at);
}
