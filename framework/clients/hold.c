/* The waiting room. See hold.h. */
#include "clients/hold.h"

#include "base/clock.h"
#include "clients/linger.h"
#include "library/libevent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    LEAVING_A_TURN = 64,
    BATCH_FIRST = 16,
    BATCH_MAX = 256,
    ADMITTING_US = 1000, /* a turn admits for no longer than this */
    LATE_US = 4000       /* the loop's other work took longer: fewer next time */
};

struct held {
    struct hold *hold;
    struct held_list *list; /* that it is in */
    int fd;
    socklen_t peer_length;
    void *arg;
    TAILQ_ENTRY(held) link;
    struct sockaddr_storage *peer; /* NULL: a unix client, which has no address */
};

static void free_held(struct held *held)
{
    if (held)
        free(held->peer);
    free(held);
}

/* ---- clients that leave ------------------------------------------------------ */

/* The end of input: has anything come before it? */
static bool sent_something(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

static bool has_left(const struct held *held, uint32_t what)
{
    return (what & (EPOLLERR | EPOLLHUP)) || !sent_something(held->fd);
}

static void drop(struct held *held)
{
    struct hold *hold = held->hold;

    epoll_ctl(hold->watch_fd, EPOLL_CTL_DEL, held->fd, NULL);
    places_close(hold->places, held->fd);
    TAILQ_REMOVE(held->list, held, link);
    hold->count--;
    hold->left++;
    free_held(held);
}

static void end_watching(struct hold *hold)
{
    if (hold->watch)
        event_free(hold->watch);
    hold->watch = NULL;
    if (hold->watch_fd >= 0)
        close(hold->watch_fd);
    hold->watch_fd = -1;
}

static void on_leaving(evutil_socket_t fd, short what, void *arg)
{
    struct epoll_event events[LEAVING_A_TURN];
    const int count = epoll_wait(fd, events, LEAVING_A_TURN, 0);

    (void)what;
    (void)arg;
    for (int i = 0; i < count; i++)
        if (has_left(events[i].data.ptr, events[i].events))
            drop(events[i].data.ptr);
}

/* Held clients are watched by a set of their own, which is one event of the loop:
 * what they send wakes nothing, and to hold one is a single system call. Only
 * with the first of them: most services never hold any at the same time. */
static int begin_watching(struct hold *hold)
{
    if (hold->watch)
        return 0;
    hold->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    if (hold->watch_fd < 0)
        return -1;
    hold->watch = event_new(hold->base, hold->watch_fd, EV_READ | EV_PERSIST, on_leaving, NULL);
    if (hold->watch && event_add(hold->watch, NULL) == 0)
        return 0;
    end_watching(hold);
    return -1;
}

/* Edge-triggered: an end of input that is tolerated does not keep the loop awake.
 * EPOLLERR and EPOLLHUP come unasked. */
static int watch(struct hold *hold, struct held *held)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = held};

    return begin_watching(hold) < 0 ? -1
                                    : epoll_ctl(hold->watch_fd, EPOLL_CTL_ADD, held->fd, &event);
}

/* ---- coming and going ---------------------------------------------------------- */

/* NULL: no memory. */
static struct held *make_held(struct hold *hold, int fd, const struct sockaddr *peer,
                              socklen_t peer_length)
{
    const bool has_address = peer_length > sizeof(sa_family_t) && peer->sa_family != AF_UNIX;
    struct held *held = calloc(1, sizeof *held);

    if (held && has_address)
        held->peer = calloc(1, sizeof *held->peer);
    if (!held || (has_address && !held->peer)) {
        free_held(held);
        return NULL;
    }
    if (has_address) {
        memcpy(held->peer, peer, peer_length);
        held->peer_length = peer_length;
    }
    held->hold = hold;
    held->fd = fd;
    return held;
}

