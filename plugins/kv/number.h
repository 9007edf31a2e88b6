/* Numbers as Redis writes and reads them: strictly, and without a locale. */
#ifndef KV_NUMBER_H
#define KV_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NUMBER_SIZE = 24,        /* room for any int64 */
    NUMBER_FLOAT_SIZE = 5120 /* room for any long double, in full */
};

/* Decimal, no sign but '-', no leading zeros, nothing around it. False: it is none,
 * or it does not fit. */
bool number_parse(const char *text, size_t size, int64_t *ret_value);

/* Returns the length. Not NUL-terminated. */
size_t number_format(char text[NUMBER_SIZE], int64_t value);

/* What strtold() takes, but no spaces and no NaN. */
bool number_parse_float(const char *text, size_t size, long double *ret_value);

/* 17 digits behind the point, without the zeros at the end. Returns the length. */
size_t number_format_float(char text[NUMBER_FLOAT_SIZE], long double value);

#endif
