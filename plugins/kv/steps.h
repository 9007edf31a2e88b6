/* Commands that take long go in steps: some milliseconds in each turn of the loop, so that other
 * services and the control socket go on. What such a command does is still done at one moment: as
 * long as one runs, this service's other clients wait, nothing expires, and no save begins. It
 * runs to its end, even if its client goes. */
#ifndef KV_STEPS_H
#define KV_STEPS_H

#include "kv.h"

struct request_copy;

/* [loop] The call's function has set CALL_GO_ON: it is called again in the next turns. copy: of
 * the request, which becomes its; NULL: one is made. The client is paused until it is done. Where
 * there is no memory for that, it is all done now, and the client is closed. */
void steps_begin(struct call *call, struct request_copy *copy);

/* [loop] At the stop: what has been begun is done. */
void steps_finish(struct kv *kv);

#endif
