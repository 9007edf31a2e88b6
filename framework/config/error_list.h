/* Several errors at once. A configuration is read to its end, so that the user sees
 * all of its mistakes at once. */
#ifndef FRAMEWORK_ERROR_LIST_H
#define FRAMEWORK_ERROR_LIST_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { ERROR_LIST_MAX = 100 };

/* Starts as all zeros. */
struct error_list {
    struct error *items;
    size_t count;
    size_t more; /* errors past the limit: counted, not kept */
};

/* Returns false once the limit is reached. The error is then counted, and the caller
 * need not word it. */
bool error_list_has_room(struct error_list *list);

/* Like error_set(), but adds an item. Returns -1. */
int error_list_add(struct error_list *list, enum exit_code code, const char *step,
                   const char *object, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Adds an error that is worded already. Returns -1. */
int error_list_push(struct error_list *list, const struct error *error);

int error_list_out_of_memory(struct error_list *list);

/* Returns the items, to be freed by free(). If more were counted, adds a last item
 * "and N more" with the code of the first one. */
void error_list_give(struct error_list *list, const char *step, const char *object,
                     struct error **ret_errors, size_t *ret_count);

#endif
