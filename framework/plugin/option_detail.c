/* Reads and checks a backend's second table of options. See option_detail.h. */
#include "plugin/option_detail.h"

#include "plugin/option_table.h"

#include <stddef.h>
#include <string.h>

enum { ROWS_MAX = 1000, ROW_SIZE_MAX = 4096 };

static const unsigned known_flags = RPD_OPTION_IS_REQUIRED | RPD_OPTION_IS_LIST |
                                    RPD_OPTION_IS_PATH | RPD_OPTION_IS_SECRET;

/* ---- choices ------------------------------------------------------------------------ */

size_t option_choice_at(const char *choices, size_t at, const char **ret_word)
{
    while (at > 0 && choices) {
        choices = strchr(choices, '|');
        choices = choices ? choices + 1 : NULL;
        at--;
    }
    *ret_word = choices;
    return choices ? strcspn(choices, "|") : 0;
}

int option_choice(const char *choices, const char *word)
{
    const char *known;

    for (size_t at = 0, length; (length = option_choice_at(choices, at, &known)) > 0; at++)
        if (strlen(word) == length && strncmp(known, word, length) == 0)
            return (int)at;
    return -1;
}

/* ---- rows ------------------------------------------------------------------------------ */

/* A row may be larger than ours, but not smaller than the first there was. */
static bool has_sane_size(const struct rpd_option_detail *row)
{
    return row->row_size >= sizeof *row && row->row_size <= ROW_SIZE_MAX &&
           row->row_size % _Alignof(struct rpd_option_detail) == 0;
}

static const struct rpd_option_detail *next(const struct rpd_option_detail *row)
{
    return (const struct rpd_option_detail *)(const void *)((const char *)row + row->row_size);
}

struct option_detail option_detail_of(const struct rpd_option_detail *details, const char *name)
{
    for (const struct rpd_option_detail *row = details; row && row->name; row = next(row))
        if (strcmp(row->name, name) == 0)
            return (struct option_detail){row->flags & known_flags, row->choices,
                                          row->unit <= RPD_UNIT_MILLISECONDS
                                              ? (enum rpd_option_unit)row->unit
                                              : RPD_UNIT_NONE};
    return (struct option_detail){0, NULL, RPD_UNIT_NONE};
}

static const char *unit_mistake(enum rpd_option_unit unit, const struct rpd_option *option)
{
    if (unit == RPD_UNIT_BYTES && option->type != RPD_OPTION_INTEGER_TYPE)
        return "only an integer can be a size";
    if (unit != RPD_UNIT_NONE && option->type != RPD_OPTION_INTEGER_TYPE &&
        option->type != RPD_OPTION_NUMBER_TYPE)
        return "only an integer or a number can be a duration";
    return NULL;
}

static const char *choices_mistake(const char *choices, const struct rpd_option *option)
{
    const char *word;
    size_t count = 0;

    if (!choices)
        return NULL;
    while (option_choice_at(choices, count, &word) > 0)
        count++;
    if (word) /* an empty one */
        return "one of its choices is empty";
    if (option->string_default && option_choice(choices, option->string_default) < 0)
        return "its default is none of its choices";
    return NULL;
}

static const char *flags_mistake(const struct option_detail *detail,
                                 const struct rpd_option *option)
{
    const bool is_string = option->type == RPD_OPTION_STRING_TYPE;
    const unsigned others = RPD_OPTION_IS_LIST | RPD_OPTION_IS_PATH;
    const unsigned of_strings = others | RPD_OPTION_IS_SECRET;

    if (!is_string && (detail->flags & of_strings || detail->choices))
        return "only a string can be a path, a list, a choice or a secret";
    if (detail->choices && detail->flags & of_strings)
        return "a choice can be neither a path nor a list nor a secret";
    if (detail->flags & RPD_OPTION_IS_SECRET && detail->flags & others)
        return "a secret can be neither a path nor a list";
    if (detail->flags & RPD_OPTION_IS_SECRET && option->string_default)
        return "a secret can have no default";
    if (detail->flags & RPD_OPTION_IS_REQUIRED && option->string_default)
        return "a required option needs no default";
    return NULL;
}

static const char *row_mistake(const struct option_tables *tables,
                               const struct rpd_option_detail *row)
{
    const struct rpd_option *option = option_table_find(tables->options, row->name);
    struct option_detail detail;
    const char *mistake;

    if (!option)
        return "the table of options has no row of that name";
    for (const struct rpd_option_detail *at = tables->details; at < row; at = next(at))
        if (strcmp(at->name, row->name) == 0)
            return "its name is there twice";
    detail = option_detail_of(tables->details, row->name);
    mistake = unit_mistake(detail.unit, option);
    if (!mistake)
        mistake = flags_mistake(&detail, option);
    return mistake ? mistake : choices_mistake(detail.choices, option);
}

int option_details_check(const struct option_tables *tables, const char *plugin,
                         struct error *error)
{
    const struct rpd_option_detail *row = tables->details;

    for (size_t i = 0; row; row = next(row), i++) {
        const char *mistake = NULL;

        if (!has_sane_size(row) || row->row_size != tables->details->row_size)
            mistake = "its size cannot be right; use the RPD_DETAIL macros";
        else if (i == ROWS_MAX)
            mistake = "there are too many; RPD_DETAILS_END may be missing";
        else if (!row->name)
            return 0;
        else
            mistake = row_mistake(tables, row);
        if (mistake)
            return error_set(error, EXIT_PLUGIN, "plugin", plugin,
                             "row %zu of its option details (%.64s): %s; the plugin must be corrected",
                             i, has_sane_size(row) && row->name ? row->name : "-", mistake);
    }
    return 0;
}
