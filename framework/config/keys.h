/* The table of all configuration keys: one row a key. The check, the defaults,
 * --print-config and the JSON Schema are made from it. */
#ifndef FRAMEWORK_CONFIG_KEYS_H
#define FRAMEWORK_CONFIG_KEYS_H

#include "base/quantity.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What a value may be; some may be one of several. */
enum config_type {
    CONFIG_STRING = 1,
    CONFIG_INTEGER = 2,
    CONFIG_NUMBER = 4, /* with a fraction */
    CONFIG_BOOLEAN = 8,
    CONFIG_ARRAY = 16,
    CONFIG_OBJECT = 32
};

enum config_key_of { OF_ANY_ENDPOINT, OF_UNIX_PATH, OF_TCP };

/* The unit of an integer that may also be written with one: "64M", "1h30m". */
enum config_unit { UNIT_NONE, UNIT_BYTES, UNIT_SECONDS, UNIT_MILLISECONDS };

/* How a change of the value takes effect. */
enum config_effect {
    EFFECT_GENERATION, /* by a new generation of the process that runs the backends' code */
    EFFECT_LIVE,       /* at once, in the processes that run */
    EFFECT_RESTART     /* only by a restart */
};

struct config_key {
    const char *path; /* "services[].listen[].backlog"; "" is the document */
    unsigned types;   /* of enum config_type */
    bool required;
    enum config_key_of of;      /* only with such an endpoint beside it */
    enum config_unit unit;      /* of an integer */
    enum config_effect effect;  /* options: if the backend has on_options they are live */
    const char *preset;         /* the default as JSON text, or NULL */
    json_int_t min, max;        /* of an integer */
    size_t min_size;            /* of a string or array */
    const char *const *choices; /* NULL-terminated, in the order of their enum; or NULL */
    bool (*fits)(const char *); /* of a string; or NULL */
    const char *pattern;        /* the same for the schema */
    const char *expected;       /* the same in words */
    const char *meaning;
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* The row of this path; the table must have it. */
const struct config_key *config_key_at(const char *path);

/* The key's own name if its row is directly below that of the parent, else NULL.
 * "*" stands for keys that the user chooses. */
const char *config_key_name_below(const struct config_key *key, const struct config_key *parent);

/* The row of a member; NULL if it is unknown. */
const struct config_key *config_key_member(const struct config_key *parent, const char *name);

/* The row of an array's elements. */
const struct config_key *config_key_element(const struct config_key *array);

/* The default, as a new reference; NULL if the key has none. */
json_t *config_key_preset(const struct config_key *key);

/* Converts a text with a unit to an integer. False: it does not represent one. */
bool config_key_quantity(const struct config_key *key, const char *text, json_int_t *ret);
enum quantity_kind config_key_kind(const struct config_key *key);

/* "live", "generation" or "restart" */
const char *config_effect_word(enum config_effect effect);

/* Keys that start with "x-" belong to the user, and are ignored. */
bool config_key_is_users(const char *name);

/* The position of a string among the choices, which is the value of its enum. */
int config_key_choice(const struct config_key *key, const char *string);

bool config_name_is_valid(const char *name); /* of a service */
extern const char config_name_expected[];

/* Whether it is "unix:" with a path after it, not an abstract name. */
bool config_is_unix_path(const char *endpoint);

/* Whether a key has a meaning together with this endpoint. NULL: unknown. */
bool config_key_is_of(const struct config_key *key, const char *endpoint);

#endif
