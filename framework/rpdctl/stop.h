/* What rpdctl stop does, for commands that stop a service on their way. */
#ifndef FRAMEWORK_RPDCTL_STOP_H
#define FRAMEWORK_RPDCTL_STOP_H

#include <stdbool.h>
#include <stdint.h>

struct rpdctl_stop_request {
    const char *service;
    bool all, force, has_timeout; /* as rpdctl stop's options */
    uint64_t timeout_us;
};

/* Returns the exit code of rpdctl stop; it has reported any error. */
int rpdctl_stop_in(const struct rpdctl_stop_request *request, int runtime_dirfd);

#endif
