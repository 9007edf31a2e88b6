/* web: a backend that brings a bind, a serve and a library of its own.
 *
 * The library is libmicrohttpd, which has an epoll descriptor of its own: it
 * becomes one event on rpd's loop, and rpd hands it connected clients. The
 * bind is the usual one with one socket option on top: clients that connect
 * and say nothing are left in the kernel for a second.
 *
 *     build/rpd build/samples/web.so -l tcp:127.0.0.1:8080
 *     curl http://127.0.0.1:8080/
 */
#include <rpd/backend.h>

#include <event2/event.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct web {
    struct rpd_service *service;
    struct MHD_Daemon *http;
    struct event *readable, *timer;
    const char *text;
};

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("text", "hello\n", "what every page says"),
    RPD_OPTIONS_END,
};

static struct web web; /* one service of this plugin a process: enough for a sample */

static struct rpd_bound bind_web(const struct rpd_endpoint *endpoint)
{
    struct rpd_bound bound = rpd_bind_plainly(endpoint);
    const int seconds = 1;

    if (bound.outcome == RPD_BIND_LISTENING) /* means nothing to a unix socket, and fails there */
        setsockopt(bound.fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
    return bound;
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **request)
{
    static int seen;
    struct MHD_Response *response;
    enum MHD_Result result;

    (void)arg, (void)url, (void)method, (void)version, (void)upload;
    if (!*request) { /* the headers are there; the body, if any, follows */
        *request = &seen;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    response = MHD_create_response_from_buffer(strlen(web.text), (void *)(uintptr_t)web.text,
                                               MHD_RESPMEM_PERSISTENT);
    result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static void closed(void *arg, struct MHD_Connection *connection, void **data,
                   enum MHD_ConnectionNotificationCode code)
{
    (void)arg, (void)data;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED)
        rpd_client_gone(
            web.service,
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
}

/* The library says how long it can wait; the loop calls again by then. */
static void turn(evutil_socket_t fd, short what, void *arg)
{
    MHD_UNSIGNED_LONG_LONG milliseconds;

    (void)fd, (void)what, (void)arg;
    MHD_run(web.http);
    if (MHD_get_timeout(web.http, &milliseconds) == MHD_YES) {
        const struct timeval wait = {(time_t)(milliseconds / 1000),
                                     (suseconds_t)(milliseconds % 1000 * 1000)};
        event_add(web.timer, &wait);
    }
}

static void accept_client(struct rpd_service *service, int fd, const struct sockaddr *peer,
                          socklen_t peer_length, void *arg)
{
    (void)arg;
    if (MHD_add_connection(web.http, fd, peer, peer_length) != MHD_YES) {
        rpd_client_gone(service, fd); /* the library has closed it */
        return;
    }
    turn(-1, 0, NULL);
}

static int start_http(struct rpd_service *service)
{
    const union MHD_DaemonInfo *info;
    struct event_base *base = rpd_service_event_base(service);

    web.service = service;
    web.text = rpd_option_string(service, "text");
    web.http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, answer,
                                NULL, MHD_OPTION_NOTIFY_CONNECTION, closed, NULL,
                                MHD_OPTION_CONNECTION_TIMEOUT, 60U, MHD_OPTION_END);
    info = web.http ? MHD_get_daemon_info(web.http, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info)
        return rpd_serve_fail(service, "cannot start the HTTP library");
    web.readable = event_new(base, info->epoll_fd, EV_READ | EV_PERSIST, turn, NULL);
    web.timer = event_new(base, -1, 0, turn, NULL);
    if (!web.readable || !web.timer || event_add(web.readable, NULL) < 0)
        return rpd_serve_fail(service, "out of memory");
    return 0;
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    if (web.service && web.service != service)
        return rpd_serve_fail(service, "only one service of this plugin can run in a process");
    if (!web.http && start_http(service) < 0)
        return -1;
    return rpd_accept(service, listener, accept_client, NULL);
}

static void stop(struct rpd_service *service, void *state)
{
    (void)service, (void)state;
    if (web.timer)
        event_free(web.timer);
    if (web.readable)
        event_free(web.readable);
    if (web.http)
        MHD_stop_daemon(web.http);
    web = (struct web){0};
}

RPD_BACKEND_BIND(bind_web);
RPD_BACKEND(web, .summary = "Says one thing over HTTP", .options = options, .serve = serve,
            .stop = stop,
            .probe = RPD_PROBE("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200"));