void hold_add(struct hold *hold, int take_fd, const struct sockaddr *peer, socklen_t peer_length,
              void *arg)
{
    struct held *held;

    if (hold->open && hold->count == 0) {
        hold->admit(arg, take_fd, peer, peer_length);
        return;
    }
    held = make_held(hold, take_fd, peer, peer_length);
    if (!held || watch(hold, held) < 0) {
        free_held(held);
        places_close_for_memory(hold->places, take_fd);
        return;
    }
    held->arg = arg;
    held->list = hold->open ? &hold->late : &hold->early;
    TAILQ_INSERT_TAIL(held->list, held, link);
    hold->count++;
}

/* Takes the oldest out of its list. Its descriptor is the caller's. */
static void take(struct hold *hold, struct held *held, struct held *ret_held)
{
    TAILQ_REMOVE(held->list, held, link);
    hold->count--;
    epoll_ctl(hold->watch_fd, EPOLL_CTL_DEL, held->fd, NULL);
    *ret_held = *held;
    free(held);
}

/* The oldest of those that came late, if they are wanted and there is one; else the
 * oldest of all. */
static struct held *next(const struct hold *hold, bool late)
{
    const struct held_list *list = (late && !TAILQ_EMPTY(&hold->late)) || TAILQ_EMPTY(&hold->early)
                                       ? &hold->late
                                       : &hold->early;

    /* take() takes it off its list; the analyzer loses track of the heads.
     * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    return TAILQ_FIRST(list);
}

static void let_in(struct hold *hold, struct held *client)
{
    static const struct sockaddr unnamed = {.sa_family = AF_UNIX};
    struct held held;

    take(hold, client, &held);
    if (held.peer)
        hold->admit(held.arg, held.fd, (struct sockaddr *)held.peer, held.peer_length);
    else
        hold->admit(held.arg, held.fd, &unnamed, sizeof unnamed.sa_family);
    free(held.peer);
}

/* One of each list in turns, however few a turn of the loop admits. */
static void admit_batch(struct hold *hold, uint64_t began_us)
{
    for (unsigned i = 0; i < hold->batch && hold->count > 0; i++) {
        let_in(hold, next(hold, hold->is_lates_turn));
        hold->is_lates_turn = !hold->is_lates_turn;
        if (clock_us() - began_us >= ADMITTING_US)
            break;
    }
}

/* Between two of our turns is one turn of the loop, in which those that were
 * admitted are served: how long that took sets the pace. */
static void set_pace(struct hold *hold, uint64_t now_us)
{
    if (now_us - hold->turn_ended_us > LATE_US)
        hold->batch = hold->batch > 1 ? hold->batch / 2 : 1;
    else if (hold->batch < BATCH_MAX)
        hold->batch += 4;
}

static void turn_again(struct hold *hold)
{
    static const struct timeval soon = {0};

    hold->turn_ended_us = clock_us();
    event_add(hold->turn, &soon);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct hold *hold = arg;
    const uint64_t now_us = clock_us();

    (void)fd;
    (void)what;
    set_pace(hold, now_us);
    admit_batch(hold, now_us);
    if (hold->count > 0)
        turn_again(hold);
    else
        end_watching(hold); /* later clients go straight in */
}

int hold_init(struct hold *hold, struct event_base *base, struct places *places,
              hold_admit_fn admit)
{
    *hold = (struct hold){.base = base, .places = places, .admit = admit, .watch_fd = -1};
    TAILQ_INIT(&hold->early);
    TAILQ_INIT(&hold->late);
    hold->batch = BATCH_FIRST;
    hold->turn = evtimer_new(base, on_turn, hold);
    return hold->turn ? 0 : -1;
}

void hold_open(struct hold *hold)
{
    hold->open = true;
    if (hold->count > 0)
        turn_again(hold);
}

void hold_drain(struct hold *hold)
{
    struct held held;

    event_del(hold->turn);
    while (hold->count > 0) {
        if (hold->open) {
            let_in(hold, next(hold, false));
            continue;
        }
        take(hold, next(hold, false), &held);
        linger_close_now(hold->places, held.fd);
        free(held.peer);
    }
}

void hold_finish(struct hold *hold)
{
    if (!hold->turn)
        return;
    hold->open = false;
    hold_drain(hold);
    end_watching(hold);
    event_free(hold->turn);
    hold->turn = NULL;
}
