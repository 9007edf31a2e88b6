/* Checks option values and holds them. See options.h. */
#include "plugin/options.h"

#include "base/nearest.h"
#include "library/libjansson.h"
#include "plugin/option_table.h"
#include "plugin/secret.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHAT_MAX = 512, SHOWN_MAX = 80 };

static bool text_to_integer(const char *text, int64_t *ret)
{
    const char *digits = *text == '-' || *text == '+' ? text + 1 : text;
    char *end;

    if (*digits < '0' || *digits > '9')
        return false;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* Only what JSON could say as well: no "inf", "nan", "0x1p3" or space. */
static bool text_to_number(const char *text, double *ret)
{
    char *end;

    if (*text == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0')
        return false;
    *ret = strtod(text, &end);
    return *end == '\0' && isfinite(*ret);
}

static bool text_to_boolean(const char *text, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},   {"1", true},
                 {"false", false}, {"no", false}, {"off", false}, {"0", false}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].word) == 0) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}

/* NULL: what stands there is no string. */
static const char *string_of(const struct config_option *option)
{
    return option->text ? option->text : json_string_value(option->value);
}

/* False: what stands there is nothing of the row's type. */
static bool read_integer(const struct config_option *option, int64_t *ret)
{
    if (option->text)
        return text_to_integer(option->text, ret);
    *ret = json_integer_value(option->value);
    return json_is_integer(option->value);
}

static bool read_number(const struct config_option *option, double *ret)
{
    if (option->text)
        return text_to_number(option->text, ret);
    *ret = json_number_value(option->value);
    return json_is_number(option->value);
}

static bool read_boolean(const struct config_option *option, bool *ret)
{
    if (option->text)
        return text_to_boolean(option->text, ret);
    *ret = json_is_true(option->value);
    return json_is_boolean(option->value);
}

static void expected(const struct rpd_option *row, bool is_text, char text[SHOWN_MAX])
{
    char low[OPTION_NUMBER_MAX], high[OPTION_NUMBER_MAX];

    switch (row->type) {
    case RPD_OPTION_INTEGER_TYPE:
        snprintf(text, SHOWN_MAX, "an integer from %.0f to %.0f", row->min, row->max);
        break;
    case RPD_OPTION_NUMBER_TYPE:
        snprintf(text, SHOWN_MAX, "a number from %s to %s", option_number(row->min, low),
                 option_number(row->max, high));
        break;
    case RPD_OPTION_BOOLEAN_TYPE:
        snprintf(text, SHOWN_MAX, "true or false%s", is_text ? " (or yes, no, on, off, 1, 0)" : "");
        break;
    case RPD_OPTION_SECRET_TYPE: snprintf(text, SHOWN_MAX, "the name of a file"); break;
    case RPD_OPTION_STRING_TYPE:
    case RPD_OPTION_END: snprintf(text, SHOWN_MAX, "a string");
    }
}

static void found(const struct config_option *option, char text[SHOWN_MAX])
{
    const json_t *value = option->value;

    if (option->text)
        json_quote(option->text, text, SHOWN_MAX);
    else if (json_is_string(value))
        json_quote(json_string_value(value), text, SHOWN_MAX);
    else if (json_is_integer(value))
        snprintf(text, SHOWN_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, SHOWN_MAX, "%.15g", json_real_value(value));
    else
        snprintf(text, SHOWN_MAX, "%s", json_is_true(value) ? "true" : "false");
}

/* True, and the value filled, if the option fits its row. */
static bool take(struct option_value *value, const struct config_option *option)
{
    const struct rpd_option *row = value->row;

    switch (row->type) {
    case RPD_OPTION_INTEGER_TYPE:
        return read_integer(option, &value->integer) && option_table_allows(row, value->integer);
    case RPD_OPTION_NUMBER_TYPE:
        return read_number(option, &value->number) && row->min <= value->number &&
               value->number <= row->max;
    case RPD_OPTION_BOOLEAN_TYPE: return read_boolean(option, &value->boolean);
    case RPD_OPTION_STRING_TYPE:
    case RPD_OPTION_SECRET_TYPE:
    case RPD_OPTION_END: break;
    }
    return string_of(option) != NULL;
}

