/* What has happened before ensure starts anything: it is in the histories, and is reported as rpd
 * itself would have said it. */
#ifndef FRAMEWORK_ENSURE_PAST_H
#define FRAMEWORK_ENSURE_PAST_H

#include "base/error.h"
#include "observe/instance.h"
#include "rpdctl/ensure/request.h"

#include <stdint.h>

struct ensure_past;

/* No daemon lives, and it is our turn: one that was killed, and could not say so, is noted first.
 * seen: what is left of the first service. free() is due; NULL without memory. */
struct ensure_past *ensure_past_read(const struct ensure_request *request,
                                     const struct instance *seen);

/* What others have tried since (CLOCK_REALTIME) while we were waiting for our turn, or what became
 * of our own start once it was bound: its code and its line. 0: there is no such failure. */
int ensure_past_tell_failure(const struct ensure_past *past, uint64_t began_ms,
                             struct error *error);

/* The last code and its line, with the seconds left, if the service is in a crash loop. 0: it
 * may be started. since_ms: what failed before was another configuration's. */
int ensure_past_tell_crash_loop(const struct ensure_past *past,
                                const struct ensure_request *request, uint64_t since_ms,
                                struct error *error);

/* How this one ended, which was to become ready: its code and its line. */
int ensure_past_tell_end(const struct ensure_request *request, const struct instance *instance,
                         struct error *error);

#endif
