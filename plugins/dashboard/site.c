/* The HTTP side. See site.h.
 *
 * A request for data is suspended until a look has begun after it and is over; requests of the same
 * moment share one, and at most one look runs. So whoever asks, and how often, files are read by
 * one worker at a time, and never on the loop. */
#include "site.h"

#include "files.h"
#include "look.h"
#include "routes.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A connection, from accept to close. */
struct client {
    struct client *next, **at;
    int fd;
    struct local_end end;
};

/* One that waits for a look, or has its answer. */
struct request {
    struct request *next;
    struct MHD_Connection *connection;
    enum look_kind kind;
    struct MHD_Response *response; /* NULL: it waits, or there is none to be had */
    bool is_over;                  /* it waits no more */
};

/* A look that runs, and then its texts, as long as a response has them. */
struct shared_look {
    struct look look;
    uint64_t began_us;
    unsigned references;
};

struct site {
    struct rpd_service *service;
    struct MHD_Daemon *http;
    struct event *readable, *timer;
    struct client *clients;
    struct request *waiting; /* for the next look */
    struct request *looking; /* for the one that runs */
    bool is_looking, drains;
};

static uint64_t monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* The library says how long it can wait; the loop calls again by then. */
static void turn(struct site *site)
{
    MHD_UNSIGNED_LONG_LONG milliseconds;

    MHD_run(site->http);
    if (MHD_get_timeout(site->http, &milliseconds) == MHD_YES) {
        const struct timeval wait = {(time_t)(milliseconds / 1000),
                                     (suseconds_t)(milliseconds % 1000 * 1000)};
        event_add(site->timer, &wait);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    turn(arg);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

/* Nothing but what is served here, by nobody but us; nothing is shown in a frame, guessed, or kept.
 * What scripts write into the page is text (trusted types), whatever a service is called. */
static const char *const headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
     "require-trusted-types-for 'script'; trusted-types 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cache-Control", "no-store"},
    {"Vary", "Accept"},
};

