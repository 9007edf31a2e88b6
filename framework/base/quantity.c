/* Reads sizes and durations. See quantity.h. */
#include "base/quantity.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { DECIMALS_MAX = 6, UNIT_MAX = 8 };

struct unit {
    const char *name;
    int64_t size;
};

#define KIB INT64_C(1024)
#define SECOND INT64_C(1000000)
static const struct unit sizes[] = {
    {"B", 1},
    {"K", KIB},
    {"M", KIB *KIB},
    {"G", KIB *KIB *KIB},
    {"T", KIB *KIB *KIB *KIB},
    {"KiB", KIB},
    {"MiB", KIB *KIB},
    {"GiB", KIB *KIB *KIB},
    {"TiB", KIB *KIB *KIB *KIB},
    {NULL, 0},
};
static const struct unit times[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", SECOND},
    {"m", 60 * SECOND},
    {"h", 3600 * SECOND},
    {"d", 86400 * SECOND},
    {"w", INT64_C(7) * 86400 * SECOND},
    {NULL, 0},
};

static const struct unit *units_of(enum quantity_kind kind)
{
    return kind == QUANTITY_BYTES ? sizes : times;
}

static bool is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

static size_t unit_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* The size of the unit that the text begins with; 0: no such unit. */
static int64_t find_unit(enum quantity_kind kind, const char *text, size_t length)
{
    for (const struct unit *unit = units_of(kind); unit->name; unit++)
        if (strlen(unit->name) == length && strncmp(unit->name, text, length) == 0)
            return unit->size;
    return 0;
}

/* Reads digits, some of them behind a decimal point. Returns the text after them. NULL: there are
 * none, or too many. */
static const char *read_number(const char *text, int64_t *ret_number, int64_t *ret_scale)
{
    size_t decimals = 0;

    *ret_number = 0;
    *ret_scale = 1;
    if (!is_digit(*text))
        return NULL;
    for (bool is_behind = false; is_digit(*text) || (*text == '.' && !is_behind); text++) {
        if (*text == '.') {
            is_behind = true;
            continue;
        }
        if (*ret_number > (INT64_MAX - 9) / 10 || (is_behind && ++decimals > DECIMALS_MAX))
            return NULL;
        *ret_number = *ret_number * 10 + (*text - '0');
        *ret_scale *= is_behind ? 10 : 1;
    }
    return text[-1] == '.' ? NULL : text;
}

/* Computes number / scale units. False if the result is not whole. */
static bool multiply(int64_t number, int64_t scale, int64_t unit, int64_t *ret)
{
    const int64_t whole = number / scale, part = number % scale;

    /* part < 10^6 and unit < 2^41 */
    return part * unit % scale == 0 && !__builtin_mul_overflow(whole, unit, ret) &&
           !__builtin_add_overflow(*ret, part * unit / scale, ret);
}

bool quantity_read(enum quantity_kind kind, const char *text, int64_t *ret)
{
    int64_t sum = 0, before = INT64_MAX;

    do {
        int64_t number, scale, unit, value;
        const char *behind = read_number(text, &number, &scale);

        if (!behind)
            return false;
        text = behind + unit_length(behind);
        unit = find_unit(kind, behind, (size_t)(text - behind));
        if (unit == 0 || unit >= before || !multiply(number, scale, unit, &value) ||
            __builtin_add_overflow(sum, value, &sum))
            return false;
        before = kind == QUANTITY_BYTES ? 0 : unit; /* a size has only one number */
    } while (*text);
    *ret = sum;
    return true;
}

const char *quantity_pattern(enum quantity_kind kind)
{
    return kind == QUANTITY_BYTES ? "^[0-9]+(\\.[0-9]{1,6})?(B|[KMGT](iB)?)$"
                                  : "^([0-9]+(\\.[0-9]{1,6})?(us|ms|s|m|h|d|w))+$";
}

const char *quantity_expected(enum quantity_kind kind)
{
    return kind == QUANTITY_BYTES ? "a size such as \"64M\"" : "a duration such as \"1h30m\"";
}

const char *quantity_text(enum quantity_kind kind, int64_t value, char text[QUANTITY_TEXT_MAX])
{
    /* A size is written with the largest unit that divides it, a time with all units. */
    const bool is_size = kind == QUANTITY_BYTES;
    int used = snprintf(text, QUANTITY_TEXT_MAX, "%s", value == 0 ? "0" : "");

    for (int at = is_size ? 4 : 6; at >= 0 && value > 0 && used < QUANTITY_TEXT_MAX; at--) {
        const struct unit *unit = &units_of(kind)[at];

        if (value < unit->size || (is_size && value % unit->size != 0))
            continue;
        used += snprintf(text + used, (size_t)(QUANTITY_TEXT_MAX - used), "%lld%s",
                         (long long)(value / unit->size), unit->name);
        value %= unit->size;
    }
    return text;
}

const char *quantity_hint(enum quantity_kind kind, const char *text, char hint[NEAREST_HINT_MAX])
{
    char unit[UNIT_MAX + 1] = "";
    struct nearest nearest;

    for (const char *at = text + strspn(text, "0123456789."); *at && !*unit;
         at += strspn(at, "0123456789.")) {
        const size_t length = unit_length(at);

        if (length == 0 || length > UNIT_MAX)
            break;
        if (find_unit(kind, at, length) == 0)
            memcpy(unit, at, length);
        at += length;
    }
    nearest_start(&nearest, unit);
    for (const struct unit *known = units_of(kind); known->name && *unit; known++) {
        nearest_try(&nearest, known->name);
        if (strcasecmp(known->name, unit) == 0)
            nearest.best = known->name, nearest.distance = 0;
    }
    return nearest_hint(&nearest, hint);
}
