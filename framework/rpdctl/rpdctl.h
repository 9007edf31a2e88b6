/* rpdctl: the command beside rpd, for users that run services or write plugins. Each command is one
 * file, with one struct rpdctl_command. */
#ifndef FRAMEWORK_RPDCTL_H
#define FRAMEWORK_RPDCTL_H

#include "base/error.h"

/* The exit code of rpdctl's commands, besides 0 and 64. */
enum { RPDCTL_NO = 1 };

struct rpdctl_command {
    const char *name;
    const char *summary;               /* NULL: not for users */
    const char *help;                  /* what `rpdctl help NAME` prints */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; the exit code */
};

extern const struct rpdctl_command rpdctl_check, rpdctl_check_daemon, rpdctl_clients,
    rpdctl_connect, rpdctl_describe, rpdctl_doctor, rpdctl_ensure, rpdctl_forget, rpdctl_health,
    rpdctl_log, rpdctl_metrics, rpdctl_new, rpdctl_reload, rpdctl_restart, rpdctl_status,
    rpdctl_stop, rpdctl_timeline, rpdctl_wait;

#endif
