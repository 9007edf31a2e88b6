/* Checks option values and holds them: what one is, and how it is written, is in option_read.c. See
 * options.h. */
#include "plugin/options.h"

#include "base/nearest.h"
#include "library/libjansson.h"
#include "plugin/option_path.h"
#include "plugin/option_read.h"
#include "plugin/option_table.h"
#include "plugin/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHAT_MAX = 768 };

/* What is being made, and its service. */
struct making {
    struct options *options;
    const struct option_tables *tables;
    const char *plugin;
    const struct config *config;
    const struct config_service *service;
    struct error_list *errors;
};

/* "; it has greeting, load_s", for a name that is like none of them. */
static void list_options(const struct making *making, char ret_list[WHAT_MAX / 2])
{
    int used = snprintf(ret_list, WHAT_MAX / 2, "; it has %s",
                        making->options->count > 0 ? "" : "none");

    for (size_t i = 0; i < making->options->count && used < WHAT_MAX / 2; i++)
        used += snprintf(ret_list + used, (size_t)(WHAT_MAX / 2 - used), "%s%s", i > 0 ? ", " : "",
                         making->tables->options[i].name);
}

static void unknown(const struct making *making, const struct config_option *option)
{
    char what[WHAT_MAX];
    char hint[NEAREST_HINT_MAX];
    char list[WHAT_MAX / 2];
    struct nearest nearest;

    if (!error_list_has_room(making->errors))
        return;
    nearest_start(&nearest, option->name);
    for (size_t i = 0; i < making->options->count; i++)
        nearest_try(&nearest, making->tables->options[i].name);
    nearest_hint(&nearest, hint);
    list_options(making, list);
    snprintf(what, sizeof what, "%.200s has no such option%s", making->plugin, *hint ? hint : list);
    config_option_mistake(making->config, making->service, option, JSON_KEY, what, making->errors);
}

static int mistake(const struct making *making, const struct config_option *option,
                   const char *what)
{
    return config_option_mistake(making->config, making->service, option, JSON_VALUE, what,
                                 making->errors);
}

static void wrong(const struct making *making, const struct option_value *value,
                  const struct config_option *option)
{
    char what[WHAT_MAX], hint[NEAREST_HINT_MAX];
    char expected[OPTION_SHOWN_MAX], found[OPTION_SHOWN_MAX];

    option_expected(value, option->text != NULL, expected);
    option_found(value, option, found);
    snprintf(what, sizeof what, "expected %s, found %s%s", expected, found,
             option_hint(value, option, hint));
    mistake(making, option, what);
}

static int set_string(struct option_value *value, const char *string, struct error_list *errors)
{
    char *copy = NULL;

    if (string && !(copy = strdup(string)))
        return error_list_out_of_memory(errors);
    free(value->string);
    value->string = copy;
    return 0;
}

/* The mistake is where the file is named; its code says what is wrong with the file. */
static void set_secret(const struct making *making, struct option_value *value,
                       const struct config_option *option)
{
    const size_t before = making->errors->count;
    enum exit_code code = EXIT_CONFIG;
    char why[SECRET_WHY_MAX] = "";

    secret_free(value->string);
    value->string = secret_read(option_string(option), &code, why);
    if (value->string)
        return;
    mistake(making, option, why);
    if (making->errors->count > before)
        making->errors->items[before].code = code;
}

/* A secret that stands there itself. What others could read is refused rather than used. */
static void set_shown_secret(const struct making *making, struct option_value *value,
                             const struct config_option *option)
{
    const size_t before = making->errors->count;

    if (option->text) {
        mistake(making, option,
                "it is a secret, and every user can see a command line; write it into a "
                "configuration with mode 0600");
    } else if (config_is_seen_by_others(making->config)) {
        mistake(making, option,
                "it is a secret, and other users can read this file; chmod 0600 it");
        if (making->errors->count > before)
            making->errors->items[before].code = EXIT_SECURITY;
    } else {
        set_string(value, option_string(option), making->errors);
    }
}

