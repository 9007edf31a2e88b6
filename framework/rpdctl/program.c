/* What rpdctl's commands share. See rpdctl/program.h. */
#include "rpdctl/program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 2, 0))) static void say(const char *command, const char *format,
                                                      va_list arguments)
{
    char text[ERROR_TEXT_MAX];

    vsnprintf(text, sizeof text, format, arguments);
    fprintf(stderr, "rpdctl: %s%s%s", command, *command ? ": " : "", text);
}

void rpdctl_say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say("", format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int rpdctl_refuse(const char *command, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see rpdctl help%s%s\n", *command ? " " : "", command);
    return EXIT_COMMAND_LINE;
}

int rpdctl_beside(const char *program, char ret_path[PATH_MAX], struct error *error)
{
    char self[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    self[length > 0 ? length : 0] = '\0';
    slash = strrchr(self, '/');
    if (!slash ||
        snprintf(ret_path, PATH_MAX, "%.*s/%s", (int)(slash - self), self, program) >= PATH_MAX)
        return error_set(error, EXIT_SYSTEM, "find", program,
                         "cannot find out where rpdctl itself is; is /proc mounted?");
    if (access(ret_path, X_OK) < 0)
        return error_set(error, EXIT_SYSTEM, "find", ret_path, "%s; install it beside rpdctl",
                         strerror(errno));
    return 0;
}
