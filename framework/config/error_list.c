/* Collects errors up to a limit. See error_list.h. */
#include "config/error_list.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool error_list_has_room(struct error_list *list)
{
    if (list->count < ERROR_LIST_MAX)
        return true;
    list->more++;
    return false;
}

/* The item after the last, or NULL without memory: then the list is unchanged,
 * and its user still notices the failure by the return value. */
static struct error *extend(struct error_list *list)
{
    struct error *items = realloc(list->items, (list->count + 1) * sizeof *items);

    if (!items)
        return NULL;
    list->items = items;
    return &items[list->count++];
}

int error_list_add(struct error_list *list, enum exit_code code, const char *step,
                   const char *object, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    struct error *error;
    va_list arguments;

    if (!error_list_has_room(list) || !(error = extend(list)))
        return -1;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(error, code, step, object, "%s", text);
}

int error_list_push(struct error_list *list, const struct error *error)
{
    struct error *item;

    if (error_list_has_room(list) && (item = extend(list)))
        *item = *error;
    return -1;
}

int error_list_out_of_memory(struct error_list *list)
{
    return error_list_add(list, EXIT_SYSTEM, "config", "rpd", "out of memory");
}

void error_list_give(struct error_list *list, const char *step, const char *object,
                     struct error **ret_errors, size_t *ret_count)
{
    struct error *last;

    if (list->more && (last = extend(list)))
        error_set(last, list->items[0].code, step, object, "and %zu more", list->more);
    *ret_errors = list->items;
    *ret_count = list->count;
}
