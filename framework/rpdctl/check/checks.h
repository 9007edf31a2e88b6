/* The checks of `rpdctl check`: one file for each subject, each with a table. */
#ifndef FRAMEWORK_RPDCTL_CHECKS_H
#define FRAMEWORK_RPDCTL_CHECKS_H

#include "rpdctl/kit.h"

enum { LOAD_SLOW_MS = 700 }; /* what "load-slow" of rpdctl/check/daemon.c takes at least */

struct check {
    const char *id, *title;
    enum verdict (*run)(struct kit *kit);
    bool needs_code; /* skipped where the plugin cannot be loaded */
};

extern const struct check checks_of_file[], checks_of_bind[], checks_of_load[], checks_of_clients[],
    checks_of_answers[], checks_of_end[]; /* each closed by one without an id */

#endif
