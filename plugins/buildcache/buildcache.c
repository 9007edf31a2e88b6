/* buildcache: a cache for build tools, on disk. README.md says how it is used; store.h has its
 * state. Clients are served from the first moment: see scan.h. */
#include "helper.h"
#include "http.h"
#include "scan.h"
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GIB (INT64_C(1) << 30)

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("directory", "$XDG_CACHE_HOME/rpd-buildcache",
                      "where the objects are; made if it is not there"),
    RPD_OPTION_INTEGER("max_size", 5 * GIB, 0, 1e15,
                       "bytes of disk that objects may take; beyond it the least recently used "
                       "are evicted (0: no limit)"),
    RPD_OPTION_INTEGER("max_object", GIB, 1, 1e15,
                       "bytes of the largest object; at most a quarter of max_size"),
    RPD_OPTION_INTEGER("memory", 32 << 20, 0, 1e15,
                       "bytes of memory for objects up to 128 KiB that were read lately (0: none)"),
    RPD_OPTION_BOOLEAN("read_only", 0, "whether PUT and DELETE are refused"),
    RPD_OPTION_SECRET("credentials_file",
                      "a file with a line for each client: \"user:password\", or a token; over "
                      "HTTP all others are refused"),
    RPD_OPTION_BOOLEAN("anonymous_reads", 0,
                       "whether GET and HEAD need no credentials, if there are any"),
    RPD_OPTION_BOOLEAN("helper_may_stop", 1,
                       "whether a client of the helper protocol may stop the daemon"),
    RPD_OPTIONS_END,
};

static const struct rpd_option_detail details[] = {
    RPD_DETAIL_PATH("directory", 0),
    RPD_DETAIL_SIZE("max_size", 0),
    RPD_DETAIL_SIZE("max_object", 0),
    RPD_DETAIL_SIZE("memory", 0),
    RPD_DETAILS_END,
};

/* ---- the beginning -------------------------------------------------------------------------- */

/* With all above it. What cannot be made, the claim reports. */
static void make_directory(const char *path)
{
    char *copy = strdup(path);

    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0700);
        *slash = '/';
    }
    mkdir(path, 0700);
    free(copy);
}

static int claim(struct rpd_service *service)
{
    const char *path = rpd_option_string(service, "directory");

    make_directory(path);
    return rpd_claim_state(service, path);
}

static void set_sizes(struct store *store)
{
    const struct rpd_service *service = store->service;

    store->max_size = (uint64_t)rpd_option_integer(service, "max_size");
    store->max_object = (uint64_t)rpd_option_integer(service, "max_object");
    if (store->max_size > 0 && store->max_object > store->max_size / 4)
        store->max_object = store->max_size / 4;
    hot_init(&store->hot, (size_t)rpd_option_integer(service, "memory"));
}

static int open_store(struct rpd_service *service)
{
    const char *path = rpd_option_string(service, "directory");
    const char *secret = rpd_option_secret(service, "credentials_file");
    struct store *store = store_open(service, path);

    if (!store)
        return rpd_serve_fail(service, "%s: %s; check the option \"directory\"", path,
                              strerror(errno));
    set_sizes(store);
    store->is_read_only = rpd_option_boolean(service, "read_only");
    store->allows_anonymous_reads = rpd_option_boolean(service, "anonymous_reads");
    store->helper_may_stop = rpd_option_boolean(service, "helper_may_stop");
    if (secret && credentials_read(&store->credentials, secret) < 0) {
        const int error = errno;
        store_release(store);
        return rpd_serve_fail(service, "credentials_file: %s",
                              error == EINVAL ? "it needs a line with \"user:password\" or a "
                                                "token, of at most 511 bytes"
                                              : strerror(error));
    }
    rpd_service_set_data(service, store);
    return 0;
}

/* For each listener; the store is opened with the first. */
static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    if (!rpd_service_data(service) && open_store(service) < 0)
        return -1;
    return rpd_serve_connections(service, listener);
}

static void on_ready(struct rpd_service *service, void *state)
{
    struct store *store = rpd_service_data(service);

    (void)state;
    store->is_ready = true;
    rpd_log(service, RPD_LOG_INFO, "%s: %llu objects, %llu bytes", store->path,
            (unsigned long long)store->index.count, (unsigned long long)store->index.bytes);
    store_make_room(store, 0);
    store_show(store);
}

/* ---- clients -------------------------------------------------------------------------------- */

static bool is_helper_endpoint(const char *text)
{
    static const char suffix[] = ".crsh";
    const size_t size = strlen(text);

    return size >= sizeof suffix - 1 && strcmp(text + size - (sizeof suffix - 1), suffix) == 0;
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    struct session *session = calloc(1, sizeof *session);

    (void)state;
    if (!session) {
        rpd_conn_abort(conn);
        return;
    }
    session->store = rpd_service_data(rpd_conn_service(conn));
    session->conn = conn;
    rpd_conn_set_data(conn, session);
    session->front = is_helper_endpoint(rpd_listener_text(rpd_conn_listener(conn))) ? &helper_front
                                                                                    : &http_front;
    if (session->front == &helper_front)
        helper_greet(conn);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const struct session *session = rpd_conn_data(conn);

    (void)state;
    if (!session)
        return;
    if (session->front == &helper_front)
        helper_data(conn);
    else
        http_data(conn);
}

static void on_close(struct rpd_conn *conn, void *state)
{
    struct session *session = rpd_conn_data(conn);

    (void)state;
    if (session && session->is_waiting)
        TAILQ_REMOVE(&session->store->waiting, session, link);
    free(session);
}

static void on_busy(struct rpd_conn *conn)
{
    rpd_conn_printf(conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                          "Content-Length: 0\r\nConnection: close\r\n\r\n");
}

/* ---- the end -------------------------------------------------------------------------------- */

static void stop(struct rpd_service *service, void *state)
{
    struct store *store = rpd_service_data(service);

    (void)state;
    if (!store)
        return;
    store->is_stopping = true;
    rpd_service_set_data(service, NULL);
    store_release(store);
}

RPD_BACKEND(buildcache,
            .summary = "A cache for ccache, Bazel and Gradle, which serves while it loads",
            .version = "1", .options = options, .metrics = numbers_table, .serve = serve,
            .load = scan_begin, .unload = scan_unload, .on_ready = on_ready,
            .on_connect = on_connect, .on_data = on_data, .on_close = on_close, .stop = stop,
            .warmup = RPD_WARMUP_SERVE, .serves_without_state = true, .on_busy = on_busy,
            .probe = RPD_PROBE("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 "),
            .claim = claim, .option_details = details);
