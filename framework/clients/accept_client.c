/* Accepting one client. See accept_client.h. */
#include "clients/accept_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

enum { IN_A_ROW_MAX = 1024 }; /* more clients than that do not leave one after the other */

static int accept_and_set(int fd, struct sockaddr *ret_peer, socklen_t *ret_size)
{
    const int client = accept(fd, ret_peer, ret_size);
    int cause;

    if (client < 0 ||
        (fcntl(client, F_SETFD, FD_CLOEXEC) == 0 && fcntl(client, F_SETFL, O_NONBLOCK) == 0))
        return client;
    cause = errno;
    close(client);
    errno = cause;
    return -1;
}

/* A firewall may return EPERM for one client; a sandbox returns it for all. */
static bool is_denied(const struct accept_errors *errors, int error_number)
{
    return error_number == ENOSYS || (error_number == EPERM && errors->in_a_row >= IN_A_ROW_MAX);
}

int accept_client(struct accept_errors *errors, int fd, struct sockaddr *ret_peer,
                  socklen_t *ret_size)
{
    const socklen_t room = ret_size ? *ret_size : 0;
    int client = -1;

    if (!errors->has_no_accept4) {
        client = accept4(fd, ret_peer, ret_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        errors->has_no_accept4 = client < 0 && is_denied(errors, errno);
    }
    if (errors->has_no_accept4) {
        if (ret_size)
            *ret_size = room;
        client = accept_and_set(fd, ret_peer, ret_size);
    }
    if (client >= 0 || errno == EAGAIN)
        errors->in_a_row = 0;
    else if (errors->in_a_row < IN_A_ROW_MAX)
        errors->in_a_row++;
    return client;
}

bool accept_can_go_on(const struct accept_errors *errors, int error_number)
{
    static const int of_a_client[] = {ECONNABORTED, EINTR,        EPROTO,      EPERM,
                                      ENETDOWN,     EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT,
                                      EHOSTDOWN,    ENONET,       EOPNOTSUPP};

    for (size_t i = 0; i < sizeof of_a_client / sizeof *of_a_client; i++)
        if (error_number == of_a_client[i])
            return errors->in_a_row < IN_A_ROW_MAX;
    return false;
}
