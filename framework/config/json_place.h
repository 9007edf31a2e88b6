/* Line and column of something in a JSON text. jansson keeps no positions, so
 * the text is scanned again when one is wanted.
 *
 * The text must be one that jansson has accepted: what is checked there is
 * relied on here. */
#ifndef FRAMEWORK_JSON_PLACE_H
#define FRAMEWORK_JSON_PLACE_H

#include "config/json_path.h"

#include <stdbool.h>
#include <stddef.h>

/* A place in a text, at the first byte of a key or value. */
struct json_place {
    const char *at;
    const char *end;
    size_t line;   /* from 1 */
    size_t column; /* from 1, in characters */
};

/* One byte on. Every move goes through here, so that line and column are true. */
void json_place_step(struct json_place *place);

/* The document's value. */
void json_place_start(struct json_place *place, const char *text, size_t size);

/* A member of the object that the place is at. False: there is none, or no
 * object; then nothing is changed. */
bool json_place_member(const struct json_place *object, const char *key, struct json_place *ret_key,
                       struct json_place *ret_value);

/* From an array or object to the value of its first item, and from a value to
 * the next one's in the same array or object. A walk along a large array
 * costs one scan in all. False: there is none; the place is of no use then. */
bool json_place_first(struct json_place *place);
bool json_place_next(struct json_place *place);

enum json_part { JSON_KEY, JSON_VALUE };

/* What the path leads to; a document and an element have no key, so their
 * value is meant. False if it leads nowhere: then the place is the last value
 * on the way. */
bool json_place_find(struct json_place *place, const char *text, size_t size,
                     const struct json_path *path, enum json_part part);

#endif
