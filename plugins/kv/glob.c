/* Patterns. See glob.h. As Redis has them, to the letter: what an unclosed bracket means, and
 * that an empty text matches nothing but an empty pattern. */
#include "glob.h"

#include <ctype.h>

struct glob {
    const char *at, *end; /* of the pattern */
    bool ignores_case;
};

static int fold(const struct glob *glob, char byte)
{
    return glob->ignores_case ? tolower((unsigned char)byte) : byte;
}

static bool in_range(const struct glob *glob, char from, char to, char byte)
{
    const int a = fold(glob, from), b = fold(glob, to), c = fold(glob, byte);

    return a <= b ? a <= c && c <= b : b <= c && c <= a;
}

/* Behind the '['. */
static bool match_set(struct glob *glob, char byte)
{
    const bool inverts = glob->at < glob->end && *glob->at == '^';
    bool found = false;

    glob->at += inverts;
    for (; glob->at < glob->end && *glob->at != ']'; glob->at++) {
        if (*glob->at == '\\' && glob->end - glob->at >= 2) {
            glob->at++;
            found |= *glob->at == byte;
        } else if (glob->end - glob->at >= 3 && glob->at[1] == '-') {
            found |= in_range(glob, glob->at[0], glob->at[2], byte);
            glob->at += 2;
        } else {
            found |= fold(glob, *glob->at) == fold(glob, byte);
        }
    }
    glob->at += glob->at < glob->end;
    return found != inverts;
}

/* What stands for one byte; glob->at is behind it then. */
static bool match_one(struct glob *glob, char byte)
{
    const char first = *glob->at++;

    if (first == '?')
        return true;
    if (first == '[')
        return match_set(glob, byte);
    if (first == '\\' && glob->at < glob->end)
        return fold(glob, *glob->at++) == fold(glob, byte);
    return fold(glob, first) == fold(glob, byte);
}

static void skip_stars(struct glob *glob)
{
    while (glob->at < glob->end && *glob->at == '*')
        glob->at++;
}

bool glob_match(const char *pattern, size_t pattern_size, const char *text, size_t text_size,
                bool ignores_case)
{
    struct glob glob = {pattern, pattern + pattern_size, ignores_case};
    const char *const end = text + text_size;
    const char *star = NULL, *tried = NULL; /* behind the last '*', and the text it is tried at */

    if (text_size == 0)
        return pattern_size == 0;
    while (text < end) {
        if (glob.at < glob.end && *glob.at == '*') {
            skip_stars(&glob);
            if (glob.at == glob.end)
                return true;
            star = glob.at;
            tried = text;
        } else if (glob.at < glob.end && match_one(&glob, *text)) {
            text++;
        } else if (star) {
            glob.at = star;
            text = ++tried;
        } else {
            return false;
        }
    }
    skip_stars(&glob);
    return glob.at == glob.end;
}
