/* The waiting room. See hold.h. */
#include "hold.h"

#include "libevent.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { ADMITTED_A_TURN = 64 };

struct held {
    struct event watch;
    struct hold *hold;
    int fd;
    hold_admit_fn admit;
    void *arg;
    socklen_t peer_length;
    TAILQ_ENTRY(held) link;
    struct sockaddr_storage *peer; /* NULL: a unix client, which has no address */
};

static bool has_left(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLRDHUP};
    char byte;

    if (poll(&poll_fd, 1, 0) < 1)
        return false;
    if (poll_fd.revents & (POLLERR | POLLHUP | POLLNVAL))
        return true;
    /* The end of input: has anything come before it? */
    return (poll_fd.revents & POLLRDHUP) && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct held *held = arg;

    (void)what;
    if (!has_left(fd))
        return;
    event_del(&held->watch);
    places_close(held->hold->places, held->fd);
    TAILQ_REMOVE(&held->hold->clients, held, link);
    held->hold->count--;
    free(held->peer);
    free(held);
}

static struct held *make_held(struct hold *hold, int fd, const struct sockaddr *peer,
                              socklen_t peer_length)
{
    struct held *held = calloc(1, sizeof *held);

    if (held && peer_length > sizeof(sa_family_t) && peer->sa_family != AF_UNIX) {
        held->peer = calloc(1, sizeof *held->peer);
        if (held->peer)
            memcpy(held->peer, peer, peer_length);
        held->peer_length = held->peer ? peer_length : 0;
    }
    /* Edge-triggered: a client that floods costs one event a wake-up, and an end
     * of input that is tolerated does not keep the loop awake. */
    if (held)
        event_assign(&held->watch, hold->base, fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST,
                     on_event, held);
    return held;
}

void hold_add(struct hold *hold, int take_fd, const struct sockaddr *peer, socklen_t peer_length,
              hold_admit_fn admit, void *arg)
{
    struct held *held;

    if (hold->open && hold->count == 0) {
        admit(arg, take_fd, peer, peer_length);
        return;
    }
    held = make_held(hold, take_fd, peer, peer_length);
    if (!held || event_add(&held->watch, NULL) < 0) {
        if (held)
            free(held->peer);
        free(held);
        places_close(hold->places, take_fd);
        return;
    }
    held->hold = hold;
    held->fd = take_fd;
    held->admit = admit;
    held->arg = arg;
    TAILQ_INSERT_TAIL(&hold->clients, held, link);
    hold->count++;
}

/* Takes the oldest out of the list. Its descriptor is the caller's. */
static void take_first(struct hold *hold, struct held *ret_held)
{
    struct held *held = TAILQ_FIRST(&hold->clients);

    TAILQ_REMOVE(&hold->clients, held, link);
    hold->count--;
    event_del(&held->watch);
    *ret_held = *held;
    free(held);
}

static void admit_first(struct hold *hold)
{
    static const struct sockaddr unnamed = {.sa_family = AF_UNIX};
    struct held held;

    take_first(hold, &held);
    if (held.peer)
        held.admit(held.arg, held.fd, (struct sockaddr *)held.peer, held.peer_length);
    else
        held.admit(held.arg, held.fd, &unnamed, sizeof unnamed.sa_family);
    free(held.peer);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval soon = {0};
    struct hold *hold = arg;

    (void)fd;
    (void)what;
    for (int i = 0; i < ADMITTED_A_TURN && hold->count > 0; i++)
        admit_first(hold);
    if (hold->count > 0)
        event_add(hold->turn, &soon);
}

int hold_init(struct hold *hold, struct event_base *base, struct places *places)
{
    *hold = (struct hold){.base = base, .places = places};
    TAILQ_INIT(&hold->clients);
    hold->turn = evtimer_new(base, on_turn, hold);
    return hold->turn ? 0 : -1;
}

void hold_open(struct hold *hold)
{
    static const struct timeval now = {0};

    hold->open = true;
    if (hold->count > 0)
        event_add(hold->turn, &now);
}

void hold_drain(struct hold *hold)
{
    struct held held;

    event_del(hold->turn);
    while (hold->count > 0) {
        if (hold->open) {
            admit_first(hold);
            continue;
        }
        take_first(hold, &held);
        places_close(hold->places, held.fd);
        free(held.peer);
    }
}

void hold_finish(struct hold *hold)
{
    if (!hold->turn)
        return;
    hold->open = false;
    hold_drain(hold);
    event_free(hold->turn);
    hold->turn = NULL;
}
