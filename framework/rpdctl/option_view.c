/* A plugin's options as a table, and as a JSON Schema. See option_view.h. */
#include "rpdctl/option_view.h"

#include "base/quantity.h"
#include "library/libjansson.h"
#include "plugin/option_table.h"
#include "rpdctl/descriptor.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_MAX = 96, RANGE_MAX = 2 * CELL_MAX, COLUMNS = 4 };

static bool is(const json_t *option, const char *flag)
{
    return json_is_true(json_object_get(option, flag));
}

/* What an option counts, of what a quantity counts; 0: it has no unit. */
static int64_t per_unit(const json_t *option, enum quantity_kind *ret_kind)
{
    const char *unit = descriptor_text(option, "unit");

    *ret_kind = strcmp(unit, "bytes") == 0 ? QUANTITY_BYTES : QUANTITY_TIME;
    if (strcmp(unit, "seconds") == 0)
        return 1000000;
    return strcmp(unit, "milliseconds") == 0 ? 1000 : *unit != '\0';
}

/* ---- the table -------------------------------------------------------------------------- */

/* A number of an option with a unit, if the unit can express the number. */
static bool quantity_cell(const json_t *option, const json_t *value, char room[CELL_MAX])
{
    enum quantity_kind kind;
    const int64_t unit = per_unit(option, &kind);
    const double quantity = json_number_value(value) * (double)unit;

    if (unit == 0 || !(quantity >= 0 && quantity < 0x1p62) || quantity != (double)(int64_t)quantity)
        return false;
    quantity_text(kind, (int64_t)quantity, room);
    return true;
}

/* A JSON scalar as users write it: one line. */
static const char *cell(const json_t *option, const json_t *value, char room[CELL_MAX])
{
    char *text = json_is_string(value) ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

    if (json_is_string(value))
        snprintf(room, CELL_MAX, "%s", text ? text : "");
    else if (json_is_number(value) && quantity_cell(option, value, room))
        ;
    else if (json_is_integer(value))
        snprintf(room, CELL_MAX, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        option_number(json_real_value(value), room);
    else if (json_is_boolean(value))
        snprintf(room, CELL_MAX, "%s", json_is_true(value) ? "true" : "false");
    else
        snprintf(room, CELL_MAX, "unset");
    free(text);
    return room;
}

static const char *preset(const json_t *option, char room[CELL_MAX])
{
    if (is(option, "required"))
        snprintf(room, CELL_MAX, "required");
    else
        cell(option, json_object_get(option, "default"), room);
    return room;
}

static const char *range(const json_t *option, char room[RANGE_MAX])
{
    const json_t *min = json_object_get(option, "min"), *max = json_object_get(option, "max");
    const json_t *choices = json_object_get(option, "choices");
    char low[CELL_MAX], high[CELL_MAX];

    room[0] = '\0';
    for (size_t i = 0, used = 0; i < json_array_size(choices) && used < RANGE_MAX; i++)
        used += (size_t)snprintf(room + used, RANGE_MAX - used, "%s%s", i ? ", " : "",
                                 json_string_value(json_array_get(choices, i)));
    if (min || max)
        snprintf(room, RANGE_MAX, "%s to %s", json_is_number(min) ? cell(option, min, low) : "any",
                 json_is_number(max) ? cell(option, max, high) : "any");
    return room;
}

static const char *kind(const json_t *option, char room[CELL_MAX])
{
    const char *unit = descriptor_text(option, "unit");
    const char *word = is(option, "path")                   ? "path"
                       : is(option, "secret")               ? "secret text"
                       : json_object_get(option, "choices") ? "choice"
                       : strcmp(unit, "bytes") == 0         ? "size"
                       : *unit                              ? "duration"
                                                            : descriptor_text(option, "type");

    snprintf(room, CELL_MAX, "%s%s%s", is(option, "list") ? "list of " : "", word,
             is(option, "list") ? "s" : "");
    return room;
}

struct row {
    char type[CELL_MAX], preset[CELL_MAX], range[RANGE_MAX];
};

static void fill_row(const json_t *option, struct row *row)
{
    kind(option, row->type);
    preset(option, row->preset);
    range(option, row->range);
}

static void widen(int *width, const char *text)
{
    if ((int)strlen(text) > *width)
        *width = (int)strlen(text);
}

void option_view_print(const json_t *options)
{
    int widths[COLUMNS] = {4, 8, 7, 5}; /* of the headings */
    struct row row;
    const json_t *option;
    size_t i;

    if (json_array_size(options) == 0) {
        puts("options:   none");
        return;
    }
    json_array_foreach(options, i, option) {
        fill_row(option, &row);
        widen(&widths[0], descriptor_text(option, "name"));
        widen(&widths[1], row.type);
        widen(&widths[2], row.preset);
        widen(&widths[3], row.range);
    }
    puts("options:");
    printf("  %-*s  %-*s %-*s  %-*s  %s\n", widths[0], "name", widths[1], "type", widths[2],
           "default", widths[3], "range", "meaning");
    json_array_foreach(options, i, option) {
        fill_row(option, &row);
        printf("  %-*s  %-*s %-*s  %-*s  %s\n", widths[0], descriptor_text(option, "name"),
               widths[1], row.type, widths[2], row.preset, widths[3], row.range,
               descriptor_text(option, "meaning"));
    }
}

/* ---- the schema ------------------------------------------------------------------------------ */

static void copy(json_t *node, const char *to, const json_t *option, const char *from)
{
    json_t *value = json_object_get(option, from);

    if (value && !json_is_null(value))
        json_object_set_new(node, to, json_incref(value));
}

/* The schema of one value of the option; for a list, the schema of an item. */
static json_t *value_node(const json_t *option)
{
    const char *type = descriptor_text(option, "type");
    enum quantity_kind quantity;
    json_t *node = json_object();

    json_object_set_new(node, "type", json_string(strcmp(type, "secret") == 0 ? "string" : type));
    copy(node, "minimum", option, "min");
    copy(node, "maximum", option, "max");
    copy(node, "enum", option, "choices");
    if (per_unit(option, &quantity) == 0)
        return node;
    return json_pack("{s:[o, {s:s, s:s}]}", "anyOf", node, "type", "string", "pattern",
                     quantity_pattern(quantity));
}

static json_t *option_node(const json_t *option)
{
    json_t *node = value_node(option);

    if (is(option, "list"))
        node = json_pack("{s:[{s:s, s:O}, o]}", "anyOf", "type", "array", "items", node, node);
    copy(node, "description", option, "meaning");
    copy(node, "default", option, "default");
    return node;
}

json_t *option_view_schema(const json_t *plugin)
{
    json_t *properties = json_object(), *required = json_array();
    const json_t *option;
    size_t i;

    json_array_foreach(json_object_get(plugin, "options"), i, option) {
        const char *name = descriptor_text(option, "name");

        json_object_set_new(properties, name, option_node(option));
        if (is(option, "required"))
            json_array_append_new(required, json_string(name));
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:b, s:{s:{}}}", "$schema",
                     "https://json-schema.org/draft/2020-12/schema", "title",
                     descriptor_text(plugin, "name"), "type", "object", "properties", properties,
                     "required", required, "additionalProperties", 0, "patternProperties", "^x-");
}
