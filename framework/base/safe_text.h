/* Printing text from others, to terminals too. */
#ifndef FRAMEWORK_SAFE_TEXT_H
#define FRAMEWORK_SAFE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Returns the size of the character that a text begins with, and whether it is a control character:
 * an ASCII one, or one of U+0080 to U+009F, in UTF-8 or as the byte of an older encoding. (U+009B
 * begins a terminal command just as ESC [ does.) text[0] is not the terminating zero.
 * Async-signal-safe. Always inline, for callers that no sanitizer may instrument. */
static inline __attribute__((always_inline)) size_t safe_text_character(const char *text,
                                                                        bool *ret_is_control)
{
    const unsigned char first = (unsigned char)text[0];
    size_t size = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;

    for (size_t i = 1; i < size; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            size = 1; /* not UTF-8 */
    /* Overlong forms, surrogates and numbers beyond U+10FFFF are not UTF-8 either. */
    if (size > 2 && ((first == 0xe0 && (unsigned char)text[1] < 0xa0) ||
                     (first == 0xed && (unsigned char)text[1] >= 0xa0) ||
                     (first == 0xf0 && (unsigned char)text[1] < 0x90) ||
                     (first == 0xf4 && (unsigned char)text[1] >= 0x90)))
        size = 1;
    if (size == 1)
        *ret_is_control = first < 0x20 || (first >= 0x7f && first < 0xa0);
    else
        *ret_is_control = first == 0xc2 && (unsigned char)text[1] < 0xa0;
    return size;
}

/* Replaces control characters by '?'. */
static inline void safe_text(char *text)
{
    while (*text) {
        bool is_control;
        const size_t size = safe_text_character(text, &is_control);

        for (size_t i = 0; is_control && i < size; i++)
            text[i] = '?';
        text += size;
    }
}

#endif
