/* Finds the known name nearest to a mistyped one, for "did you mean". */
#ifndef FRAMEWORK_NEAREST_H
#define FRAMEWORK_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *wanted; /* what the user wrote */
    const char *best;   /* NULL: no name is near enough */
    size_t distance;    /* of best; a name at this distance or more is not near */
};

void nearest_start(struct nearest *nearest, const char *wanted);
void nearest_try(struct nearest *nearest, const char *known);

enum { NEAREST_HINT_MAX = 96 };

/* "; did you mean \"NAME\"?", or "" if no name is near. Returns the buffer. */
const char *nearest_hint(const struct nearest *nearest, char hint[NEAREST_HINT_MAX]);

#endif
