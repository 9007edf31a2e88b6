/* A plugin's table of options is input, too. See option_table.h. */
#include "plugin/option_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS_MAX = 1000 }; /* more than that: the closing row was forgotten */

static bool is_name(const char *name)
{
    const char *letters = "abcdefghijklmnopqrstuvwxyz0123456789_";

    return name[0] >= 'a' && name[0] <= 'z' && name[strspn(name, letters)] == '\0';
}

static bool is_duplicate(const struct rpd_option *table, const struct rpd_option *row)
{
    for (; table < row; table++)
        if (strcmp(table->name, row->name) == 0)
            return true;
    return false;
}

bool option_table_allows(const struct rpd_option *row, int64_t integer)
{
    const double limit = 0x1p63; /* the first that an int64_t cannot be */

    if (row->min >= limit || row->max < -limit)
        return false;
    if (row->min >= -limit) {
        int64_t least = (int64_t)row->min;

        if (integer < least || (integer == least && (double)least < row->min))
            return false;
    }
    if (row->max < limit) {
        int64_t most = (int64_t)row->max;

        if (integer > most || (integer == most && (double)most > row->max))
            return false;
    }
    return true;
}

/* Comparisons with a NaN are false, and so are refused. */
static const char *range_mistake(const struct rpd_option *row)
{
    if (!(row->min <= row->max))
        return "its min is not below its max";
    if (row->type == RPD_OPTION_INTEGER_TYPE && !option_table_allows(row, row->integer_default))
        return "its default is out of its range";
    if (row->type == RPD_OPTION_NUMBER_TYPE &&
        !(row->min <= row->default_value && row->default_value <= row->max))
        return "its default is out of its range";
    return NULL;
}

static const char *type_mistake(const struct rpd_option *row)
{
    switch (row->type) {
    case RPD_OPTION_STRING_TYPE: return NULL;
    case RPD_OPTION_SECRET_TYPE: return row->string_default ? "a secret can have no default" : NULL;
    case RPD_OPTION_BOOLEAN_TYPE:
        return row->default_value == 0 || row->default_value == 1
                   ? NULL
                   : "its default is neither true nor false";
    case RPD_OPTION_INTEGER_TYPE:
    case RPD_OPTION_NUMBER_TYPE: return range_mistake(row);
    case RPD_OPTION_END: break;
    }
    return "its type is unknown";
}

static const char *row_mistake(const struct rpd_option *table, const struct rpd_option *row)
{
    if (!row->name)
        return "it has no name";
    if (!is_name(row->name))
        return "its name is not of the form [a-z][a-z0-9_]*";
    if (is_duplicate(table, row))
        return "its name is there twice";
    return type_mistake(row);
}

static int refuse(struct error *error, const char *plugin, size_t at, const char *name,
                  const char *mistake)
{
    return error_set(error, EXIT_PLUGIN, "plugin", plugin,
                     "row %zu of its options (%.64s): %s; fix the plugin", at,
                     name ? name : "without a name", mistake);
}

int option_table_check(const struct rpd_option *table, const char *plugin, struct error *error)
{
    for (size_t i = 0; table && table[i].type != RPD_OPTION_END; i++) {
        const char *mistake = row_mistake(table, &table[i]);

        if (i == ROWS_MAX)
            mistake = "there are too many; RPD_OPTIONS_END may be missing";
        if (mistake)
            return refuse(error, plugin, i, table[i].name, mistake);
    }
    return 0;
}

const struct rpd_option *option_table_find(const struct rpd_option *table, const char *name)
{
    for (; table && table->type != RPD_OPTION_END; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

const char *option_number(double number, char text[OPTION_NUMBER_MAX])
{
    const bool is_whole = fabs(number) < 1e16 && (double)(int64_t)number == number;

    snprintf(text, OPTION_NUMBER_MAX, is_whole ? "%.0f" : "%.15g", number);
    return text;
}
