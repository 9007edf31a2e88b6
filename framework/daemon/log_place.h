/* Where the log goes: stderr until the configuration is known, then what that says. */
#ifndef FRAMEWORK_LOG_PLACE_H
#define FRAMEWORK_LOG_PLACE_H

#include "base/error.h"
#include "config/arguments.h"
#include "config/config.h"

/* [start] When inherited descriptors are closed; only for one that runs. 73. */
int log_place_open(const struct arguments *arguments, const struct config *config,
                   struct error *error);

#endif
