/* Scans accepted JSON text for places. See json_place.h. */
#include "config/json_place.h"

#include "library/libjansson.h"

#include <string.h>

void json_place_step(struct json_place *place)
{
    unsigned char byte = (unsigned char)*place->at++;

    if (byte == '\n') {
        place->line++;
        place->column = 1;
    } else if ((byte & 0xc0) != 0x80) {
        place->column++; /* the other bytes of a character do not count */
    }
}

static bool is_at(const struct json_place *place, const char *set)
{
    return place->at < place->end && *place->at != '\0' && strchr(set, *place->at);
}

static void skip_space(struct json_place *place)
{
    while (is_at(place, " \t\r\n"))
        json_place_step(place);
}

static void skip_string(struct json_place *place)
{
    json_place_step(place);
    while (place->at < place->end && *place->at != '"') {
        if (*place->at == '\\' && place->at + 1 < place->end)
            json_place_step(place);
        json_place_step(place);
    }
    if (place->at < place->end)
        json_place_step(place);
}

/* Counts brackets instead of recursing. */
static void skip_value(struct json_place *place)
{
    size_t depth = 0;

    do {
        skip_space(place);
        if (is_at(place, "\"")) {
            skip_string(place);
        } else if (is_at(place, "[{")) {
            depth++;
            json_place_step(place);
        } else if (is_at(place, "]}")) {
            if (depth == 0)
                return; /* behind the last value already */
            depth--;
            json_place_step(place);
        } else if (is_at(place, ",:")) {
            json_place_step(place);
        } else {
            while (place->at < place->end && !is_at(place, ",:]} \t\r\n"))
                json_place_step(place);
        }
    } while (depth > 0 && place->at < place->end);
}

void json_place_start(struct json_place *place, const char *text, size_t size)
{
    place->at = text;
    place->end = text + size;
    place->line = 1;
    place->column = 1;
    skip_space(place);
}

/* From a key over its colon to its value. */
static void skip_key(struct json_place *place)
{
    skip_string(place);
    skip_space(place);
    if (is_at(place, ":"))
        json_place_step(place);
    skip_space(place);
}

/* From behind a value to the next key or element. */
static bool skip_comma(struct json_place *place)
{
    skip_space(place);
    if (!is_at(place, ","))
        return false;
    json_place_step(place);
    skip_space(place);
    return true;
}

/* From a bracket to what stands behind it. False: the closing one. */
static bool enter(struct json_place *place)
{
    json_place_step(place);
    skip_space(place);
    return !is_at(place, "]}");
}

static bool has_escape(const char *from, const char *to)
{
    return memchr(from, '\\', (size_t)(to - from)) != NULL;
}

/* Whether the key in this text, quotes and escapes and all, is that one. */
static bool is_key(const char *from, const char *to, const char *key)
{
    size_t length = strlen(key);
    json_t *decoded;
    bool same;

    if (!has_escape(from, to))
        return (size_t)(to - from) == length + 2 && memcmp(from + 1, key, length) == 0;
    decoded = json_loadb(from, (size_t)(to - from), JSON_DECODE_ANY, NULL);
    same = decoded && strcmp(json_string_value(decoded), key) == 0;
    json_decref(decoded);
    return same;
}

bool json_place_member(const struct json_place *object, const char *key, struct json_place *ret_key,
                       struct json_place *ret_value)
{
    struct json_place place = *object;

    if (!is_at(&place, "{") || !enter(&place))
        return false;
    do {
        struct json_place start = place;

        skip_string(&place);
        if (is_key(start.at, place.at, key)) {
            *ret_key = start;
            *ret_value = start;
            skip_key(ret_value);
            return true;
        }
        place = start;
        skip_key(&place);
        skip_value(&place);
    } while (skip_comma(&place));
    return false;
}

/* In an object an item is a key and its value; there a colon follows a string. */
static void pass_key(struct json_place *place)
{
    struct json_place probe = *place;

    if (!is_at(place, "\""))
        return;
    skip_string(&probe);
    skip_space(&probe);
    if (is_at(&probe, ":"))
        skip_key(place);
}

bool json_place_first(struct json_place *place)
{
    if (!is_at(place, "[{") || !enter(place))
        return false;
    pass_key(place);
    return true;
}

bool json_place_next(struct json_place *place)
{
    skip_value(place);
    if (!skip_comma(place))
        return false;
    pass_key(place);
    return true;
}

static bool find_element(struct json_place *place, size_t index)
{
    struct json_place element = *place;

    if (!is_at(place, "[") || !json_place_first(&element))
        return false;
    for (size_t i = 0; i < index; i++)
        if (!json_place_next(&element))
            return false;
    *place = element;
    return true;
}

bool json_place_find(struct json_place *place, const char *text, size_t size,
                     const struct json_path *path, enum json_part part)
{
    struct json_place key;

    if (!path || !path->up) {
        json_place_start(place, text, size);
        return true;
    }
    if (!json_place_find(place, text, size, path->up, JSON_VALUE))
        return false;
    if (!path->key)
        return find_element(place, path->index);
    if (!json_place_member(place, path->key, &key, place))
        return false;
    if (part == JSON_KEY)
        *place = key;
    return true;
}
