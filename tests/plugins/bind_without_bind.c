/* Its note promises a bind of its own, but there is none. */
#include <rpd/backend.h>

RPD_NOTE_(bind_note, RPD_NOTE_OWN_BIND, "");

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_finish(conn);
}

RPD_BACKEND(bind_without_bind, .summary = "Promises a bind", .on_data = on_data);
