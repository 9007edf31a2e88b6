/* The steps of a start that a runner takes in another way than a daemon without a keeper: what it
 * needs comes from its keeper, and goes there (keeper/link.h). */
#ifndef FRAMEWORK_AS_RUNNER_H
#define FRAMEWORK_AS_RUNNER_H

#include "base/error.h"

struct daemon;

/* [start] take_channel: to its keeper. */
void runner_init_process(struct daemon *daemon, int take_channel);

/* [start] The step "claim": listeners come in place of claims; and its undoing. */
int runner_take_setup(struct daemon *daemon, struct error *error);
void runner_forget_setup(struct daemon *daemon);

/* [start] The step "publish": listeners of own binds go, pages come. */
int runner_report(struct daemon *daemon, struct error *error);

#endif
