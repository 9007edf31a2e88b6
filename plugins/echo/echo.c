/* echo: sends every byte back. The measure of what rpd itself costs. */
#include <rpd/backend.h>

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    const struct rpd_span input = rpd_conn_input(conn);

    rpd_conn_write(conn, input.data, input.size);
    rpd_conn_consume(conn, input.size);
}

RPD_BACKEND(echo, .summary = "Sends every byte back", .version = "1", .on_data = on_data,
            .probe = RPD_PROBE("hello\n", "hello\n"));
