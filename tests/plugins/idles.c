/* A backend that need not stay when it has no client: .idle_exit_s. */
#include <rpd/backend.h>

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "%.*s\n", (int)line.size, line.data);
}

RPD_BACKEND(idles, .summary = "Ends after a second", .on_data = on_data, .idle_exit_s = 1);
