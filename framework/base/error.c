/* Fills errors. See error.h for the convention. */
#include "base/error.h"

#include "base/safe_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool error_is_shortage(int error_number)
{
    return error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM ||
           error_number == ENOBUFS;
}

int error_shortage_in(const char *message)
{
    static const int shortages[] = {EMFILE, ENFILE, ENOMEM};

    for (size_t i = 0; i < sizeof shortages / sizeof *shortages; i++) {
        const char *text = strerror(shortages[i]);
        const size_t size = strlen(text), all = strlen(message);

        if (all >= size && strcmp(message + all - size, text) == 0)
            return shortages[i];
    }
    return 0;
}

const char *error_remedy(int error_number, const char *otherwise)
{
    switch (error_number) {
    case EMFILE: return "raise the limit of descriptors";
    case ENFILE: return "raise the system's limit of open files";
    case ENOMEM:
    case ENOBUFS: return "free memory, or raise its limit";
    case ENOSPC: return "free space, or inodes, in its directory";
    case EDQUOT: return "free space, or inodes, or raise the quota";
    default: return otherwise;
    }
}

const char *error_remedy_in_directory(int error_number, const char *otherwise)
{
    return error_number == ENOENT ? "its directory was removed meanwhile; start it again"
                                  : error_remedy(error_number, otherwise);
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
    safe_text(error->text);
    return -1;
}
