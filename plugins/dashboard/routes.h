/* What a request asks for, and whether it may: pure functions of its first lines. */
#ifndef DASHBOARD_ROUTES_H
#define DASHBOARD_ROUTES_H

#include <stdbool.h>

enum route {
    ROUTE_NONE,
    ROUTE_PAGE,
    ROUTE_SCRIPT,
    ROUTE_STYLE,
    ROUTE_ICON,
    ROUTE_STATUS,
    ROUTE_METRICS
};

/* url: without a query. */
enum route route_of(const char *url);

/* Where a client has connected to. */
struct local_end {
    bool is_tcp;
    unsigned port; /* of TCP */
};

/* Whether a Host header (NULL: none) means this server. A page of a foreign site can have its name
 * lead to this machine, and then ask in the name of the user that looks at it: but its own name
 * stands in Host. On TCP that is localhost, 127.0.0.1 or [::1] with the port. A unix socket can be
 * reached by a browser only if it is forwarded, from any port; any name will do there that can be
 * no site's, as it has no dot. */
bool host_is_ours(const char *host, const struct local_end *end);

enum metrics_type {
    METRICS_TYPE_OPENMETRICS,
    METRICS_TYPE_TEXT, /* 0.0.4 */
    METRICS_TYPE_NONE  /* neither is accepted */
};

/* By an Accept header (NULL: none). OpenMetrics, unless the older text is wanted more; or as much,
 * by a browser, which can show that. */
enum metrics_type metrics_type_for(const char *accept);

#endif
