/* Accepting. See acceptor.h. */
#include "acceptor.h"

#include "log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_A_TURN = 64, QUEUE_MAX = 65536 };

static bool peer_is_us(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

/* A new client; or -1 with errno. */
static int accept_one(struct acceptor *acceptor, int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int client = accept4(fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (client < 0)
        return -1;
    if (acceptor->same_user_only && !peer_is_us(client)) {
        close(client);
        return 0;
    }
    acceptor->client(acceptor->arg, client, (struct sockaddr *)&peer, length);
    return 0;
}

/* Errors of a client that left while it was queued: the next one may be fine. */
static bool is_about_one_client(int error_number)
{
    return error_number == ECONNABORTED || error_number == EINTR || error_number == EPROTO ||
           error_number == EPERM || error_number == ENETDOWN || error_number == EHOSTUNREACH ||
           error_number == ENETUNREACH || error_number == ENOPROTOOPT ||
           error_number == EHOSTDOWN || error_number == ENONET || error_number == EOPNOTSUPP;
}

static void pause_accepting(struct acceptor *acceptor, int error_number)
{
    struct timeval pause;

    if (acceptor->pause_ms == 0)
        log_line(RPD_LOG_WARNING, acceptor->subject,
                 "cannot accept clients (%s); they wait until it is possible again",
                 strerror(error_number));
    acceptor->pause_ms = acceptor->pause_ms == 0     ? 10
                         : acceptor->pause_ms >= 100 ? 1000
                                                     : acceptor->pause_ms * 10;
    pause.tv_sec = acceptor->pause_ms / 1000;
    pause.tv_usec = (suseconds_t)(acceptor->pause_ms % 1000) * 1000;
    event_del(&acceptor->readable);
    event_add(&acceptor->resume, &pause);
}

/* Accepts up to most clients. Returns errno's value of what ended it. */
static int accept_some(struct acceptor *acceptor, int fd, int most)
{
    for (int i = 0; i < most; i++)
        if (accept_one(acceptor, fd) < 0 && !is_about_one_client(errno))
            return errno;
    return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *acceptor = arg;
    int ended = accept_some(acceptor, fd, CLIENTS_A_TURN);

    (void)what;
    if (!acceptor->started)
        return; /* a client's callback stopped us */
    if (ended == 0 || ended == EAGAIN) {
        if (acceptor->pause_ms != 0)
            log_line(RPD_LOG_INFO, acceptor->subject, "accepts clients again");
        acceptor->pause_ms = 0;
    } else {
        pause_accepting(acceptor, ended);
    }
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *acceptor = arg;

    (void)what;
    (void)fd;
    event_add(&acceptor->readable, NULL);
}

int acceptor_start(struct acceptor *acceptor, struct event_base *base, int fd, const char *subject,
                   bool same_user_only, acceptor_client_fn client, void *arg)
{
    acceptor->subject = subject;
    acceptor->same_user_only = same_user_only;
    acceptor->client = client;
    acceptor->arg = arg;
    acceptor->pause_ms = 0;
    event_assign(&acceptor->readable, base, fd, EV_READ | EV_PERSIST, on_readable, acceptor);
    evtimer_assign(&acceptor->resume, base, on_resume, acceptor);
    acceptor->started = event_add(&acceptor->readable, NULL) == 0;
    return acceptor->started ? 0 : -1;
}

void acceptor_take_queued(struct acceptor *acceptor, int fd)
{
    accept_some(acceptor, fd, QUEUE_MAX);
}

int acceptor_switch(struct acceptor *acceptor, int fd)
{
    struct event_base *base = event_get_base(&acceptor->readable);

    acceptor_stop(acceptor);
    return acceptor_start(acceptor, base, fd, acceptor->subject, acceptor->same_user_only,
                          acceptor->client, acceptor->arg);
}

void acceptor_stop(struct acceptor *acceptor)
{
    if (!acceptor->started)
        return;
    event_del(&acceptor->readable);
    event_del(&acceptor->resume);
    acceptor->started = false;
}
