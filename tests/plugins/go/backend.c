/* A backend in Go: the contract is here, in C; backend.go answers the clients. */
#include <rpd/backend.h>

#include "_cgo_export.h"

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "%d\n", (int)answer((char *)line.data, (int)line.size));
}

RPD_BACKEND(go, .summary = "Answers from Go", .on_data = on_data);