/* What is being made, and its service. */
struct making {
    struct options *options;
    const struct rpd_option *table;
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
                         making->table[i].name);
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
        nearest_try(&nearest, making->table[i].name);
    nearest_hint(&nearest, hint);
    list_options(making, list);
    snprintf(what, sizeof what, "%.200s has no such option%s", making->plugin, *hint ? hint : list);
    config_option_mistake(making->config, making->service, option, JSON_KEY, what, making->errors);
}

static void wrong(const struct making *making, const struct rpd_option *row,
                  const struct config_option *option)
{
    char what[WHAT_MAX];
    char expected_text[SHOWN_MAX];
    char found_text[SHOWN_MAX];

    expected(row, option->text != NULL, expected_text);
    found(option, found_text);
    snprintf(what, sizeof what, "expected %s, found %s", expected_text, found_text);
    config_option_mistake(making->config, making->service, option, JSON_VALUE, what,
                          making->errors);
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
    value->string = secret_read(string_of(option), &code, why);
    if (value->string)
        return;
    config_option_mistake(making->config, making->service, option, JSON_VALUE, why, making->errors);
    if (making->errors->count > before)
        making->errors->items[before].code = code;
}

static void apply(const struct making *making, const struct config_option *option)
{
    const struct rpd_option *row = option_table_find(making->table, option->name);
    struct option_value *value;

    if (!row) {
        unknown(making, option);
        return;
    }
    value = &making->options->values[row - making->table];
    value->is_default = false;
    if (!take(value, option))
        wrong(making, row, option);
    else if (row->type == RPD_OPTION_STRING_TYPE)
        set_string(value, string_of(option), making->errors);
    else if (row->type == RPD_OPTION_SECRET_TYPE)
        set_secret(making, value, option);
}

static int set_defaults(struct options *options, const struct rpd_option *table,
                        struct error_list *errors)
{
    size_t count = 0;

    while (table && table[count].type != RPD_OPTION_END)
        count++;
    options->count = count;
    options->values = calloc(count + 1, sizeof *options->values);
    if (!options->values)
        return error_list_out_of_memory(errors);
    for (size_t i = 0; i < count; i++) {
        struct option_value *value = &options->values[i];

        value->row = &table[i];
        value->is_default = true;
        value->integer = table[i].integer_default;
        value->number = table[i].default_value;
        value->boolean = table[i].default_value != 0;
        if (table[i].type == RPD_OPTION_STRING_TYPE &&
            set_string(value, table[i].string_default, errors) < 0)
            return -1;
    }
    return 0;
}

static int make(const struct making *making)
{
    struct error error;

    if (option_table_check(making->table, making->plugin, &error) < 0)
        return error_list_push(making->errors, &error);
    if (set_defaults(making->options, making->table, making->errors) < 0)
        return -1;
    for (size_t i = 0; i < making->service->option_count; i++)
        apply(making, &making->service->options[i]);
    return making->errors->count ? -1 : 0;
}

int options_make(struct options *options, const struct rpd_option *table, const char *plugin,
                 const struct config *config, const struct config_service *service,
                 struct error **ret_errors, size_t *ret_count)
{
    struct error_list errors = {NULL, 0, 0};
    const struct making making = {options, table, plugin, config, service, &errors};
    int result;

    memset(options, 0, sizeof *options);
    result = make(&making);
    if (result < 0)
        options_finish(options);
    error_list_give(&errors, "config", plugin, ret_errors, ret_count);
    return result;
}

void options_finish(struct options *options)
{
    for (size_t i = 0; options->values && i < options->count; i++)
        if (options->values[i].row && options->values[i].row->type == RPD_OPTION_SECRET_TYPE)
            secret_free(options->values[i].string);
        else
            free(options->values[i].string);
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