/* ---- paths and lists --------------------------------------------------------------------- */

/* A copy, absolute where it is a path. NULL after the mistake was added. option: NULL for a
 * default. */
static char *make_item(const struct making *making, const struct option_value *value,
                       const struct config_option *option, const char *text)
{
    const char *base = config_option_base(making->config, making->service, option);
    char why[OPTION_WHY_MAX];
    char *item;

    if (!(value->detail.flags & RPD_OPTION_IS_PATH)) {
        item = strdup(text);
        if (!item)
            error_list_out_of_memory(making->errors);
        return item;
    }
    item = option_path(text, base, why);
    if (!item && option)
        mistake(making, option, why);
    else if (!item)
        config_option_missing(making->config, making->service, value->row->name, why,
                              making->errors);
    return item;
}

static void drop_items(struct option_value *value)
{
    for (size_t i = 0; i < value->item_count; i++)
        free(value->items[i]);
    free(value->items);
    value->items = NULL;
    value->item_count = 0;
}

static int add_item(const struct making *making, struct option_value *value,
                    const struct config_option *option, const char *text)
{
    char **items = realloc(value->items, (value->item_count + 1) * sizeof *items);

    if (!items)
        return error_list_out_of_memory(making->errors);
    value->items = items;
    items[value->item_count] = make_item(making, value, option, text);
    return items[value->item_count] ? (value->item_count++, 0) : -1;
}

/* "a,b"; of the empty text there are none. */
static int split_items(const struct making *making, struct option_value *value,
                       const struct config_option *option, const char *text)
{
    char *copy = strdup(text), *rest = copy;
    int result = copy ? 0 : error_list_out_of_memory(making->errors);

    while (result == 0 && *text && rest)
        result = add_item(making, value, option, strsep(&rest, ","));
    free(copy);
    return result;
}

static int join_items(const struct making *making, struct option_value *value)
{
    size_t size = 1;
    char *text;

    for (size_t i = 0; i < value->item_count; i++)
        size += strlen(value->items[i]) + 1;
    text = calloc(1, size);
    if (!text)
        return error_list_out_of_memory(making->errors);
    for (size_t i = 0; i < value->item_count; i++) {
        char *end = text + strlen(text);

        snprintf(end, size - (size_t)(end - text), "%s%s", i ? "," : "", value->items[i]);
    }
    free(value->string);
    value->string = text;
    return 0;
}

static void set_list(const struct making *making, struct option_value *value,
                     const struct config_option *option)
{
    const json_t *array = option->text ? NULL : option->value;
    int result = 0;

    drop_items(value);
    if (option->text)
        result = split_items(making, value, option, option->text);
    else if (json_is_string(array))
        result = add_item(making, value, option, json_string_value(array));
    for (size_t i = 0; result == 0 && i < json_array_size(array); i++)
        result = add_item(making, value, option, json_string_value(json_array_get(array, i)));
    if (result == 0)
        join_items(making, value);
}

