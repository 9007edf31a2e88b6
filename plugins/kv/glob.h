/* Patterns of KEYS, SCAN and CONFIG GET: * ? [a-c] [^x] and \.
 *
 * A pattern is compiled once and then tried on many texts. What stands between two stars is
 * searched for from left to right, and nothing is tried twice: a match takes time linear in the
 * text, but for a piece with ? or [] in its middle, which takes that for each 64 bytes of it. */
#ifndef KV_GLOB_H
#define KV_GLOB_H

#include <stdbool.h>
#include <stddef.h>

enum {
    GLOB_PATTERN_MAX = 1024 * 1024,
    GLOB_PIECE_MAX = 16 * 1024 /* of a piece with ? or [] in its middle */
};

enum glob_result { GLOB_NO, GLOB_MATCH, GLOB_LATER /* to be called again */ };

struct glob;

/* NULL: it is too long, or there is no memory. It keeps nothing of pattern. */
struct glob *glob_compile(const char *pattern, size_t size, bool ignores_case);

/* Whether there is a pattern that long. */
bool glob_is_too_long(size_t size);

/* One text, from its beginning, or after GLOB_LATER where it was: at most some 100 us at a time. */
enum glob_result glob_try(struct glob *glob, const char *text, size_t size);

void glob_free(struct glob *glob);

/* All at once. */
bool glob_match(const char *pattern, size_t pattern_size, const char *text, size_t text_size,
                bool ignores_case);

#endif
