/* Connecting. See client/connect.h. */
#include "client/connect.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_un path;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

/* ---- addresses -------------------------------------------------------------------- */

static socklen_t read_unix(const char *name, union address *ret)
{
    const size_t size = strlen(name);

    if (size == 0 || size >= sizeof ret->path.sun_path)
        return 0;
    ret->path.sun_family = AF_UNIX;
    memcpy(ret->path.sun_path, name, size + 1);
    if (*name != '@')
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    ret->path.sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

/* A listener on any address can be reached on this machine. */
static void leave_wildcard(union address *address)
{
    if (address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->ipv6.sin6_addr))
        address->ipv6.sin6_addr = in6addr_loopback;
    if (address->any.sa_family == AF_INET && address->ipv4.sin_addr.s_addr == INADDR_ANY)
        address->ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static socklen_t read_tcp(const char *text, union address *ret)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(text, ':');
    const bool is_ipv6 = *text == '[';
    char *end;
    unsigned long port;

    if (!colon || colon == text || (size_t)(colon - text) >= sizeof host ||
        (is_ipv6 && colon[-1] != ']'))
        return 0;
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2 * is_ipv6, text + is_ipv6);
    port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end || port > UINT16_MAX)
        return 0;
    if (is_ipv6) {
        ret->ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                          .sin6_port = htons((uint16_t)port)};
        return inet_pton(AF_INET6, host, &ret->ipv6.sin6_addr) == 1 ? sizeof ret->ipv6 : 0;
    }
    ret->ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, strcmp(host, "*") == 0 ? "0.0.0.0" : host, &ret->ipv4.sin_addr) == 1
               ? sizeof ret->ipv4
               : 0;
}

/* Returns the size of the address; 0: the text is no address. */
static socklen_t read_address(const char *endpoint, union address *ret)
{
    memset(ret, 0, sizeof *ret);
    if (strncmp(endpoint, "unix:", 5) == 0)
        return read_unix(endpoint + 5, ret);
    if (strncmp(endpoint, "tcp:", 4) == 0)
        return read_tcp(endpoint + 4, ret);
    return 0;
}

/* ---- connecting ------------------------------------------------------------------- */

/* SO_SNDTIMEO limits connect(), which then returns EAGAIN or EINPROGRESS. Zero would mean no
 * limit. */
static void limit_connect(int fd, uint64_t deadline_us)
{
    const uint64_t now_us = clock_us();
    const uint64_t left_us = deadline_us > now_us ? deadline_us - now_us : 1;
    const struct timeval limit = {.tv_sec = (time_t)(left_us / 1000000),
                                  .tv_usec = (suseconds_t)(left_us % 1000000)};

    if (deadline_us != UINT64_MAX)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static int connect_until(int fd, const union address *address, socklen_t size, uint64_t deadline_us)
{
    static const struct timeval none;

    /* On TCP an interrupted connect() continues, and cannot be called again. */
    do {
        limit_connect(fd, deadline_us);
        if (connect(fd, &address->any, size) == 0 || errno == EISCONN) {
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
            return 0;
        }
    } while ((errno == EINTR || errno == EALREADY) && clock_us() < deadline_us);
    if (errno == EAGAIN || errno == EINPROGRESS || errno == EINTR || errno == EALREADY)
        errno = ETIMEDOUT;
    return -1;
}

int client_connect(const char *endpoint, uint64_t deadline_us)
{
    union address address;
    const socklen_t size = read_address(endpoint, &address);
    int fd, cause;

    if (size == 0) {
        errno = EINVAL;
        return -1;
    }
    leave_wildcard(&address);
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect_until(fd, &address, size, deadline_us) == 0)
        return fd;
    cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

int client_connect_start(const char *endpoint, int *ret_cause)
{
    union address address;
    const socklen_t size = read_address(endpoint, &address);
    int fd;

    *ret_cause = EINVAL;
    if (size == 0)
        return -1;
    leave_wildcard(&address);
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *ret_cause = fd < 0 || connect(fd, &address.any, size) < 0 ? errno : 0;
    if (fd < 0 || *ret_cause == 0 || *ret_cause == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

int client_connect_cause(int fd)
{
    int cause = 0;
    socklen_t size = sizeof cause;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &size) < 0 ? errno : cause;
}
