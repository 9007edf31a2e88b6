/* What rpdctl ensure does, for commands that ensure a service as one of their steps. */
#ifndef FRAMEWORK_RPDCTL_ENSURE_COMMAND_H
#define FRAMEWORK_RPDCTL_ENSURE_COMMAND_H

#include <stdbool.h>

struct rpdctl_ensure_request {
    bool ready, json, current;
    double timeout_s;       /* 0: none */
    int (*stop)(void *arg); /* ensure.h's, or NULL */
    void *stop_arg;
    int argc; /* rpd's arguments */
    char **argv;
};

/* Returns the exit code of rpdctl ensure; it has reported any error. */
int rpdctl_ensure_arguments(const struct rpdctl_ensure_request *request);

#endif
