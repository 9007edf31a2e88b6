/* Where something stands in a JSON document: $.services[0].listen[1]. A chain
 * of steps on the stack of the function that walks down; it owns nothing. */
#ifndef FRAMEWORK_JSON_PATH_H
#define FRAMEWORK_JSON_PATH_H

#include <stddef.h>

struct json_path {
    const struct json_path *up; /* NULL: the document itself, and no step */
    const char *key;            /* of a member; NULL: an element of an array */
    size_t index;               /* of an element */
};

enum { JSON_PATH_TEXT_MAX = 512 };

/* Keys that would be mistaken for syntax are quoted, long ones shortened.
 * Returns the buffer. */
const char *json_path_text(const struct json_path *path, char text[JSON_PATH_TEXT_MAX]);

/* A string of the user's as one can show it: quoted, control bytes escaped,
 * cut where it is longer than size allows. Returns the buffer. */
const char *json_quote(const char *string, char *text, size_t size);

#endif
