/* Walks the tree and the table of keys side by side. See config/check.h. */
#include "config/check.h"

#include "base/nearest.h"
#include "config/keys.h"
#include "library/libjansson.h"

#include <stdio.h>
#include <string.h>

struct check {
    const struct config_file *file;
    struct error_list *errors;
};

enum { EXPECTED_MAX = 256, FOUND_MAX = 80 };

static enum config_type type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING: return CONFIG_STRING;
    case JSON_INTEGER: return CONFIG_INTEGER;
    case JSON_REAL: return CONFIG_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE: return CONFIG_BOOLEAN;
    case JSON_ARRAY: return CONFIG_ARRAY;
    case JSON_OBJECT: return CONFIG_OBJECT;
    case JSON_NULL: break;
    }
    return 0;
}

static const char *type_name(enum config_type type)
{
    switch (type) {
    case CONFIG_STRING: return "a string";
    case CONFIG_INTEGER: return "an integer";
    case CONFIG_NUMBER: return "a number";
    case CONFIG_BOOLEAN: return "true or false";
    case CONFIG_ARRAY: return "an array";
    case CONFIG_OBJECT: return "an object";
    }
    return "null";
}

/* "a, b or c" out of pieces that come one by one. */
static void add_word(char *text, const char *word, bool first, bool last)
{
    size_t used = strlen(text);

    snprintf(text + used, EXPECTED_MAX - used, "%s%s", first ? "" : last ? " or " : ", ", word);
}

static void list_choices(const char *const *choices, char *text)
{
    for (size_t i = 0; choices[i]; i++) {
        char quoted[FOUND_MAX];

        json_quote(choices[i], quoted, sizeof quoted);
        add_word(text, quoted, i == 0, !choices[i + 1]);
    }
}

static void list_types(unsigned types, char *text)
{
    unsigned left = types;

    for (unsigned type = CONFIG_STRING; type <= CONFIG_OBJECT; type <<= 1) {
        if (!(types & type))
            continue;
        left &= ~type;
        add_word(text, type_name((enum config_type)type), text[0] == '\0', !left);
    }
}

/* What the row allows, in words. */
static const char *expected(const struct config_key *key, char text[EXPECTED_MAX])
{
    text[0] = '\0';
    if (key->choices)
        list_choices(key->choices, text);
    else if (key->expected)
        snprintf(text, EXPECTED_MAX, "%s", key->expected);
    else if (key->types == CONFIG_INTEGER)
        snprintf(text, EXPECTED_MAX,
                 "an integer from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT "%s%s",
                 key->min, key->max, key->unit == UNIT_NONE ? "" : ", or ",
                 key->unit == UNIT_NONE ? "" : quantity_expected(config_key_kind(key)));
    else
        list_types(key->types, text);
    return text;
}

/* What stands there instead: a value where it is the value that is wrong. */
static const char *found(const json_t *value, bool type_is_right, char text[FOUND_MAX])
{
    if (type_is_right && json_is_string(value))
        return json_quote(json_string_value(value), text, FOUND_MAX);
    if (type_is_right && json_is_integer(value))
        snprintf(text, FOUND_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        snprintf(text, FOUND_MAX, "%s", json_is_true(value) ? "true" : "false");
    else
        snprintf(text, FOUND_MAX, "%s", type_name(type_of(value)));
    return text;
}

static void wrong_value(const struct check *check, const struct config_key *key,
                        const json_t *value, const struct json_path *path)
{
    const bool is_quantity = key->unit != UNIT_NONE && json_is_string(value);
    bool type_is_right = (key->types & type_of(value)) != 0 || is_quantity;
    char expected_text[EXPECTED_MAX], found_text[FOUND_MAX], hint[NEAREST_HINT_MAX];
    struct nearest nearest;

    if (!error_list_has_room(check->errors))
        return;
    nearest_start(&nearest, type_is_right && json_is_string(value) ? json_string_value(value) : "");
    for (size_t i = 0; key->choices && key->choices[i]; i++)
        nearest_try(&nearest, key->choices[i]);
    config_file_mistake(check->file, check->errors, path, JSON_VALUE, "expected %s, found %s%s",
                        expected(key, expected_text), found(value, type_is_right, found_text),
                        is_quantity
                            ? quantity_hint(config_key_kind(key), json_string_value(value), hint)
                            : nearest_hint(&nearest, hint));
}

static void unknown_key(const struct check *check, const struct config_key *parent,
                        const struct json_path *path)
{
    char hint[NEAREST_HINT_MAX];
    struct nearest nearest;

    if (!error_list_has_room(check->errors))
        return;
    nearest_start(&nearest, path->key);
    for (size_t i = 0; i < config_key_count; i++) {
        const char *known = config_key_name_below(&config_keys[i], parent);

        if (known)
            nearest_try(&nearest, known);
    }
    config_file_mistake(check->file, check->errors, path, JSON_KEY, "unknown key%s",
                        nearest_hint(&nearest, hint));
}

static json_t *take_quantity(const struct config_key *key, const json_t *value);
static void check_value(const struct check *check, const struct config_key *key,
                        const json_t *value, const struct json_path *path);

static void check_required(const struct check *check, const struct config_key *parent,
                           const json_t *object, const struct json_path *path)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const char *name = config_key_name_below(&config_keys[i], parent);
        struct json_path missing = {path, name, 0};

        if (name && config_keys[i].required && !json_object_get(object, name))
            config_file_mistake(check->file, check->errors, &missing, JSON_KEY,
                                "missing; this key is required");
    }
}

