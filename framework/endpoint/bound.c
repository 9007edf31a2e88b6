/* What a backend's own bind returns: one constructor for each outcome. */
#include <rpd/endpoint.h>

#include <errno.h>
#include <stdio.h>

RPD_PRINTF(2, 0)
static struct rpd_bound bound_with_message(enum rpd_bind_outcome outcome, const char *format,
                                           va_list arguments)
{
    struct rpd_bound bound = {.outcome = outcome, .fd = -1};

    vsnprintf(bound.message, sizeof bound.message, format, arguments);
    return bound;
}

struct rpd_bound rpd_bound_listening(int take_fd)
{
    return (struct rpd_bound){.outcome = RPD_BIND_LISTENING, .fd = take_fd};
}

struct rpd_bound rpd_bound_invalid(const char *format, ...)
{
    struct rpd_bound bound;
    va_list arguments;

    va_start(arguments, format);
    bound = bound_with_message(RPD_BIND_INVALID, format, arguments);
    va_end(arguments);
    return bound;
}

struct rpd_bound rpd_bound_other(const char *format, ...)
{
    struct rpd_bound bound;
    va_list arguments;

    va_start(arguments, format);
    bound = bound_with_message(RPD_BIND_OTHER, format, arguments);
    va_end(arguments);
    return bound;
}

struct rpd_bound rpd_bound_in_use(void)
{
    return (struct rpd_bound){.outcome = RPD_BIND_IN_USE, .fd = -1};
}

struct rpd_bound rpd_bound_io(int error_number)
{
    return (struct rpd_bound){
        .outcome = error_number == EADDRINUSE ? RPD_BIND_IN_USE : RPD_BIND_IO,
        .fd = -1,
        .error_number = error_number > 0 ? error_number : EIO,
    };
}
