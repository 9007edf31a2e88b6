/* The start that ensure makes, and what it leaves in the histories. */
#ifndef FRAMEWORK_ENSURE_START_H
#define FRAMEWORK_ENSURE_START_H

#include "ensure.h"
#include "history_view.h"
#include "launch.h"

/* Starts rpd, which lives beside rpdctl, with what the caller asked for. lock_fd stays
 * locked until the start is over, even if this process is not there any more. A failed
 * start is in the services' histories by then. 0 with an outcome, or -1. */
int ensure_start(const struct ensure *ensure, int lock_fd, struct launch_result *ret,
                 struct error *error);

/* Notes the end of a run that could not do so itself: it was killed. seen: what it left. */
void ensure_start_bury(const struct ensure *ensure, const struct history_entry *bound,
                       const struct instance *seen);

#endif
