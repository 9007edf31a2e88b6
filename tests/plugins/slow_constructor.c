/* Greets each line, as samples/hello does, but its constructor takes 400 ms. Clients must not
 * notice: the endpoint is up before this code is even opened. */
#include <rpd/backend.h>

#include <time.h>

__attribute__((constructor)) static void take_a_while(void)
{
    nanosleep(&(const struct timespec){.tv_nsec = 400 * 1000000L}, NULL);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "hello, %.*s\n", (int)line.size, line.data);
}

RPD_BACKEND(slow_constructor, .summary = "Its constructor takes 400 ms", .on_data = on_data);
