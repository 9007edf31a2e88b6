/* Fills errors. See error.h for the convention. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void make_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

bool error_is_shortage(int error_number)
{
    return error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM ||
           error_number == ENOBUFS;
}

int error_set(struct error *error, enum exit_code code, const char *step, const char *object,
              const char *format, ...)
{
    va_list arguments;
    const int used = snprintf(error->text, sizeof error->text, "%s: %s: ", step, object);

    error->code = code;
    va_start(arguments, format);
    if (used > 0 && (size_t)used < sizeof error->text)
        vsnprintf(error->text + used, sizeof error->text - (size_t)used, format, arguments);
    va_end(arguments);
    make_one_line(error->text);
    return -1;
}
