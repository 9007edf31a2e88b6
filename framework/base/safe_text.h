/* Text of others, that is printed: to terminals, too. */
#ifndef FRAMEWORK_SAFE_TEXT_H
#define FRAMEWORK_SAFE_TEXT_H

/* Control bytes become '?'. */
static inline void safe_text(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

#endif
