/* Lingering: a connection whose answer is sent waits for its client's end, and the number of such
 * connections is limited. The sockets are real; the loop does not run, so that no time passes. */
#include "clients/linger.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1024 };

static struct config_limits limits;
static struct place_pool pool;
static struct places places;
static struct linger_list list;
static struct event_base *base;

static void begin(void)
{
    struct rlimit files;
    struct error error;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    cr_assert_geq(files.rlim_cur, 2 * MOST + 100);
    cr_assert_eq(libevent_load(&error), 0);
    struct event_config *config = event_config_new();
    base = event_base_new_with_config(config);
    event_config_free(config);
    place_pool_init(&pool, base);
    places_init(&places, &pool, base, &limits, "test");
}

static void end(void)
{
    linger_finish(&list);
    cr_assert_eq(places.taken, 0);
    places_finish(&places);
    place_pool_finish(&pool);
    event_base_free(base);
}

TestSuite(linger, .init = begin, .fini = end, .timeout = 60);

/* A client that stays. Returns its end of the connection. */
static int lingering_client(void)
{
    static const struct sockaddr unnamed = {.sa_family = AF_UNIX};
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0, "%s", strerror(errno));
    cr_assert_eq(places_take(&places, fds[1], &unnamed, sizeof unnamed.sa_family), 0);
    linger_close(&list, base, &places, fds[1]);
    return fds[0];
}

Test(linger, it_is_bounded)
{
    static int clients[MOST + 2];

    for (size_t i = 0; i < MOST + 2; i++) {
        clients[i] = lingering_client();
        cr_assert_eq(recv(clients[i], &(char){0}, 1, MSG_DONTWAIT), 0, "no end: %zu", i);
        cr_assert_eq(send(clients[i], "x", 1, MSG_NOSIGNAL), i < MOST ? 1 : -1, "%zu", i);
    }
    cr_assert_eq(places.taken, MOST);
    for (size_t i = 0; i < MOST + 2; i++)
        close(clients[i]);
}
