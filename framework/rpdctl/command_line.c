/* Command lines. See rpdctl/command_line.h. */
#include "rpdctl/command_line.h"

#include "config/arguments.h"
#include "observe/state_view.h"
#include "rpdctl/program.h"

#include <stdlib.h>

int rpdctl_take_options(int argc, char **argv, const char *letters, const struct option *options,
                        rpdctl_take_fn take, void *request)
{
    char letter[3];
    int code = 0;

    opterr = 0;
    while (code == 0) {
        const int option = getopt_long(argc, argv, letters, options, NULL);

        if (option == -1)
            return 0;
        if (option == ':' || option == '?')
            return rpdctl_refuse(argv[0], "%s: %s", arguments_culprit(argv, letter),
                                 option == ':' ? "needs a value" : "unknown option");
        code = take(request, option, argv);
    }
    return code;
}

int rpdctl_take_service(int argc, char **argv, const char **ret_service)
{
    if (optind + 1 != argc)
        return rpdctl_refuse(argv[0], "one service is needed");
    *ret_service = argv[optind];
    if (!state_view_is_name(*ret_service))
        return rpdctl_refuse(argv[0],
                             "%s: no service can have that name: expected small letters, "
                             "digits, - and _",
                             *ret_service);
    return 0;
}

int rpdctl_take_plugin(int argc, char **argv, const char **ret_plugin)
{
    if (optind + 1 != argc)
        return rpdctl_refuse(argv[0], "one plugin is needed");
    *ret_plugin = argv[optind];
    return 0;
}

int rpdctl_take_seconds(const char *command, const char *option, const char *text, uint64_t *ret_us)
{
    enum { SECONDS_MAX = 30 * 86400 };
    char *end;
    const double seconds = strtod(text, &end);

    /* Not >, so that "nan" is none. */
    if (end == text || *end || !(seconds >= 0 && seconds <= SECONDS_MAX))
        return rpdctl_refuse(command, "%s %s: expected 0 to %d seconds", option, text, SECONDS_MAX);
    *ret_us = (uint64_t)(seconds * 1e6);
    return 0;
}
