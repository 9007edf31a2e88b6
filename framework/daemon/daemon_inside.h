/* Internals of the daemon, shared by the files that hold its steps. daemon.c has their order. */
#ifndef FRAMEWORK_DAEMON_INSIDE_H
#define FRAMEWORK_DAEMON_INSIDE_H

#include "base/directory.h"
#include "config/arguments.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/notify.h"
#include "daemon/running.h"
#include "endpoint/adopt.h"
#include "keeper/keeper.h"
#include "keeper/link.h"
#include "plugin/surroundings.h"
#include "service/service.h"

struct daemon {
    struct config *config; /* changed by live_apply() alone */
    const struct arguments *arguments;
    uint64_t started_us, bound_us;
    uint64_t step_us[METRIC_STEPS]; /* how long each step took */
    struct rpd_service *services;
    size_t service_count;
    struct adoption adoption;
    char runtime_dir[RUNTIME_PATH_MAX];
    int runtime_dirfd;
    struct claim **claims; /* all of all services */
    size_t claim_count, endpoint_count;
    struct surroundings surroundings;
    struct notify notify;
    struct control control;
    struct running running;
    struct keeper keeper;  /* used if the services belong to a keeper */
    struct link link;      /* used if they belong to a runner */
    struct reload *reload; /* NULL in a runner */
    enum service_role role;
    int exit_code;
    bool is_error_told; /* the runner has reported it */
};

/* Whether a service manager manages the daemon. */
static inline bool is_managed(const struct daemon *daemon)
{
    return daemon->notify.socket >= 0;
}

#endif
