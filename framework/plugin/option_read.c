/* Reads what stands at an option, by its row. See option_read.h. */
#include "plugin/option_read.h"

#include "base/nearest.h"
#include "base/quantity.h"
#include "library/libjansson.h"
#include "plugin/option_table.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const char *option_string(const struct config_option *option)
{
    return option->text ? option->text : json_string_value(option->value);
}

/* ---- with a unit --------------------------------------------------------------------- */

static enum quantity_kind kind_of(enum rpd_option_unit unit)
{
    return unit == RPD_UNIT_BYTES ? QUANTITY_BYTES : QUANTITY_TIME;
}

/* Of what quantity_read() gives, for one of the option's own. */
static int64_t per_unit(enum rpd_option_unit unit)
{
    switch (unit) {
    case RPD_UNIT_SECONDS: return 1000000;
    case RPD_UNIT_MILLISECONDS: return 1000;
    case RPD_UNIT_BYTES:
    case RPD_UNIT_NONE: break;
    }
    return 1;
}

/* False: there is no unit, or the text is no quantity. */
static bool read_quantity(enum rpd_option_unit unit, const struct config_option *option,
                          int64_t *ret)
{
    const char *text = option_string(option);

    return unit != RPD_UNIT_NONE && text && quantity_read(kind_of(unit), text, ret);
}

/* False: what stands there is nothing of the row's type. */
static bool read_integer(enum rpd_option_unit unit, const struct config_option *option,
                         int64_t *ret)
{
    if (read_quantity(unit, option, ret)) {
        const bool is_whole = *ret % per_unit(unit) == 0;

        *ret /= per_unit(unit);
        return is_whole;
    }
    if (option->text)
        return text_to_integer(option->text, ret);
    *ret = json_integer_value(option->value);
    return json_is_integer(option->value);
}