static void set_text(const struct making *making, struct option_value *value,
                     const struct config_option *option)
{
    char *item;

    if (value->detail.flags & RPD_OPTION_IS_SECRET) {
        set_shown_secret(making, value, option);
        return;
    }
    item = make_item(making, value, option, option_string(option));
    if (!item)
        return;
    free(value->string);
    value->string = item;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void apply(const struct making *making, const struct config_option *option)
{
    const struct rpd_option *row = option_table_find(making->tables->options, option->name);
    struct option_value *value;

    if (!row) {
        unknown(making, option);
        return;
    }
    value = &making->options->values[row - making->tables->options];
    value->is_default = false;
    if (value->detail.flags & RPD_OPTION_IS_LIST &&
        (option_string(option) || json_is_array(option->value)))
        set_list(making, value, option);
    else if (!option_read(value, option))
        wrong(making, value, option);
    else if (row->type == RPD_OPTION_STRING_TYPE)
        set_text(making, value, option);
    else if (row->type == RPD_OPTION_SECRET_TYPE)
        set_secret(making, value, option);
}

/* Of a string, once it is known that the user has not set it: only then is it looked for. */
static int set_string_default(const struct making *making, struct option_value *value)
{
    const char *text = value->row->string_default;

    if (!text)
        return 0;
    if (value->detail.flags & RPD_OPTION_IS_LIST)
        return split_items(making, value, NULL, text) < 0 ? -1 : join_items(making, value);
    value->choice = option_choice(value->detail.choices, text);
    value->string = make_item(making, value, NULL, text);
    return value->string ? 0 : -1;
}

static int set_defaults(const struct making *making)
{
    const struct rpd_option *table = making->tables->options;
    struct options *options = making->options;
    size_t count = 0;

    while (table && table[count].type != RPD_OPTION_END)
        count++;
    options->count = count;
    options->values = calloc(count + 1, sizeof *options->values);
    if (!options->values)
        return error_list_out_of_memory(making->errors);
    for (size_t i = 0; i < count; i++) {
        struct option_value *value = &options->values[i];

        value->row = &table[i];
        value->detail = option_detail_of(making->tables->details, table[i].name);
        value->is_default = true;
        value->choice = -1;
        value->integer = table[i].integer_default;
        value->number = table[i].default_value;
        value->boolean = table[i].default_value != 0;
    }
    return 0;
}

static void fill_unset(const struct making *making)
{
    for (size_t i = 0; i < making->options->count; i++) {
        struct option_value *value = &making->options->values[i];
        char what[WHAT_MAX];

        if (!value->is_default)
            continue;
        if (value->detail.flags & RPD_OPTION_IS_REQUIRED) {
            snprintf(what, sizeof what, "missing; this option is required: %.300s",
                     value->row->meaning ? value->row->meaning : "see rpdctl describe");
            config_option_missing(making->config, making->service, value->row->name, what,
                                  making->errors);
        } else if (value->row->type == RPD_OPTION_STRING_TYPE) {
            set_string_default(making, value);
        }
    }
}

static int make(const struct making *making)
{
    struct error error;

    if (option_table_check(making->tables->options, making->plugin, &error) < 0 ||
        option_details_check(making->tables, making->plugin, &error) < 0)
        return error_list_push(making->errors, &error);
    if (set_defaults(making) < 0)
        return -1;
    for (size_t i = 0; i < making->service->option_count; i++)
        apply(making, &making->service->options[i]);
    fill_unset(making);
    return making->errors->count ? -1 : 0;
}

int options_make(struct options *options, const struct option_tables *tables, const char *plugin,
                 const struct config *config, const struct config_service *service,
                 struct error **ret_errors, size_t *ret_count)
{
    struct error_list errors = {NULL, 0, 0};
    const struct making making = {options, tables, plugin, config, service, &errors};
    int result;

    memset(options, 0, sizeof *options);
    result = make(&making);
    if (result < 0)
        options_finish(options);
    error_list_give(&errors, "config", plugin, ret_errors, ret_count);
    return result;
}

static void finish_value(struct option_value *value)
{
    const bool is_secret = value->row && (value->row->type == RPD_OPTION_SECRET_TYPE ||
                                          value->detail.flags & RPD_OPTION_IS_SECRET);

    drop_items(value);
    if (is_secret)
        secret_free(value->string);
    else
        free(value->string);
}

void options_finish(struct options *options)
{
    for (size_t i = 0; options->values && i < options->count; i++)
        finish_value(&options->values[i]);
    free(options->values);
    memset(options, 0, sizeof *options);
}

const struct option_value *options_find(const struct options *options, const char *name,
                                        enum rpd_option_type type)
{
    for (size_t i = 0; i < options->count; i++)
        if (options->values[i].row->type == type && strcmp(options->values[i].row->name, name) == 0)
            return &options->values[i];
    return NULL;
}
