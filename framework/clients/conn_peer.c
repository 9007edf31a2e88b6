/* Who a client is: rpd_conn_peer(). */
#include "clients/conn_inside.h"
#include "guard/loop_only.h"

#include <rpd/body.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

static void describe_address(int fd, struct rpd_peer *peer)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;
    char text[INET6_ADDRSTRLEN];
    const void *bytes = &((const struct sockaddr_in *)&address)->sin_addr;
    const bool is_v6 = getpeername(fd, (struct sockaddr *)&address, &length) == 0 &&
                       address.ss_family == AF_INET6;

    if (length == 0 || (!is_v6 && address.ss_family != AF_INET))
        return;
    if (is_v6)
        bytes = &((const struct sockaddr_in6 *)&address)->sin6_addr;
    if (inet_ntop(address.ss_family, bytes, text, sizeof text)) /* (the ports are at one place) */
        snprintf(peer->address, sizeof peer->address, is_v6 ? "[%s]:%u" : "%s:%u", text,
                 ntohs(((const struct sockaddr_in *)&address)->sin_port));
}

struct rpd_peer rpd_conn_peer(const struct rpd_conn *conn)
{
    loop_only_warns();
    struct rpd_peer peer = {.uid = -1, .gid = -1, .pid = -1};
    struct ucred credentials;
    socklen_t length = sizeof credentials;

    if (conn->fd < 0)
        return peer;
    /* (The kernel answers for TCP, too: with pid 0.) */
    if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 &&
        credentials.pid > 0) {
        peer.uid = credentials.uid;
        peer.gid = credentials.gid;
        peer.pid = credentials.pid;
    } else {
        describe_address(conn->fd, &peer);
    }
    return peer;
}
