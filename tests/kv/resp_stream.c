/* See resp_stream.h. */
#include "resp_stream.h"

#include <stdlib.h>
#include <string.h>

const char *resp_header(const char *data, size_t size, long long *ret_number)
{
    const char *end = size > 0 ? memchr(data, '\n', size) : NULL;

    if (!end)
        return NULL;
    *ret_number = strtoll(data + 1, NULL, 10);
    return end + 1;
}

size_t resp_answer_size(const char *data, size_t size)
{
    long long number;
    const char *at = resp_header(data, size, &number);
    size_t used;

    if (!at)
        return 0;
    used = (size_t)(at - data);
    switch (*data) {
    case '$':
    case '=':
        if (number < 0)
            return used;
        return used + (size_t)number + 2 <= size ? used + (size_t)number + 2 : 0;
    case '%': number *= 2; break;
    case '*':
    case '~': break;
    default: return used;
    }
    for (long long i = 0; i < number; i++) {
        const size_t one = resp_answer_size(data + used, size - used);
        if (one == 0)
            return 0;
        used += one;
    }
    return used;
}
