/* The start that ensure makes, and what it leaves in the histories. */
#ifndef FRAMEWORK_ENSURE_START_H
#define FRAMEWORK_ENSURE_START_H

#include "observe/history_view.h"
#include "observe/instance.h"
#include "rpdctl/ensure/launch.h"
#include "rpdctl/ensure/request.h"

#include <signal.h>

enum { ENSURE_KILLED = 128 + SIGKILL }; /* the code of one that was killed, in the histories, too */

/* Starts rpd, which lives beside rpdctl, with what the caller asked for. The lock is handed
 * on: it is held until the start is over, and no longer, whatever becomes of this
 * process. A failed start is in the services' histories by then. 0 with an outcome, or -1. */
int ensure_start(const struct ensure_request *request, struct lock *take_lock,
                 struct launch_result *ret, struct error *error);

/* Notes the end of a run that could not do so itself: it was killed. seen: what it left. */
void ensure_start_bury(const struct ensure_request *request, const struct history_entry *bound,
                       const struct instance *seen);

#endif
