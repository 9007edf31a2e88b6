/* The beginning of the daemon's step "code", and its step "publish". The daemon reads the histories
 * of earlier starts, and publishes what others can read about it: state page, metrics, record,
 * history. */
#ifndef FRAMEWORK_PUBLISHING_H
#define FRAMEWORK_PUBLISHING_H

#include "base/error.h"
#include "publish/state_page.h"

#include <stdbool.h>

struct daemon;

/* [start] Under a service manager only. */
int daemon_recall(struct daemon *daemon, struct error *error);

/* [start] A daemon that cannot record itself does not serve. */
int daemon_publish(struct daemon *daemon, struct error *error);

/* [loop] Writes the records anew, for another configuration. If one cannot be written, the previous
 * one stays. */
void daemon_publish_records(const struct daemon *daemon);

/* [loop] Replaces the state pages with new ones for the next runner. If a page cannot be created,
 * the previous one stays in use. */
void daemon_publish_next_pages(void *daemon);

/* [loop] Makes the pages of the next generation, one a service, beside those that there are. */
bool daemon_publish_pages_of_next(const struct daemon *daemon, struct state_page *pages);
/* [loop] Replaces the pages of metrics with those that the next runner has laid out. */
void daemon_publish_next_metrics(void *daemon);
void daemon_unpublish(struct daemon *daemon);

#endif
