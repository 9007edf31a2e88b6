/* Accepting. See acceptor.h. */
#include "clients/acceptor.h"

#include "base/clock.h"
#include "base/error.h"
#include "guard/rest.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_A_TURN = 64, ACCEPTING_US = 1000, QUEUE_MAX = 65536 };

enum { NO_PLACE = -1 }; /* beside values of errno */

static bool peer_is_us(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

/* A new client, or one that was turned away; or -1 with errno. */
static int accept_one(struct acceptor *acceptor, int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int client = accept_client(&acceptor->errors, fd, (struct sockaddr *)&peer, &length);

    if (client < 0)
        return -1;
    if (acceptor->same_user_only && !peer_is_us(client)) {
        close(client);
        return 0;
    }
    if (places_take(acceptor->places, client, (struct sockaddr *)&peer, length) == 0)
        acceptor->client(acceptor->arg, client, (struct sockaddr *)&peer, length);
    return 0;
}

static void pause_accepting(struct acceptor *acceptor, int error_number, bool some_got_in)
{
    struct timeval pause;

    if (acceptor->pause_ms == 0) {
        acceptor->pauses++;
        log_state_begin(&acceptor->paused,
                        "cannot accept clients (%s%s); they wait until it is possible again",
                        error_is_shortage(error_number) ? "" : "accept: ", strerror(error_number));
    }
    /* While some get in, the rest need not wait for long. */
    acceptor->pause_ms = acceptor->pause_ms == 0 || some_got_in ? 10
                         : acceptor->pause_ms >= 100            ? 1000
                                                                : acceptor->pause_ms * 10;
    pause.tv_sec = acceptor->pause_ms / 1000;
    pause.tv_usec = (suseconds_t)(acceptor->pause_ms % 1000) * 1000;
    event_del(&acceptor->readable);
    event_add(&acceptor->resume, &pause);
}

static void end_pause(struct acceptor *acceptor)
{
    if (acceptor->pause_ms != 0)
        log_state_end(&acceptor->paused);
    acceptor->pause_ms = 0;
}

static void wait_for_place(struct acceptor *acceptor)
{
    event_del(&acceptor->readable);
    places_wait(&acceptor->waiter);
}

static bool a_client_is_queued(int fd)
{
    struct pollfd listener = {.fd = fd, .events = POLLIN};

    return poll(&listener, 1, 0) > 0;
}

/* Accepts the clients of a turn, as far as there are places. Returns 0, errno's
 * value of what ended it (EAGAIN: none is queued), or NO_PLACE for a client
 * that is. */
static int accept_some(struct acceptor *acceptor, int fd)
{
    const uint64_t until_us = clock_us() + ACCEPTING_US;

    /* A backend may take long over each. */
    for (int i = 0; i < CLIENTS_A_TURN && (i == 0 || clock_us() < until_us); i++) {
        if (!places_are_free(acceptor->places))
            return a_client_is_queued(fd) ? NO_PLACE : EAGAIN;
        if (accept_one(acceptor, fd) < 0 && !accept_can_go_on(&acceptor->errors, errno))
            return errno;
    }
    return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *acceptor = arg;
    const uint64_t accepted_before = acceptor->places->accepted;
    int ended;

    (void)what;
    rest_end();
    ended = accept_some(acceptor, fd);
    if (!acceptor->started)
        return; /* a client's callback stopped us */
    if (ended == NO_PLACE) {
        wait_for_place(acceptor);
        return;
    }
    if (ended != 0 && ended != EAGAIN) {
        pause_accepting(acceptor, ended, acceptor->places->accepted != accepted_before);
        return;
    }
    end_pause(acceptor);
    if (ended == EAGAIN)
        places_wait_over(&acceptor->waiter);
}

/* Tries at once, whether a client is queued or not: it finds out whether the
 * wait is over. */
static void go_on(void *arg)
{
    struct acceptor *acceptor = arg;

    event_add(&acceptor->readable, NULL);
    event_active(&acceptor->readable, EV_READ, 0);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    (void)fd;
    go_on(arg);
}

void acceptor_init(struct acceptor *acceptor, const char *subject, bool same_user_only,
                   acceptor_client_fn client, void *arg)
{
    acceptor->subject = subject;
    acceptor->same_user_only = same_user_only;
    acceptor->client = client;
    acceptor->arg = arg;
}

int acceptor_start(struct acceptor *acceptor, struct event_base *base, int fd)
{
    acceptor->pause_ms = 0;
    acceptor->errors = (struct accept_errors){0};
    acceptor->waiter = (struct place_waiter){
        .places = acceptor->places, .go_on = go_on, .arg = acceptor};
    log_state_init(&acceptor->paused, base, acceptor->subject, "accepts clients again");
    event_assign(&acceptor->readable, base, fd, EV_READ | EV_PERSIST, on_readable, acceptor);
    evtimer_assign(&acceptor->resume, base, on_resume, acceptor);
    acceptor->started = event_add(&acceptor->readable, NULL) == 0;
    return acceptor->started ? 0 : -1;
}

void acceptor_take_queued(struct acceptor *acceptor, int fd)
{
    for (int i = 0; i < QUEUE_MAX; i++)
        if (accept_one(acceptor, fd) < 0 && !accept_can_go_on(&acceptor->errors, errno))
            return;
}

int acceptor_switch(struct acceptor *acceptor, int fd)
{
    struct event_base *base = event_get_base(&acceptor->readable);

    acceptor_stop(acceptor);
    return acceptor_start(acceptor, base, fd);
}

void acceptor_stop(struct acceptor *acceptor)
{
    if (!acceptor->started)
        return;
    event_del(&acceptor->readable);
    event_del(&acceptor->resume);
    places_wait_over(&acceptor->waiter);
    log_state_finish(&acceptor->paused);
    acceptor->started = false;
}