static bool read_number(enum rpd_option_unit unit, const struct config_option *option, double *ret)
{
    int64_t quantity;

    if (read_quantity(unit, option, &quantity)) {
        *ret = (double)quantity / (double)per_unit(unit);
        return true;
    }
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

bool option_read(struct option_value *value, const struct config_option *option)
{
    const struct rpd_option *row = value->row;
    const enum rpd_option_unit unit = value->detail.unit;

    switch (row->type) {
    case RPD_OPTION_INTEGER_TYPE:
        return read_integer(unit, option, &value->integer) &&
               option_table_allows(row, value->integer);
    case RPD_OPTION_NUMBER_TYPE:
        return read_number(unit, option, &value->number) && row->min <= value->number &&
               value->number <= row->max;
    case RPD_OPTION_BOOLEAN_TYPE: return read_boolean(option, &value->boolean);
    case RPD_OPTION_STRING_TYPE:
    case RPD_OPTION_SECRET_TYPE:
    case RPD_OPTION_END: break;
    }
    if (!option_string(option))
        return false;
    value->choice = option_choice(value->detail.choices, option_string(option));
    return !value->detail.choices || value->choice >= 0;
}

/* ---- what is expected, and what is found ------------------------------------------------- */

/* "fast", "exact" or "none" */
static void list_choices(const char *choices, char text[OPTION_SHOWN_MAX])
{
    const char *word, *after;

    text[0] = '\0';
    for (size_t at = 0, length; (length = option_choice_at(choices, at, &word)) > 0; at++) {
        const size_t used = strlen(text);
        const bool is_last = option_choice_at(choices, at + 1, &after) == 0;

        snprintf(text + used, OPTION_SHOWN_MAX - used, "%s\"%.*s\"",
                 at == 0   ? ""
                 : is_last ? " or "
                           : ", ",
                 (int)length, word);
    }
}

static void expect_number(const struct option_value *value, char text[OPTION_SHOWN_MAX])
{
    const struct rpd_option *row = value->row;
    const enum rpd_option_unit unit = value->detail.unit;
    char low[OPTION_NUMBER_MAX], high[OPTION_NUMBER_MAX];

    if (row->type == RPD_OPTION_INTEGER_TYPE)
        snprintf(text, OPTION_SHOWN_MAX, "an integer from %.0f to %.0f", row->min, row->max);
    else
        snprintf(text, OPTION_SHOWN_MAX, "a number from %s to %s", option_number(row->min, low),
                 option_number(row->max, high));
    if (unit != RPD_UNIT_NONE) {
        const size_t used = strlen(text);

        snprintf(text + used, OPTION_SHOWN_MAX - used, " of %s, or %s", option_unit_name(unit),
                 quantity_expected(kind_of(unit)));
    }
}

void option_expected(const struct option_value *value, bool is_text, char text[OPTION_SHOWN_MAX])
{
    switch (value->row->type) {
    case RPD_OPTION_INTEGER_TYPE:
    case RPD_OPTION_NUMBER_TYPE: expect_number(value, text); return;
    case RPD_OPTION_BOOLEAN_TYPE:
        snprintf(text, OPTION_SHOWN_MAX, "true or false%s",
                 is_text ? " (or yes, no, on, off, 1, 0)" : "");
        return;
    case RPD_OPTION_SECRET_TYPE: snprintf(text, OPTION_SHOWN_MAX, "the name of a file"); return;
    case RPD_OPTION_STRING_TYPE:
    case RPD_OPTION_END: break;
    }
    if (value->detail.choices)
        list_choices(value->detail.choices, text);
    else if (value->detail.flags & RPD_OPTION_IS_LIST)
        snprintf(text, OPTION_SHOWN_MAX, "an array of strings");
    else
        snprintf(text, OPTION_SHOWN_MAX, "%s",
                 value->detail.flags & RPD_OPTION_IS_PATH ? "a path" : "a string");
}

static void show_found(const struct config_option *option, char text[OPTION_SHOWN_MAX])
{
    const json_t *value = option->value;

    if (option_string(option))
        json_quote(option_string(option), text, OPTION_QUOTED_MAX);
    else if (json_is_integer(value))
        snprintf(text, OPTION_SHOWN_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, OPTION_SHOWN_MAX, "%.15g", json_real_value(value));
    else if (json_is_array(value))
        snprintf(text, OPTION_SHOWN_MAX, "an array");
    else
        snprintf(text, OPTION_SHOWN_MAX, "%s", json_is_true(value) ? "true" : "false");
}

void option_found(const struct option_value *value, const struct config_option *option,
                  char text[OPTION_SHOWN_MAX])
{
    if (value->detail.flags & RPD_OPTION_IS_SECRET)
        snprintf(text, OPTION_SHOWN_MAX, "something else");
    else
        show_found(option, text);
}

const char *option_hint(const struct option_value *value, const struct config_option *option,
                        char hint[NEAREST_HINT_MAX])
{
    const char *text = option_string(option), *known;
    char word[OPTION_WORDS][OPTION_WORD_MAX];
    struct nearest nearest;

    hint[0] = '\0';
    if (text && value->detail.unit != RPD_UNIT_NONE)
        return quantity_hint(kind_of(value->detail.unit), text, hint);
    nearest_start(&nearest, text ? text : "");
    for (size_t at = 0, length; text && at < OPTION_WORDS &&
                                (length = option_choice_at(value->detail.choices, at, &known)) > 0;
         at++) {
        snprintf(word[at], OPTION_WORD_MAX, "%.*s", (int)length, known);
        nearest_try(&nearest, word[at]);
    }
    return nearest_hint(&nearest, hint);
}

const char *option_unit_name(enum rpd_option_unit unit)
{
    switch (unit) {
    case RPD_UNIT_BYTES: return "bytes";
    case RPD_UNIT_SECONDS: return "seconds";
    case RPD_UNIT_MILLISECONDS: return "milliseconds";
    case RPD_UNIT_NONE: break;
    }
    return "";
}
