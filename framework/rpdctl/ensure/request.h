/* What to ensure: a configuration, the names of its services, and the directory in which ensure
 * looks for them. */
#ifndef FRAMEWORK_ENSURE_REQUEST_H
#define FRAMEWORK_ENSURE_REQUEST_H

#include "base/directory.h"
#include "base/error.h"
#include "config/arguments.h"
#include "config/config.h"
#include "plugin/plugin.h"

#include <stddef.h>
#include <stdint.h>

struct ensure_request {
    /* The caller's: */
    const struct arguments *arguments;
    const struct config *config;
    uint64_t deadline_us; /* of CLOCK_MONOTONIC, or UINT64_MAX */
    /* ensure_request_prepare()'s: */
    char (*names)[64]; /* of the services, in their order */
    size_t count;
    int dirfd; /* the run-time directory; its path: */
    char runtime_dir[RUNTIME_PATH_MAX];
};

/* Fills in what the caller has not. 0, or -1; ensure_request_finish() is due in both cases. */
int ensure_request_prepare(struct ensure_request *request, struct error *error);
/* Whether the run-time directory is another one than before: then the descriptor, with the same
 * number, is that of the new directory. 0: no; 1: yes; -1: and it cannot be opened. */
int ensure_request_follow(struct ensure_request *request, struct error *error);

void ensure_request_finish(struct ensure_request *request);

/* A service's plugin, as plugin_inspect() sees it: plugin_finish() is due in both cases. */
int ensure_request_inspect(const struct ensure_request *request, size_t index,
                           struct plugin *plugin, struct error *error);

#endif
