/* Calls libevent without being linked with it, as plugins could when rpd loaded libevent for all.
 * It answers from a timer. */
#include <rpd/backend.h>

#include <event2/event.h>

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_conn *conn = arg;
    struct rpd_span line;

    (void)fd;
    (void)what;
    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "%.*s later\n", (int)line.size, line.data);
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_set_data(
        conn, event_new(rpd_service_event_base(rpd_conn_service(conn)), -1, 0, on_time, conn));
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    event_active(rpd_conn_data(conn), EV_TIMEOUT, 0);
}

static void on_close(struct rpd_conn *conn, void *state)
{
    (void)state;
    event_free(rpd_conn_data(conn));
}

RPD_BACKEND(borrows, .summary = "Lacks libevent", .on_connect = on_connect, .on_data = on_data,
            .on_close = on_close);