/* The response is given up. NULL: no memory; the connection is closed. */
static enum MHD_Result answer(const struct site *site, struct MHD_Connection *connection,
                              unsigned code, const char *type, struct MHD_Response *response)
{
    enum MHD_Result result;

    if (!response)
        return MHD_NO;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (code == MHD_HTTP_SERVICE_UNAVAILABLE)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (site->drains)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(const struct site *site, struct MHD_Connection *connection,
                                   unsigned code, const char *text)
{
    return answer(site, connection, code, "text/plain; charset=utf-8",
                  MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                  MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result answer_file(const struct site *site, struct MHD_Connection *connection,
                                   const struct file *file)
{
    return answer(site, connection, MHD_HTTP_OK, file->type,
                  MHD_create_response_from_buffer(file->size, (void *)(uintptr_t)file->data,
                                                  MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result answer_look(const struct site *site, const struct request *request)
{
    static const char *const types[LOOK_KINDS] = {
        [LOOK_STATUS] = "application/json",
        [LOOK_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
        [LOOK_TEXT_0_0_4] = "text/plain; version=0.0.4; charset=utf-8",
    };

    if (!request->response)
        return answer_text(site, request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                           "The services cannot be looked at now; the log of this service says "
                           "why.\n");
    return answer(site, request->connection, MHD_HTTP_OK, types[request->kind], request->response);
}

/* ---- looks -------------------------------------------------------------------------------------
 */

static void look_release(void *arg)
{
    struct shared_look *shared = arg;

    if (--shared->references > 0)
        return;
    look_finish(&shared->look);
    free(shared);
}

static void run_look(struct rpd_job *job, void *arg)
{
    (void)job;
    look_read(&((struct shared_look *)arg)->look);
}

static struct MHD_Response *response_of(struct shared_look *shared, enum look_kind kind)
{
    struct MHD_Response *response;

    if (!shared->look.texts[kind])
        return NULL;
    response = MHD_create_response_from_buffer_with_free_callback_cls(
        shared->look.sizes[kind], shared->look.texts[kind], look_release, shared);
    if (response)
        shared->references++;
    return response;
}

/* They are answered when the library runs next. shared: NULL: there was no look. */
static void wake(struct request **requests, struct shared_look *shared)
{
    struct request *request;

    while ((request = *requests)) {
        *requests = request->next;
        request->is_over = true;
        request->response = shared ? response_of(shared, request->kind) : NULL;
        MHD_resume_connection(request->connection);
    }
}

static int start_look(struct site *site);

static void count_look(const struct site *site, const struct shared_look *shared)
{
    uint64_t *const *metrics = rpd_service_metrics(site->service);

    rpd_metric_add(metrics[METRIC_LOOKS], 1);
    rpd_metric_observe(metrics[METRIC_LOOK_TIME], monotonic_us() - shared->began_us);
}

static void look_is_done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct site *site = rpd_service_data(service);
    struct shared_look *shared = arg;

    for (size_t kind = 0; kind < LOOK_KINDS; kind++)
        if (!cancelled && shared->look.wanted[kind] && !shared->look.texts[kind]) {
            rpd_log(service, RPD_LOG_WARNING, "%s", shared->look.error);
            break;
        }
    count_look(site, shared);
    site->is_looking = false;
    wake(&site->looking, shared);
    look_release(shared);
    if (site->waiting && start_look(site) < 0)
        wake(&site->waiting, NULL);
    turn(site);
}

/* For all that wait. -1: not now. */
static int start_look(struct site *site)
{
    struct shared_look *shared = calloc(1, sizeof *shared);

    if (!shared)
        return -1;
    shared->references = 1;
    shared->began_us = monotonic_us();
    shared->look.own_service = rpd_service_name(site->service);
    shared->look.refresh_ms = (unsigned)rpd_option_integer(site->service, "refresh");
    for (const struct request *at = site->waiting; at; at = at->next)
        shared->look.wanted[at->kind] = true;
    if (rpd_job_submit(site->service, run_look, look_is_done, shared) < 0) {
        look_release(shared);
        return -1;
    }
    site->is_looking = true;
    site->looking = site->waiting;
    site->waiting = NULL;
    return 0;
}

static enum MHD_Result wait_for_look(struct site *site, struct request *request)
{
    request->next = site->waiting;
    site->waiting = request;
    if (!site->is_looking && start_look(site) < 0) {
        site->waiting = request->next;
        request->is_over = true;
        return answer_look(site, request);
    }
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

/* ---- requests
 * ------------------------------------------------------------------------------------ */

static struct client *client_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static enum MHD_Result count_host(void *arg, enum MHD_ValueKind kind, const char *key,
                                  const char *value)
{
    (void)kind, (void)value;
    if (strcasecmp(key, MHD_HTTP_HEADER_HOST) == 0)
        ++*(unsigned *)arg;
    return MHD_YES;
}

static bool is_meant(struct MHD_Connection *connection)
{
    const struct client *client = client_of(connection);
    unsigned count = 0;

    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_host, &count);
    return client && count <= 1 &&
           host_is_ours(
               MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST),
               &client->end);
}

static enum MHD_Result refuse(const struct site *site, struct MHD_Connection *connection,
                              unsigned code, const char *text)
{
    rpd_metric_add(rpd_service_metrics(site->service)[METRIC_REFUSED], 1);
    return answer_text(site, connection, code, text);
}

/* The look begins when what may follow the headers is read. */
static enum MHD_Result take_request(struct MHD_Connection *connection, enum look_kind kind,
                                    void **slot)
{
    struct request *request = calloc(1, sizeof *request);

    if (!request)
        return MHD_NO;
    *request = (struct request){.connection = connection, .kind = kind};
    *slot = request;
    return MHD_YES;
}

static enum MHD_Result take_metrics(struct site *site, struct MHD_Connection *connection,
                                    void **slot)
{
    switch (metrics_type_for(
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT))) {
    case METRICS_TYPE_OPENMETRICS: return take_request(connection, LOOK_OPENMETRICS, slot);
    case METRICS_TYPE_TEXT: return take_request(connection, LOOK_TEXT_0_0_4, slot);
    default:
        return refuse(site, connection, MHD_HTTP_NOT_ACCEPTABLE,
                      "Accept: application/openmetrics-text and text/plain are to be had.\n");
    }
}

static enum MHD_Result begin(struct site *site, struct MHD_Connection *connection, const char *url,
                             const char *method, void **slot)
{
    const enum route route = route_of(url);
    struct file file;

    rpd_metric_add(rpd_service_metrics(site->service)[METRIC_REQUESTS], 1);
    if (!is_meant(connection))
        return refuse(site, connection, MHD_HTTP_MISDIRECTED_REQUEST,
                      "Host: this server is localhost, 127.0.0.1 or [::1], with its port.\n");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return refuse(site, connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                      "GET and HEAD: nothing can be changed here.\n");
    if (route == ROUTE_STATUS)
        return take_request(connection, LOOK_STATUS, slot);
    if (route == ROUTE_METRICS)
        return take_metrics(site, connection, slot);
    if (file_of(route, &file))
        return answer_file(site, connection, &file);
    return refuse(site, connection, MHD_HTTP_NOT_FOUND,
                  "There are /, /status.json and /metrics.\n");
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **slot)
{
    struct site *site = arg;
    struct request *request = *slot;

    (void)version, (void)upload;
    if (!request)
        return begin(site, connection, url, method, slot);
    if (*upload_size > 0) { /* of a GET: it is read over */
        *upload_size = 0;
        return MHD_YES;
    }
    if (!request->is_over)
        return wait_for_look(site, request);
    const enum MHD_Result result = answer_look(site, request);
    request->response = NULL; /* it was given up */
    return result;
}

static void on_request_end(void *arg, struct MHD_Connection *connection, void **slot,
                           enum MHD_RequestTerminationCode code)
{
    struct request *request = *slot;

    (void)arg, (void)connection, (void)code;
    if (request && request->response)
        MHD_destroy_response(request->response);
    free(request);
    *slot = NULL;
}

/* ---- connections --------------------------------------------------------------------------------
 */

static struct local_end local_end_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } address = {.room = {0}};
    socklen_t size = sizeof address;

    if (getsockname(fd, &address.any, &size) < 0 || address.any.sa_family == AF_UNIX)
        return (struct local_end){0};
    return (struct local_end){.is_tcp = true,
                              .port = ntohs(address.any.sa_family == AF_INET6
                                                ? address.v6.sin6_port
                                                : address.v4.sin_port)};
}

static void client_begins(struct site *site, struct MHD_Connection *connection, void **slot)
{
    struct client *client = calloc(1, sizeof *client);

    *slot = client; /* (Without memory its requests are refused.) */
    if (!client)
        return;
    client->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    client->end = local_end_of(client->fd);
    client->next = site->clients;
    client->at = &site->clients;
    if (client->next)
        client->next->at = &client->next;
    site->clients = client;
}

static void client_ends(void **slot)
{
    struct client *client = *slot;

    if (!client)
        return;
    *client->at = client->next;
    if (client->next)
        client->next->at = client->at;
    free(client);
    *slot = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct site *site = arg;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        client_begins(site, connection, slot);
        return;
    }
    rpd_client_gone(
        site->service,
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
    client_ends(slot);
}

void site_accept(struct rpd_service *service, int take_fd, const struct sockaddr *peer,
                 socklen_t peer_length, void *arg)
{
    struct site *site = arg;

    if (MHD_add_connection(site->http, take_fd, peer, peer_length) != MHD_YES) {
        rpd_client_gone(service, take_fd); /* the library has closed it */
        return;
    }
    turn(site);
}

/* ---- from start to stop
 * --------------------------------------------------------------------------- */

static int start_library(struct site *site)
{
    const union MHD_DaemonInfo *info;
    struct event_base *base = rpd_service_event_base(site->service);

    site->http = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        on_request, site, MHD_OPTION_NOTIFY_CONNECTION, on_connection, site,
        MHD_OPTION_NOTIFY_COMPLETED, on_request_end, site, MHD_OPTION_CONNECTION_TIMEOUT, 60U,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    info = site->http ? MHD_get_daemon_info(site->http, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info)
        return rpd_serve_fail(site->service, "cannot start libmicrohttpd");
    site->readable = event_new(base, info->epoll_fd, EV_READ | EV_PERSIST, on_event, site);
    site->timer = event_new(base, -1, 0, on_event, site);
    if (!site->readable || !site->timer || event_add(site->readable, NULL) < 0)
        return rpd_serve_fail(site->service, "out of memory");
    return 0;
}

struct site *site_start(struct rpd_service *service)
{
    struct site *site = calloc(1, sizeof *site);

    if (!site) {
        (void)rpd_serve_fail(service, "out of memory");
        return NULL;
    }
    site->service = service;
    if (start_library(site) == 0)
        return site;
    site_stop(site);
    return NULL;
}

/* To the library, an end that reads no more is a client that has sent everything. */
void site_drain(struct site *site)
{
    site->drains = true;
    for (const struct client *client = site->clients; client; client = client->next)
        shutdown(client->fd, SHUT_RD);
    turn(site);
}

void site_stop(struct site *site)
{
    if (!site)
        return;
    if (site->timer)
        event_free(site->timer);
    if (site->readable)
        event_free(site->readable);
    if (site->http)
        MHD_stop_daemon(site->http);
    free(site);
}
