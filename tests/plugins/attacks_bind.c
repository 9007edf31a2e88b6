/* A bind of its own that binds, and then does what TEST_BIND names: hang, exit or abort. */
#include <rpd/backend.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rpd_bound do_bind(const struct rpd_endpoint *endpoint)
{
    const struct rpd_bound bound = rpd_bind_plainly(endpoint);
    const char *what = getenv("TEST_BIND");

    if (write(STDERR_FILENO, "test: bound\n", 12) < 0 || !what)
        return bound;
    while (strcmp(what, "hang") == 0)
        pause();
    if (strcmp(what, "exit") == 0)
        exit(0);
    if (strcmp(what, "abort") == 0)
        abort();
    return bound;
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_consume(conn, rpd_conn_input(conn).size);
}

RPD_BACKEND_BIND(do_bind);
RPD_BACKEND(attacks_bind, .summary = "Binds, and goes wrong then", .on_data = on_data);
