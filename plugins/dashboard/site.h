/* The HTTP side: libmicrohttpd on the loop of rpd, and requests that wait for a look. */
#ifndef DASHBOARD_SITE_H
#define DASHBOARD_SITE_H

#include <rpd/backend.h>

struct site;

/* The metrics of dashboard.c, by their place there. */
enum { METRIC_REQUESTS, METRIC_REFUSED, METRIC_LOOKS, METRIC_LOOK_TIME };

/* [loop] NULL: rpd_serve_fail() was called. */
struct site *site_start(struct rpd_service *service);

/* [loop] An rpd_accept_fn, with the site as arg. */
void site_accept(struct rpd_service *service, int take_fd, const struct sockaddr *peer,
                 socklen_t peer_length, void *arg);

/* [loop] Answers what is asked already, and closes what is idle. */
void site_drain(struct site *site);

/* [loop] NULL is legal. */
void site_stop(struct site *site);

#endif
