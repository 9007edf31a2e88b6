/* --print-schema: the table of keys as a JSON Schema, for editors. */
#include "config/config.h"

#include "config/keys.h"
#include "library/libjansson.h"

#include <stdio.h>
#include <string.h>

/* Memory is the only thing that can be missing here; then members are, too,
 * and the result is not printed. */
static bool put(json_t *node, const char *name, json_t *value)
{
    return json_object_set_new(node, name, value) == 0;
}

static const struct {
    enum config_type type;
    const char *name;
} type_names[] = {
    {CONFIG_STRING, "string"},   {CONFIG_INTEGER, "integer"}, {CONFIG_NUMBER, "number"},
    {CONFIG_BOOLEAN, "boolean"}, {CONFIG_ARRAY, "array"},     {CONFIG_OBJECT, "object"},
};

static json_t *types_node(unsigned types)
{
    json_t *array = json_array();
    json_t *only;

    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++)
        if (types & type_names[i].type)
            json_array_append_new(array, json_string(type_names[i].name));
    if (json_array_size(array) != 1)
        return array;
    only = json_incref(json_array_get(array, 0));
    json_decref(array);
    return only;
}

static json_t *choices_node(const char *const *choices)
{
    json_t *array = json_array();

    for (; *choices; choices++)
        json_array_append_new(array, json_string(*choices));
    return array;
}

static bool put_limits(json_t *node, const struct config_key *key)
{
    bool done = true;

    if (key->types == CONFIG_INTEGER)
        done = put(node, "minimum", json_integer(key->min)) &&
               put(node, "maximum", json_integer(key->max));
    if (key->min_size && key->types & CONFIG_STRING)
        done = done && put(node, "minLength", json_integer((json_int_t)key->min_size));
    if (key->min_size && key->types & CONFIG_ARRAY)
        done = done && put(node, "minItems", json_integer((json_int_t)key->min_size));
    if (key->pattern)
        done = done && put(node, "pattern", json_string(key->pattern));
    if (key->unit != UNIT_NONE)
        done = done && put(node, "pattern", json_string(quantity_pattern(config_key_kind(key))));
    if (key->choices)
        done = done && put(node, "enum", choices_node(key->choices));
    return done;
}

static json_t *key_node(const struct config_key *key);

/* Keys of the user's choice are what is "additional" to the others. */
static bool put_member(const struct config_key *member, const char *name, json_t *node,
                       json_t *properties, json_t *required)
{
    if (strcmp(name, "*") == 0)
        return put(node, "additionalProperties", key_node(member));
    if (member->required && json_array_append_new(required, json_string(name)) < 0)
        return false;
    return put(properties, name, key_node(member));
}

static bool put_members(json_t *node, const struct config_key *key)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    bool done = put(node, "properties", properties) && put(node, "required", required) &&
                put(node, "additionalProperties", json_false()) &&
                put(node, "patternProperties", json_pack("{s:{}}", "^x-"));

    for (size_t i = 0; done && i < config_key_count; i++) {
        const char *name = config_key_name_below(&config_keys[i], key);

        if (name)
            done = put_member(&config_keys[i], name, node, properties, required);
    }
    return done;
}

static json_t *key_node(const struct config_key *key)
{
    json_t *node = json_object();
    bool done = put(node, "description", json_string(key->meaning)) &&
                put(node, "type",
                    types_node(key->unit == UNIT_NONE ? key->types : key->types | CONFIG_STRING)) &&
                put_limits(node, key);

    if (key->preset)
        done = done && put(node, "default", config_key_preset(key));
    if (key->types & CONFIG_ARRAY)
        done = done && put(node, "items", key_node(config_key_element(key)));
    if (key->types & CONFIG_OBJECT)
        done = done && put_members(node, key);
    if (done)
        return node;
    json_decref(node);
    return NULL;
}

int config_print_schema(struct error *error)
{
    json_t *schema;
    json_t *document;

    if (libjansson_load(error) < 0)
        return -1;
    schema = json_pack("{s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema",
                       "title", "rpd configuration");
    document = key_node(config_key_at(""));
    if (document && json_object_update(schema, document) == 0) {
        json_dumpf(schema, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(document);
    json_decref(schema);
    return 0;
}
