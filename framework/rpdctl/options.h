/* The options that a plugin under test gets from a configuration and from -o. */
#ifndef FRAMEWORK_RPDCTL_OPTIONS_H
#define FRAMEWORK_RPDCTL_OPTIONS_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

/* A JSON object, as under services[].options. descriptor: of the plugin, or NULL;
 * config: a file, or NULL; items: "KEY=VALUE", which win. NULL and the error (64). */
json_t *rpdctl_options(const json_t *descriptor, const char *plugin, const char *config,
                       const char *const *items, size_t count, struct error *error);

#endif
