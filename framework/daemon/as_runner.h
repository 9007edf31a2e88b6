/* The steps of a start that a runner takes differently from a daemon without a keeper. The runner
 * receives what it needs from its keeper, and sends its results there; see keeper/link.h. */
#ifndef FRAMEWORK_AS_RUNNER_H
#define FRAMEWORK_AS_RUNNER_H

#include "base/error.h"

struct daemon;

/* [start] take_channel: the channel to its keeper. */
void runner_init_process(struct daemon *daemon, int take_channel);

/* [start] The step "claim", and its reversal. A runner receives listeners instead of claims. */
int runner_take_setup(struct daemon *daemon, struct error *error);
void runner_forget_setup(struct daemon *daemon);

/* [start] The step "publish": the runner sends the listeners of own binds and receives pages. */
int runner_report(struct daemon *daemon, struct error *error);

#endif
