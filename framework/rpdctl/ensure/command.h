/* What rpdctl ensure does, for commands that ensure something on their way. */
#ifndef FRAMEWORK_RPDCTL_ENSURE_COMMAND_H
#define FRAMEWORK_RPDCTL_ENSURE_COMMAND_H

#include <stdbool.h>

struct rpdctl_ensure_request {
    bool ready, json;
    double timeout_s;       /* 0: none */
    int (*stop)(void *arg); /* ensure.h's, or NULL */
    void *stop_arg;
    int argc; /* rpd's arguments */
    char **argv;
};

/* The exit code of rpdctl ensure; it was said. */
int rpdctl_ensure_arguments(const struct rpdctl_ensure_request *request);

#endif
