/* Clients of daemons. See process.h. */
#include "inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
};

static socklen_t parse_unix(const char *path, union address *ret)
{
    const size_t size = strlen(path);

    ret->un.sun_family = AF_UNIX;
    if (size == 0 || size >= sizeof ret->un.sun_path)
        return 0;
    memcpy(ret->un.sun_path, path, size);
    const size_t head = offsetof(struct sockaddr_un, sun_path);
    if (path[0] != '@')
        return (socklen_t)(head + size + 1);
    ret->un.sun_path[0] = '\0';
    return (socklen_t)(head + size);
}

static socklen_t parse_tcp(const char *text, union address *ret)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon || colon - text >= (ptrdiff_t)sizeof host)
        return 0;
    const in_port_t port = htons((in_port_t)strtoul(colon + 1, NULL, 10));
    const bool six = text[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - (six ? 2 : 0), text + (six ? 1 : 0));
    if (six) {
        ret->in6.sin6_family = AF_INET6;
        ret->in6.sin6_port = port;
        return inet_pton(AF_INET6, host, &ret->in6.sin6_addr) == 1 ? sizeof ret->in6 : 0;
    }
    ret->in4.sin_family = AF_INET;
    ret->in4.sin_port = port;
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    return inet_pton(AF_INET, host, &ret->in4.sin_addr) == 1 ? sizeof ret->in4 : 0;
}

int connect_to(const char *endpoint)
{
    union address address;
    socklen_t size = 0;

    memset(&address, 0, sizeof address);
    if (strncmp(endpoint, "unix:", 5) == 0)
        size = parse_unix(endpoint + 5, &address);
    else if (strncmp(endpoint, "tcp:", 4) == 0)
        size = parse_tcp(endpoint + 4, &address);
    if (size == 0) {
        errno = EINVAL;
        return -1;
    }
    const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        test_die("socket: %s", strerror(errno));
    const struct timeval deadline = {.tv_sec = support_deadline_ns() / NS_PER_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
    if (connect(fd, &address.any, size) == 0)
        return fd;
    const int error = errno == EAGAIN || errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(fd);
    errno = error;
    return -1;
}

int send_all(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t sent = send(fd, (const char *)data + done, size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            errno = errno == EAGAIN ? ETIMEDOUT : errno;
            return -1;
        }
        done += (size_t)sent;
    }
    return 0;
}

/* Reads until size bytes, end-of-file, or (byte by byte) the stop byte. */
static ssize_t read_some(int fd, char *buffer, size_t size, int stop)
{
    size_t done = 0;

    while (done < size) {
        const ssize_t got = read(fd, buffer + done, stop < 0 ? size - done : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            errno = errno == EAGAIN ? ETIMEDOUT : errno;
            return -1;
        }
        if (got == 0)
            break;
        done += (size_t)got;
        if (stop >= 0 && (unsigned char)buffer[done - 1] == stop)
            break;
    }
    return (ssize_t)done;
}

ssize_t read_exactly(int fd, void *buffer, size_t size)
{
    return read_some(fd, buffer, size, -1);
}

ssize_t read_line(int fd, char *buffer, size_t size)
{
    const ssize_t got = read_some(fd, buffer, size - 1, '\n');

    buffer[got > 0 ? got : 0] = '\0';
    return got;
}

ssize_t read_to_end(int fd, char *buffer, size_t size)
{
    const ssize_t got = read_some(fd, buffer, size - 1, -1);

    buffer[got > 0 ? got : 0] = '\0';
    return got;
}

pid_t peer_pid(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : -1;
}
