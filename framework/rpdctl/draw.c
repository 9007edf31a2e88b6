/* Drawing. See rpdctl/draw.h. */
#include "rpdctl/draw.h"

#include <string.h>

const char *draw_bar(unsigned permille, unsigned width, char ret_text[DRAW_BAR_MAX])
{
    unsigned full;

    if (width > DRAW_BAR_MAX - 3)
        width = DRAW_BAR_MAX - 3;
    full = (permille < 1000 ? permille : 1000) * width / 1000;
    ret_text[0] = '[';
    memset(ret_text + 1, '#', full);
    memset(ret_text + 1 + full, '.', width - full);
    ret_text[1 + width] = ']';
    ret_text[2 + width] = '\0';
    return ret_text;
}

const char *draw_duration(uint64_t ms, char ret_text[DRAW_NUMBER_MAX])
{
    const unsigned long long s = ms / 1000, min = s / 60, h = min / 60, d = h / 24;

    if (d > 0)
        snprintf(ret_text, DRAW_NUMBER_MAX, "%llu d %02llu h", d, h % 24);
    else if (h > 0)
        snprintf(ret_text, DRAW_NUMBER_MAX, "%llu h %02llu min", h, min % 60);
    else if (min > 0)
        snprintf(ret_text, DRAW_NUMBER_MAX, "%llu min %02llu s", min, s % 60);
    else
        snprintf(ret_text, DRAW_NUMBER_MAX, "%llu s", s);
    return ret_text;
}

const char *draw_count(uint64_t count, char ret_text[DRAW_NUMBER_MAX])
{
    static const char prefixes[] = "kMGTPE";
    size_t at = 0;
    double value = (double)count / 1000;

    if (count < 1000) {
        snprintf(ret_text, DRAW_NUMBER_MAX, "%u", (unsigned)count);
        return ret_text;
    }
    /* What would be rounded to 1000 is one of the next. */
    for (; at < sizeof prefixes - 2 && value >= 999.5; at++)
        value /= 1000;
    snprintf(ret_text, DRAW_NUMBER_MAX, "%.*f %c",
             value < 9.995   ? 2
             : value < 99.95 ? 1
                             : 0,
             value, prefixes[at]);
    return ret_text;
}

/* How many bytes of a line take up so many columns: a place for each character. */
static size_t bytes_that_fit(const char *line, size_t size, unsigned columns)
{
    size_t at = 0;

    for (unsigned used = 0; at < size; at++) {
        if (((unsigned char)line[at] & 0xc0) == 0x80)
            continue; /* the rest of a character */
        if (used++ == columns)
            break;
    }
    return at;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;

    for (; *text; count++)
        text += strcspn(text, "\n"), text += *text == '\n';
    return count;
}

void draw_screen(const char *text, unsigned rows, unsigned columns, FILE *to)
{
    const size_t room = rows > 1 ? rows - 1 : 1;
    const size_t lines = count_lines(text);
    const size_t shown = lines <= room ? lines : room - 1;

    fputs("\x1b[H", to);
    for (size_t i = 0; i < shown; i++) {
        const size_t size = strcspn(text, "\n");

        fprintf(to, "%.*s\x1b[K\r\n", (int)bytes_that_fit(text, size, columns), text);
        text += size + (text[size] == '\n');
    }
    if (shown < lines)
        fprintf(to, "(%zu more)\x1b[K\r\n", lines - shown);
    fputs("\x1b[J", to);
}
