/* A plugin's descriptor, for rpdctl. A process of its own reads it, since reading runs the plugin's
 * code (its constructors), which may do anything. */
#ifndef FRAMEWORK_RPDCTL_DESCRIPTOR_H
#define FRAMEWORK_RPDCTL_DESCRIPTOR_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

/* Returns the JSON object that `rpdctl describe --json` prints, or NULL and the error. Call
 * libjansson_load() first.
 *   file, name, summary, version, abi, own_bind, warmup, serves_without_state
 *   callbacks: names of those that it has
 *   options: [{name, type, default, min, max, meaning}]
 *   probe: null, or {request, reply_begins} with their bytes in hex
 *   opened_us: how long it took to open it, constructors included */
json_t *descriptor_read(const char *plugin, struct error *error);

/* The member's text; "" if the member is no text. */
const char *descriptor_text(const json_t *object, const char *member);

/* Whether the plugin has this callback. */
bool descriptor_has(const json_t *object, const char *callback);

#endif
