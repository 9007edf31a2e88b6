/* Line and column of an item in a JSON text. jansson keeps no positions, so the text
 * is scanned again when one is needed.
 *
 * jansson must have accepted the text, because the functions here rely on its
 * checks. */
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

/* Advances by one byte. All moves use this function, so that line and column are correct. */
void json_place_step(struct json_place *place);

/* The document's value. */
void json_place_start(struct json_place *place, const char *text, size_t size);

/* Moves to a member of the object that the place is at. Returns false, and changes
 * nothing, if there is no such member or no object. */
bool json_place_member(const struct json_place *object, const char *key, struct json_place *ret_key,
                       struct json_place *ret_value);

/* Move from an array or object to the value of its first item, and from a value to
 * that of the next item in the same array or object. A walk along a large array
 * costs one scan in total. False: there is none; the place is then unusable. */
bool json_place_first(struct json_place *place);
bool json_place_next(struct json_place *place);

enum json_part { JSON_KEY, JSON_VALUE };

/* Moves to the target of the path. A document and an element have no key, so their
 * value is the target. False if there is no target: the place is then the last value
 * on the path. */
bool json_place_find(struct json_place *place, const char *text, size_t size,
                     const struct json_path *path, enum json_part part);

#endif
