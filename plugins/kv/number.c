/* Numbers. See number.h. */
#include "number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool number_parse(const char *text, size_t size, int64_t *ret_value)
{
    const bool negative = size > 0 && text[0] == '-';
    const char *at = text + negative;
    const char *end = text + size;
    uint64_t value = 0;

    if (size == 0 || size > 20 || at == end)
        return false;
    if (*at == '0' && size == 1) {
        *ret_value = 0;
        return true;
    }
    if (*at == '0')
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(value, 10U, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    }
    if (value > (uint64_t)INT64_MAX + negative)
        return false;
    *ret_value = negative ? (int64_t)-value : (int64_t)value;
    return true;
}

size_t number_format(char text[NUMBER_SIZE], int64_t value)
{
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    char digits[NUMBER_SIZE];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        digits[--at] = '-';
    memcpy(text, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

bool number_parse_float(const char *text, size_t size, long double *ret_value)
{
    char copy[NUMBER_FLOAT_SIZE];
    char *end;
    long double value;

    if (size == 0 || size >= sizeof copy || isspace((unsigned char)text[0]))
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    errno = 0;
    value = strtold(copy, &end);
    if (end != copy + size || isnan(value))
        return false;
    if (errno == EINVAL ||
        (errno == ERANGE && (value == (long double)HUGE_VAL || value == -(long double)HUGE_VAL ||
                             fpclassify(value) == FP_ZERO)))
        return false;
    *ret_value = value;
    return true;
}

size_t number_format_float(char text[NUMBER_FLOAT_SIZE], long double value)
{
    size_t size = (size_t)snprintf(text, NUMBER_FLOAT_SIZE, "%.17Lf", value);

    while (text[size - 1] == '0')
        size--;
    if (text[size - 1] == '.')
        size--;
    if (size == 2 && text[0] == '-' && text[1] == '0') {
        text[0] = '0';
        size = 1;
    }
    return size;
}
