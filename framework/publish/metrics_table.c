/* A backend's table of metrics is input, too. See metrics_page.h. */
#include "publish/metrics_page.h"

#include <string.h>

static const char small[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

static bool is_word(const char *text, size_t size, size_t room)
{
    return size > 0 && size < room && text[0] >= 'a' && text[0] <= 'z' &&
           strspn(text, small) >= size;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Readers add these. */
static bool has_suffix(const char *name)
{
    static const char *const suffixes[] = {"_total",  "_count",   "_sum",
                                           "_bucket", "_created", "_info"};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(name, suffixes[i]))
            return true;
    return false;
}

static bool are_labels(const char *labels)
{
    if (strlen(labels) >= sizeof((struct rpd_metric_entry *)0)->labels)
        return false;
    for (const char *line = labels; *line;) {
        const size_t size = strcspn(line, "=\n");

        if (line[size] != '=' || !is_word(line, size, 32) || strncmp(line, "le=", 3) == 0 ||
            strncmp(line, "service=", 8) == 0)
            return false;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return true;
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

/* first is the first row of the same name, as they stand together. */
static const char *family_mistake(const struct rpd_metric *table, const struct rpd_metric *row)
{
    const struct rpd_metric *before = row;

    while (before > table && strcmp(before[-1].name, row->name) == 0)
        before--;
    for (const struct rpd_metric *other = table; other < before; other++)
        if (strcmp(other->name, row->name) == 0)
            return "rows of its name do not stand together";
    for (; before < row; before++) {
        if (before->type != row->type || strcmp(text_of(before->unit), text_of(row->unit)) != 0)
            return "a row of its name has another type or unit";
        if (strcmp(text_of(before->labels), text_of(row->labels)) == 0)
            return "there is a row with its name and labels";
    }
    return NULL;
}

static const char *row_mistake(const struct rpd_metric *row)
{
    const struct rpd_metric_entry *entry = NULL;

    if (!is_word(row->name, strlen(row->name), sizeof entry->name))
        return "its name must be 1 to 47 small letters, digits and _, and begin with a letter";
    if (strncmp(row->name, "rpd_", 4) == 0)
        return "names that begin with rpd_ are rpd's own";
    if (has_suffix(row->name))
        return "its name ends in what readers add";
    if (row->unit && *row->unit && !is_word(row->unit, strlen(row->unit), sizeof entry->unit))
        return "its unit must be at most 15 small letters, digits and _";
    if (!row->meaning || strlen(row->meaning) >= sizeof entry->meaning)
        return "its meaning must be there, and have at most 111 bytes";
    if (row->labels && !are_labels(row->labels))
        return "its labels must be \"key=value\", a line each, at most 63 bytes, and neither le "
               "nor "
               "service";
    if (row->type < RPD_METRIC_COUNTER || row->type > RPD_METRIC_HISTOGRAM)
        return "its type is none of enum rpd_metric_type";
    return NULL;
}

const char *metrics_table_mistake(const struct rpd_metric *table, size_t *ret_row)
{
    for (*ret_row = 0; table && table[*ret_row].name; (*ret_row)++) {
        const struct rpd_metric *row = &table[*ret_row];
        const char *mistake = *ret_row >= RPD_METRICS_MAX
                                  ? "there are too many; was RPD_METRICS_END forgotten?"
                                  : row_mistake(row);

        if (!mistake)
            mistake = family_mistake(table, row);
        if (mistake)
            return mistake;
    }
    return NULL;
}
