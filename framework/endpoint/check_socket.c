/* Whether a listening socket is what was asked for, and what makes it usable on the loop. See
 * listener.h. */
#include "endpoint/listener_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

static int get_option(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

/* Caused by a sandbox, not by the creator of the socket. */
static int refuse_to_look(const struct rpd_listener *listener, const char *call,
                          struct error *error)
{
    return error_set(error, EXIT_SYSTEM, LISTENER_STEP, listener->endpoint.text,
                     "cannot look at the socket: %s: %s; let the sandbox allow that", call,
                     strerror(errno));
}

/* The same for all three ways. code: the exit code for the party at fault. */
int listener_check_socket(struct rpd_listener *listener, const struct rpd_endpoint *wanted,
                          enum exit_code code, struct error *error)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    const char *object = listener->endpoint.text;

    const int type = get_option(listener->fd, SO_TYPE);

    if (type < 0 && errno != ENOTSOCK && errno != EBADF)
        return refuse_to_look(listener, "getsockopt", error);
    if (type < 0)
        return error_set(error, code, LISTENER_STEP, object,
                         "descriptor %d is not a socket; return the one that listens",
                         listener->fd);
    if (type != SOCK_STREAM)
        return error_set(error, code, LISTENER_STEP, object,
                         "the socket is not a stream socket; make it with SOCK_STREAM");
    if (get_option(listener->fd, SO_ACCEPTCONN) != 1)
        return error_set(error, code, LISTENER_STEP, object,
                         "the socket does not listen; call listen()");
    if (getsockname(listener->fd, (struct sockaddr *)&address, &length) < 0)
        return refuse_to_look(listener, "getsockname", error);
    if (!endpoint_is(wanted, (struct sockaddr *)&address, length)) {
        char found[ENDPOINT_TEXT_MAX];
        endpoint_format((struct sockaddr *)&address, length, found);
        return error_set(error, code, LISTENER_STEP, object,
                         "the socket is bound elsewhere, to %s; bind it where it was asked for",
                         found);
    }
    if (wanted->kind == ENDPOINT_TCP)
        endpoint_format((struct sockaddr *)&address, length, listener->text);
    else
        snprintf(listener->text, sizeof listener->text, "%s", listener->endpoint.text);
    return 0;
}

/* The kernel asks a client that has been silent for so long whether it is still there,
 * and takes output that is not acknowledged for as long as the asking lasts for its end.
 * Accepted sockets inherit it. */
static void set_keepalive(int fd, int silent_s, bool was_set)
{
    enum { PROBES = 4 };
    const int on = 1, off = 0, probes = PROBES;
    const int interval_s = silent_s / PROBES > 0 ? silent_s / PROBES : 1;
    const int patience_ms = (silent_s + PROBES * interval_s) * 1000;

    if (silent_s == 0) {
        if (was_set)
            setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof off);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &silent_s, sizeof silent_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
}

/* The loop would hang on a socket that blocks; and an answer in two writes
 * would wait 40 ms without TCP_NODELAY, which accepted sockets inherit. */
int listener_make_usable(const struct rpd_listener *listener, struct error *error)
{
    const int on = 1;
    const int flags = fcntl(listener->fd, F_GETFL);

    if (flags < 0 || fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(listener->fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, listener->endpoint.text,
                         "cannot make it non-blocking: %s; report this", strerror(errno));
    if (listener->endpoint.kind == ENDPOINT_TCP) {
        setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        set_keepalive(listener->fd, listener->keepalive_s, false);
    }
    return 0;
}

void listener_change_keepalive(struct rpd_listener *listener, int keepalive_s)
{
    const bool was_set = listener->keepalive_s > 0;

    listener->keepalive_s = keepalive_s;
    if (listener->endpoint.kind == ENDPOINT_TCP && listener->fd >= 0)
        set_keepalive(listener->fd, keepalive_s, was_set);
}
