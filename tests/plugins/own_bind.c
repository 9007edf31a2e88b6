/* A backend with a bind of its own, which does what TEST_BIND names: an ACT of acts.h, one of the
 * four errors, or a wrong descriptor. TEST_BIND_ONLY limits it to the endpoint that contains this
 * text. */
#include <rpd/backend.h>

#include "acts.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct rpd_bound bound_udp(const struct rpd_endpoint *endpoint)
{
    socklen_t length;
    const struct sockaddr *address = rpd_endpoint_address(endpoint, &length);
    const int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (bind(fd, address, length) < 0)
        return rpd_bound_io(errno);
    return rpd_bound_listening(fd);
}

static struct rpd_bound bound_not_listening(const struct rpd_endpoint *endpoint)
{
    socklen_t length;
    const struct sockaddr *address = rpd_endpoint_address(endpoint, &length);
    const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, address, length) < 0)
        return rpd_bound_io(errno);
    return rpd_bound_listening(fd);
}

static struct rpd_bound bound_elsewhere(void)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0)
        return rpd_bound_io(errno);
    return rpd_bound_listening(fd);
}

static struct rpd_bound do_bind(const struct rpd_endpoint *endpoint)
{
    const char *what = getenv("TEST_BIND"), *only = getenv("TEST_BIND_ONLY");

    if (!what || (only && !strstr(rpd_endpoint_text(endpoint), only)))
        return rpd_bind_plainly(endpoint);
    if (strcmp(what, "udp") == 0)
        return bound_udp(endpoint);
    if (strcmp(what, "not_listening") == 0)
        return bound_not_listening(endpoint);
    if (strcmp(what, "elsewhere") == 0)
        return bound_elsewhere();
    if (strcmp(what, "no_descriptor") == 0)
        return rpd_bound_listening(-1);
    if (strcmp(what, "a_file") == 0)
        return rpd_bound_listening(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
    if (strcmp(what, "zero") == 0)
        return (struct rpd_bound){.fd = -1};
    if (strcmp(what, "garbage") == 0) {
        struct rpd_bound bound;

        memset(&bound, 0x5a, sizeof bound);
        return bound;
    }
    if (strcmp(what, "invalid") == 0)
        return rpd_bound_invalid("the test does not like it");
    if (strcmp(what, "in_use") == 0)
        return rpd_bound_in_use();
    if (strcmp(what, "io") == 0)
        return rpd_bound_io(ENETDOWN);
    if (strcmp(what, "io_in_use") == 0)
        return rpd_bound_io(EADDRINUSE);
    if (strcmp(what, "other") == 0)
        return rpd_bound_other("the test has a reason of its own");
    act("bind", what);
    return rpd_bind_plainly(endpoint);
}

__attribute__((constructor)) static void constructor(void)
{
    if (getenv("TEST_BIND") && strcmp(getenv("TEST_BIND"), "report") == 0)
        report("constructor");
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    report("serve");
    return rpd_serve_connections(service, listener);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    (void)state;
    struct rpd_span line;

    while (rpd_conn_read_line(conn, &line))
        rpd_conn_printf(conn, "%.*s\n", (int)line.size, line.data);
}

RPD_BACKEND_BIND(do_bind);
RPD_BACKEND(own_bind, .summary = "Binds in its own way", .serve = serve, .on_data = on_data);
