/* A plugin whose constructor does the act that TEST_CONSTRUCTOR names, or ends the process. */
#include <rpd/backend.h>

#include "acts.h"

__attribute__((constructor)) static void constructor(void)
{
    const char *what = getenv("TEST_CONSTRUCTOR");

    act("constructor", what ? what : "exit");
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_abort(conn);
}

RPD_BACKEND(exits, .summary = "Ends in its constructor", .on_data = on_data);
