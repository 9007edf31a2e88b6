/* dashboard: shows the services of its user over HTTP, by what they show of themselves in files. It
 * asks no service, and changes nothing. README.md has the routes.
 *
 * Its own bind refuses what is no unix socket and not this machine's loopback. */
#include "site.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("refresh", 1000, 100, 60000, "how often the page asks anew, in ms"),
    RPD_OPTIONS_END,
};

static const struct rpd_option_detail details[] = {
    RPD_DETAIL_DURATION("refresh", RPD_UNIT_MILLISECONDS, 0),
    RPD_DETAILS_END,
};

static const struct rpd_metric metrics[] = {
    [METRIC_REQUESTS] = RPD_COUNTER("dashboard_requests", "", "Requests"),
    [METRIC_REFUSED] = RPD_COUNTER("dashboard_requests_refused", "",
                                   "Requests that were answered with 4xx"),
    [METRIC_LOOKS] = RPD_COUNTER("dashboard_looks", "", "Looks at the files of all services"),
    [METRIC_LOOK_TIME] = RPD_HISTOGRAM("dashboard_look_time", "us",
                                       "How long looks took, with the wait for a worker"),
    RPD_METRICS_END,
};

static bool is_local(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;

    switch (address->sa_family) {
    case AF_UNIX: return true;
    case AF_INET: return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    case AF_INET6: return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    default: return false;
    }
}

static struct rpd_bound bind_locally(const struct rpd_endpoint *endpoint)
{
    socklen_t length;

    if (!is_local(rpd_endpoint_address(endpoint, &length)))
        return rpd_bound_invalid("it is not on the loopback, and the dashboard has no password; "
                                 "listen at a unix socket, at tcp:127.0.0.1 or tcp:[::1]");
    return rpd_bind_plainly(endpoint);
}

/* A listener that was inherited has not come by bind_locally(). */
static void accept_locally(struct rpd_service *service, int take_fd, const struct sockaddr *peer,
                           socklen_t peer_length, void *arg)
{
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;

    if (getsockname(take_fd, (struct sockaddr *)&own, &size) == 0 &&
        is_local((const struct sockaddr *)&own)) {
        site_accept(service, take_fd, peer, peer_length, arg);
        return;
    }
    rpd_log(service, RPD_LOG_WARNING,
            "a client came by an address that is not on the loopback: it is closed");
    rpd_client_gone(service, take_fd);
    close(take_fd);
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    if (!rpd_service_data(service))
        rpd_service_set_data(service, site_start(service));
    if (!rpd_service_data(service))
        return -1;
    return rpd_accept(service, listener, accept_locally, rpd_service_data(service));
}

static void on_drain(struct rpd_service *service, void *state)
{
    (void)state;
    if (rpd_service_data(service))
        site_drain(rpd_service_data(service));
}

static void stop(struct rpd_service *service, void *state)
{
    (void)state;
    site_stop(rpd_service_data(service));
    rpd_service_set_data(service, NULL);
}

RPD_BACKEND_BIND(bind_locally);
RPD_BACKEND(dashboard, .summary = "Shows the services of its user, over HTTP", .version = "1",
            .options = options, .option_details = details, .metrics = metrics, .serve = serve,
            .on_drain = on_drain, .stop = stop,
            .probe = RPD_PROBE("GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
                               "HTTP/1.1 200"));
