/* What the commands that look at running services share. See rpdctl/service.h. */
#include "rpdctl/service.h"

#include "rpdctl/program.h"

#include <stdio.h>
#include <string.h>

int rpdctl_find_runtime(int *ret_fd)
{
    char path[RUNTIME_PATH_MAX];

    return rpdctl_find_runtime_path(path, ret_fd);
}

int rpdctl_find_runtime_path(char ret_path[RUNTIME_PATH_MAX], int *ret_fd)
{
    struct error error;
    const int found = directory_find_runtime(ret_path, ret_fd, &error);

    if (found < 0)
        rpdctl_say("%s", error.text);
    return found;
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
