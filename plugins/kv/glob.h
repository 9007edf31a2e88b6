/* Patterns of KEYS, SCAN and CONFIG GET: * ? [a-c] [^x] and \. */
#ifndef KV_GLOB_H
#define KV_GLOB_H

#include <stdbool.h>
#include <stddef.h>

bool glob_match(const char *pattern, size_t pattern_size, const char *text, size_t text_size,
                bool ignores_case);

#endif
