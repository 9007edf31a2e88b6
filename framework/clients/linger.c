/* Lingering. See linger.h. */
#include "clients/linger.h"

#include "base/clock.h"
#include "library/libevent.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { LINGER_S = 2, DISCARD_MAX = 1 << 20, LINGERERS_MAX = 1024 };

struct lingerer {
    struct event readable;
    struct linger_list *list;
    struct places *places;
    int fd;
    size_t discarded;
    uint64_t end_us; /* a client that drips must not keep its place */
    LIST_ENTRY(lingerer) link;
};

static void end(struct lingerer *lingerer)
{
    event_del(&lingerer->readable);
    LIST_REMOVE(lingerer, link);
    lingerer->list->count--;
    places_close(lingerer->places, lingerer->fd);
    free(lingerer);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct lingerer *lingerer = arg;
    char discard[16384];
    ssize_t size = what & EV_READ ? recv(fd, discard, sizeof discard, 0) : 0;

    if (size > 0)
        lingerer->discarded += (size_t)size;
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR) ||
        lingerer->discarded > DISCARD_MAX || clock_us() > lingerer->end_us)
        end(lingerer);
}

/* Shut down for both directions, a unix client cannot send any more: nothing
 * comes between the last byte that is read here and the close. */
void linger_close_now(struct places *places, int take_fd)
{
    char discard[16384];
    size_t discarded = 0;
    ssize_t size = shutdown(take_fd, SHUT_RDWR) < 0 ? 0 : 1;

    while (size > 0 && discarded <= DISCARD_MAX) {
        size = recv(take_fd, discard, sizeof discard, MSG_DONTWAIT);
        discarded += size > 0 ? (size_t)size : 0;
    }
    places_close(places, take_fd);
}

void linger_close(struct linger_list *list, struct event_base *base, struct places *places,
                  int take_fd)
{
    const struct timeval limit = {.tv_sec = LINGER_S};
    struct lingerer *lingerer = list->count < LINGERERS_MAX ? calloc(1, sizeof *lingerer) : NULL;

    if (!lingerer || shutdown(take_fd, SHUT_WR) < 0) {
        linger_close_now(places, take_fd);
        free(lingerer);
        return;
    }
    lingerer->list = list;
    lingerer->places = places;
    lingerer->fd = take_fd;
    lingerer->end_us = clock_us() + LINGER_S * UINT64_C(1000000);
    LIST_INSERT_HEAD(&list->lingerers, lingerer, link);
    list->count++;
    event_assign(&lingerer->readable, base, take_fd, EV_READ | EV_PERSIST, on_readable, lingerer);
    if (event_add(&lingerer->readable, &limit) < 0)
        end(lingerer);
}

void linger_finish(struct linger_list *list)
{
    while (!LIST_EMPTY(&list->lingerers))
        /* end() takes it off the list; the analyzer loses track of the heads.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        end(LIST_FIRST(&list->lingerers));
}
