/* Several errors at once: a configuration is read to its end, so that its user
 * sees every mistake of it in one go. */
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
    size_t more; /* those past the limit: counted, not kept */
};

/* False once the limit is reached; then the error is counted, and the caller
 * need not word it. */
bool error_list_has_room(struct error_list *list);

/* As error_set(), as one more item. Returns -1. */
int error_list_add(struct error_list *list, enum exit_code code, const char *step,
                   const char *object, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* An error that is worded already. Returns -1. */
int error_list_push(struct error_list *list, const struct error *error);

int error_list_out_of_memory(struct error_list *list);

/* Hands the items over, to be freed by free(). Says "and N more" in a last one
 * of the first one's code. */
void error_list_give(struct error_list *list, const char *step, const char *object,
                     struct error **ret_errors, size_t *ret_count);

#endif