static void check_object(const struct check *check, const struct config_key *key,
                         const json_t *object, const struct json_path *path)
{
    const char *name;
    json_t *value;

    check_required(check, key, object, path);
    json_object_foreach((json_t *)object, name, value) {
        const struct config_key *member = config_key_member(key, name);
        struct json_path below = {path, name, 0};

        if (config_key_is_users(name))
            continue;
        json_t *quantity = member ? take_quantity(member, value) : NULL;

        if (quantity)
            json_object_set_new((json_t *)(uintptr_t)object, name, quantity);
        else if (!member)
            unknown_key(check, key, &below);
        else
            check_value(check, member, value, &below);
    }
}

static void check_array(const struct check *check, const struct config_key *key,
                        const json_t *array, const struct json_path *path)
{
    const struct config_key *element = config_key_element(key);
    size_t index;
    json_t *value;

    if (json_array_size(array) < key->min_size)
        config_file_mistake(check->file, check->errors, path, JSON_VALUE,
                            "is empty; name at least one, or leave the key out");
    json_array_foreach(array, index, value) {
        struct json_path below = {path, NULL, index};

        check_value(check, element, value, &below);
    }
}

static bool string_fits(const struct config_key *key, const char *string)
{
    if (key->choices)
        return key->choices[config_key_choice(key, string)] != NULL;
    return !key->fits || key->fits(string);
}

static bool integer_fits(const struct config_key *key, json_int_t integer)
{
    return key->types != CONFIG_INTEGER || (key->min <= integer && integer <= key->max);
}

static bool value_fits(const struct config_key *key, const json_t *value)
{
    if (json_is_integer(value))
        return integer_fits(key, json_integer_value(value));
    return !json_is_string(value) || string_fits(key, json_string_value(value));
}

/* "64M" where an integer may stand: it takes the integer's place. */
static json_t *take_quantity(const struct config_key *key, const json_t *value)
{
    json_int_t integer;

    if (!json_is_string(value) || !config_key_quantity(key, json_string_value(value), &integer) ||
        !integer_fits(key, integer))
        return NULL;
    return json_integer(integer);
}

static void check_value(const struct check *check, const struct config_key *key,
                        const json_t *value, const struct json_path *path)
{
    if (!(key->types & type_of(value)) || !value_fits(key, value))
        wrong_value(check, key, value, path);
    else if (json_is_object(value))
        check_object(check, key, value, path);
    else if (json_is_array(value))
        check_array(check, key, value, path);
    else if (json_is_string(value) && json_string_length(value) < key->min_size)
        config_file_mistake(check->file, check->errors, path, JSON_VALUE, "is an empty string");
}

void config_check(const struct config_file *file, struct error_list *errors)
{
    const struct check check = {file, errors};
    const struct json_path document = {NULL, NULL, 0};

    check_value(&check, config_key_at(""), file->tree, &document);
}
