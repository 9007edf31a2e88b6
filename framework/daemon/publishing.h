/* The beginning of the daemon's step "code", and its step "publish": what it learns from the
 * histories of the starts before it, and what others can read of it: state page, record, history.
 */
#ifndef FRAMEWORK_PUBLISHING_H
#define FRAMEWORK_PUBLISHING_H

#include "base/error.h"

struct daemon;

/* [start] Under a service manager only. */
int daemon_recall(struct daemon *daemon, struct error *error);

/* [start] A daemon that cannot record itself does not serve. */
int daemon_publish(struct daemon *daemon, struct error *error);
void daemon_unpublish(struct daemon *daemon);

#endif
