/* What has happened before ensure starts anything: it is in the histories, and ensure reports it as
 * rpd itself would have done. */
#ifndef FRAMEWORK_ENSURE_PAST_H
#define FRAMEWORK_ENSURE_PAST_H

#include "base/error.h"
#include "observe/instance.h"
#include "rpdctl/ensure/request.h"

#include <stdint.h>

struct ensure_past;

/* No daemon lives, and it is the caller's turn. If a daemon was killed, and could not record its
 * end, that is noted first. seen: what is left of the first service. The caller frees the result
 * with free(); NULL without memory. */
struct ensure_past *ensure_past_read(const struct ensure_request *request,
                                     const struct instance *seen);

/* What other callers have tried since (CLOCK_REALTIME) while this caller waited for its turn, or
 * how its own start fared once it was bound: the code and the line. 0: there is no such failure. */
int ensure_past_tell_failure(const struct ensure_past *past, uint64_t began_ms,
                             struct error *error);

/* The last code and its line, with the seconds left, if the service is in a crash loop. 0: it
 * may be started. since_ms: what failed before was another configuration's. */
int ensure_past_tell_crash_loop(const struct ensure_past *past,
                                const struct ensure_request *request, uint64_t since_ms,
                                struct error *error);

/* How a service that was to become ready ended: its code and its line. */
int ensure_past_tell_end(const struct ensure_request *request, const struct instance *instance,
                         struct error *error);

#endif
