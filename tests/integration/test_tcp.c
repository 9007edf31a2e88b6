/* What only TCP has: clients that vanish without a packet, the two addresses of localhost, and
 * addresses that the machine does not have yet. */
#include "common.h"

#include "observe/state_view.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

struct server {
    const char *dir, *endpoint;
    struct process *rpd;
};

static struct server serve(const char *plugin, const char *limits, const char *members)
{
    struct server server = {.dir = temp_dir_make()};
    const char *config = textf("%s/c.json", server.dir);

    write_text(config, textf("{\"drain_s\":1,\"services\":[{\"name\":\"s\",\"plugin\":\"%s\","
                             "\"listen\":[\"tcp:127.0.0.1:0\"],\"limits\":{%s}%s}]}",
                             plugin, limits, members));
    server.rpd = RPD_START(textf("%s/run", server.dir), "-c", config);
    assert_bound(server.rpd);
    assert_line(server.rpd, ": bound ");
    server.endpoint = process_endpoint(server.rpd, "tcp:");
    return server;
}

static void end_server(struct server *server)
{
    assert_stops(server->rpd);
    process_free(server->rpd);
    temp_dir_remove(server->dir);
}

static struct rpd_state_page page_of(const struct server *server)
{
    const int dirfd = open(textf("%s/run", server->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rpd_state_page page;

    cr_assert_eq(state_view_read(dirfd, "s", &page), 0, "%s", strerror(errno));
    close(dirfd);
    return page;
}

/* ---- clients that vanish ---- */

/* The client's end of the connection is gone without a packet, as when a machine loses its power or
 * its network. Needs CAP_NET_ADMIN. */
static bool vanish(int fd)
{
    const int on = 1;

    if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0)
        return false;
    return close(fd) == 0;
}

#define VANISH(fd)                                                                                 \
    if (!vanish(fd))                                                                               \
    cr_skip_test("to vanish needs CAP_NET_ADMIN: %s", strerror(errno))

/* Waits until there are this many. */
static bool reaches(const struct server *server, uint64_t held, uint64_t active, int patience_ms)
{
    const int64_t end = now_ns() + (int64_t)patience_ms * 1000000;
    struct rpd_state_page page;

    do {
        page = page_of(server);
        if (page.clients_held == held && page.clients_active == active)
            return true;
        poll(NULL, 0, 10);
    } while (now_ns() < end);
    return false;
}

Test(tcp, a_client_that_vanished_loses_its_place)
{
    struct server server = serve(test_plugin("talk"), "\"keepalive_s\":1", "");
    const int gone = client(server.endpoint), stays = client(server.endpoint);

    assert_text(ask(gone, "echo x"), "x", server.rpd);
    assert_text(ask(stays, "echo x"), "x", server.rpd);
    cr_assert(reaches(&server, 0, 2, 20000));
    VANISH(gone);
    cr_assert(reaches(&server, 0, 1, 30000), "it keeps its place");
    assert_text(ask(stays, "echo x"), "x", server.rpd);
    close(stays);
    end_server(&server);
}

/* The control: it is the kernel that notices. */
Test(tcp, without_keepalive_nobody_notices)
{
    struct server server = serve(test_plugin("talk"), "\"keepalive_s\":0", "");
    const int gone = client(server.endpoint);

    /* No request is sent: an answer that is not yet acknowledged would be sent again. */
    cr_assert(reaches(&server, 0, 1, 20000));
    VANISH(gone);
    cr_assert(!reaches(&server, 0, 0, 4000), "it lost its place");
    end_server(&server);
}

/* The client has sent its request and the end of its input, and waits for the answer: so its
 * connection is kept, but not when the client has vanished. */
Test(tcp, a_held_client_that_vanished_is_dropped)
{
    struct server server = serve(build_path("samples/slow_start.so"), "\"keepalive_s\":1",
                                 ",\"warmup\":\"hold\",\"options\":{\"load_s\":600}");
    const int gone = client(server.endpoint), stays = client(server.endpoint);

    cr_assert_eq(send_all(gone, "x\n", 2), 0);
    cr_assert_eq(shutdown(gone, SHUT_WR), 0);
    cr_assert_eq(send_all(stays, "x\n", 2), 0);
    cr_assert_eq(shutdown(stays, SHUT_WR), 0);
    cr_assert(reaches(&server, 2, 0, 20000));
    VANISH(gone);
    cr_assert(reaches(&server, 1, 0, 30000), "it keeps its place");
    close(stays);
    end_server(&server);
}

/* The daemon's end of a connection, through the kernel. */
static int other_end(const struct process *rpd, int own_fd)
{
    struct sockaddr_in name = {0}, peer = {0};
    socklen_t size = sizeof name;
    const int pidfd = (int)syscall(SYS_pidfd_open, process_pid(rpd), 0);

    cr_assert_geq(pidfd, 0, "%s", strerror(errno));
    cr_assert_eq(getsockname(own_fd, (struct sockaddr *)&name, &size), 0);
    for (int at = 3; at < 200; at++) {
        const int fd = (int)syscall(SYS_pidfd_getfd, pidfd, at, 0);
        size = sizeof peer;
        if (fd >= 0 && getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
            peer.sin_port == name.sin_port && peer.sin_family == AF_INET) {
            close(pidfd);
            return fd;
        }
        if (fd < 0 && errno == EPERM)
            break;
        close(fd);
    }
    close(pidfd);
    return -1;
}

static int tcp_option(int fd, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof value;

    getsockopt(fd, level, option, &value, &size);
    return value;
}

/* Limits: seconds of silence, between probes, and until output is given up. */
static const struct {
    const char *limits;
    int on, idle_s, interval_s, patience_ms;
} keepalives[] = {
    {"", 1, 60, 15, 120000},
    {"\"keepalive_s\":1", 1, 1, 1, 5000},
    {"\"keepalive_s\":600", 1, 600, 150, 1200000},
    {"\"keepalive_s\":32767", 1, 32767, 8191, 65531000},
    {"\"keepalive_s\":0", 0, -1, -1, 0},
};

Test(tcp, the_kernel_asks_as_configured)
{
    for (size_t i = 0; i < sizeof keepalives / sizeof *keepalives; i++) {
        struct server server = serve(test_plugin("talk"), keepalives[i].limits, "");
        const int fd = client(server.endpoint);
        assert_text(ask(fd, "echo x"), "x", server.rpd);
        const int other = other_end(server.rpd, fd);
        if (other < 0)
            cr_skip_test("cannot look at the daemon's descriptors");
        cr_expect_eq(tcp_option(other, SOL_SOCKET, SO_KEEPALIVE), keepalives[i].on);
        cr_expect_eq(tcp_option(other, IPPROTO_TCP, TCP_USER_TIMEOUT), keepalives[i].patience_ms);
        if (keepalives[i].on) {
            cr_expect_eq(tcp_option(other, IPPROTO_TCP, TCP_KEEPIDLE), keepalives[i].idle_s);
            cr_expect_eq(tcp_option(other, IPPROTO_TCP, TCP_KEEPINTVL), keepalives[i].interval_s);
            cr_expect_eq(tcp_option(other, IPPROTO_TCP, TCP_KEEPCNT), 4);
        }
        close(other);
        close(fd);
        end_server(&server);
    }
}

/* ---- localhost ---- */

static bool machine_has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    close(fd);
    return has;
}

