/* Asking an instance whose loop rests (rpd/state.h): its page says nothing of a loop that is
 * stuck in code of which the loop itself does not know, so its control socket must answer. libc
 * only. */
#ifndef FRAMEWORK_INSTANCE_ASK_H
#define FRAMEWORK_INSTANCE_ASK_H

#include "observe/instance.h"

/* [any] Of one that is alive and rests: it is stalled if its loop does not answer within 0.9 s.
 * Where it cannot be asked the page decides. Any other stays as it is. */
void instance_ask(struct instance *instance);

#endif
