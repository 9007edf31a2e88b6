/* A question to a daemon, through its control socket: rpd-control(7). */
#ifndef FRAMEWORK_RPDCTL_ASK_H
#define FRAMEWORK_RPDCTL_ASK_H

#include "library/libjansson.h"
#include "observe/instance.h"

/* Asks the daemon of a service that lives, and waits for its answer, for some seconds at most.
 * take_request: without "v" and "id". The answer, for the caller to free; NULL after it was said:
 * also where the daemon refuses. */
json_t *rpdctl_ask(const char *command, const struct instance *instance, json_t *take_request);

/* The same for what takes long: waits as long as the daemon lives. A refusal is an answer, too. */
json_t *rpdctl_ask_for_long(const char *command, const struct instance *instance,
                            json_t *take_request);

#endif
