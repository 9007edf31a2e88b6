/* What commands share that look at running services. See rpdctl_service.h. */
#include "rpdctl_service.h"

#include "directory.h"
#include "rpdctl_program.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int rpdctl_find_runtime(int *ret_fd)
{
    char path[RUNTIME_PATH_MAX];
    struct error error;
    const int found = directory_find_runtime(path, ret_fd, &error);

    if (found < 0)
        rpdctl_say("%s", error.text);
    return found;
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

int rpdctl_take_seconds(const char *command, const char *option, const char *text, uint64_t *ret_us)
{
    enum { SECONDS_MAX = 30 * 86400 };
    char *end;
    const double seconds = strtod(text, &end);

    /* (Not >, so that "nan" is none.) */
    if (end == text || *end || !(seconds >= 0 && seconds <= SECONDS_MAX))
        return rpdctl_refuse(command, "%s %s: expected 0 to %d seconds", option, text, SECONDS_MAX);
    *ret_us = (uint64_t)(seconds * 1e6);
    return 0;
}

const char *rpdctl_describe_end(const struct history_entry *end, char ret_text[RPDCTL_TEXT_MAX])
{
    const char *signal_name = end->code > 128 ? sigabbrev_np(end->code - 128) : NULL;
    const char *colon = *end->text ? ": " : "";

    if (signal_name)
        snprintf(ret_text, RPDCTL_TEXT_MAX, "died of SIG%s%s%s", signal_name, colon, end->text);
    else if (end->code == 0)
        snprintf(ret_text, RPDCTL_TEXT_MAX, "stopped");
    else
        snprintf(ret_text, RPDCTL_TEXT_MAX, "ended with %d%s%s", end->code, colon, end->text);
    return ret_text;
}

const char *rpdctl_tell_end(int runtime_dirfd, const struct instance *instance,
                            char ret_text[RPDCTL_TEXT_MAX])
{
    struct history_entry end;

    if (instance->pid <= 0)
        snprintf(ret_text, RPDCTL_TEXT_MAX, "failed to start: its own error says why");
    else if (history_view_end(runtime_dirfd, instance->service, instance->pid, instance->start_time,
                              &end))
        rpdctl_describe_end(&end, ret_text);
    else
        snprintf(ret_text, RPDCTL_TEXT_MAX, "ended without a word: it was killed");
    return ret_text;
}
