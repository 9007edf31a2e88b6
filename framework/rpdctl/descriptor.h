/* A plugin's descriptor, for rpdctl: read in a process of its own, since the
 * plugin's code runs then (its constructors), and may be anything. */
#ifndef FRAMEWORK_RPDCTL_DESCRIPTOR_H
#define FRAMEWORK_RPDCTL_DESCRIPTOR_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

/* A JSON object, which is what `rpdctl describe --json` prints; or NULL and the
 * error. libjansson_load() comes before it.
 *   file, name, summary, version, abi, own_bind, warmup, serves_without_state
 *   callbacks: names of those that it has
 *   options: [{name, type, default, min, max, meaning}]
 *   probe: null, or {request, reply_begins} with their bytes in hex
 *   opened_us: how long it took to open it, constructors included */
json_t *descriptor_read(const char *plugin, struct error *error);

/* The member's text; "" where it is none. */
const char *descriptor_text(const json_t *object, const char *member);

/* Whether it has this callback. */
bool descriptor_has(const json_t *object, const char *callback);

#endif