static unsigned port_of(const char *endpoint)
{
    return (unsigned)strtoul(strrchr(endpoint, ':') + 1, NULL, 10);
}

/* With port 0 both addresses get the same port, because clients try one address after the other. */
Test(tcp, localhost_is_both_addresses)
{
    const char *dir = temp_dir_make();
    struct process *rpd = RPD_START(textf("%s/run", dir), test_plugin("talk"), "-l",
                                    "tcp:localhost:0");

    assert_bound(rpd);
    assert_line(rpd, ": bound ");
    const char *ipv4 = process_endpoint(rpd, "tcp:127.0.0.1:");
    int fd = client(ipv4);
    assert_text(ask(fd, "echo 4"), "4", rpd);
    close(fd);
    if (machine_has_ipv6()) {
        const char *ipv6 = process_endpoint(rpd, "tcp:[::1]:");
        cr_expect_eq(port_of(ipv4), port_of(ipv6), "%s, %s", ipv4, ipv6);
        fd = client(ipv6);
        assert_text(ask(fd, "echo 6"), "6", rpd);
        close(fd);
        /* Another process has each of the two in turn. */
        const char *taken[] = {ipv4, ipv6, textf("tcp:localhost:%u", port_of(ipv4))};
        for (size_t i = 0; i < 3; i++) {
            struct process *second = RPD_START(textf("%s/%zu", dir, i), test_plugin("talk"), "-l",
                                               taken[i]);
            cr_expect_eq(process_code(process_wait_exit(second)), 75, "%s: %s", taken[i],
                         process_stderr(second));
            process_free(second);
        }
    }
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- an address that comes later ---- */

#define NOT_HERE "192.0.2.1" /* of no machine: RFC 5737 */

static struct process *listen_there(const char *dir, const char *members)
{
    const char *config = textf("%s/c.json", dir);

    write_text(config, textf("{\"services\":[{\"plugin\":\"%s\",\"listen\":[{\"endpoint\":"
                             "\"tcp:" NOT_HERE ":0\"%s}]}]}",
                             test_plugin("talk"), members));
    return RPD_START(textf("%s/run", dir), "-c", config);
}

Test(tcp, an_address_that_is_not_there_is_named)
{
    const char *dir = temp_dir_make();
    struct process *rpd = listen_there(dir, "");

    cr_assert_eq(process_code(process_wait_exit(rpd)), 71, "%s", process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "rpd: bind: tcp:" NOT_HERE ":0: "), "%s",
                       process_stderr(rpd));
    cr_assert_not_null(strstr(process_stderr(rpd), "set \"freebind\""), "%s", process_stderr(rpd));
    process_free(rpd);
    temp_dir_remove(dir);
}

Test(tcp, freebind_binds_it_before_it_is_there)
{
    const char *dir = temp_dir_make();
    struct process *rpd = listen_there(dir, ",\"freebind\":true");

    assert_bound(rpd);
    assert_stops(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}
