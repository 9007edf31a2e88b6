/* Places and peers: which clients are counted, which wait, and which are called. The loop is real,
 * the clients are sockets of the test's own. */
#include "clients/places.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <unistd.h>

static struct event_base *make_base(void)
{
    struct error error;
    struct event_config *config;
    struct event_base *base;

    cr_assert_eq(libevent_load(&error), 0);
    config = event_config_new();
    base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

/* ---- peers ---- */

static struct sockaddr_in ipv4(const char *address, uint16_t port)
{
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};

    cr_assert_eq(inet_pton(AF_INET, address, &result.sin_addr), 1);
    return result;
}

static struct sockaddr_in6 ipv6(const char *address, uint16_t port)
{
    struct sockaddr_in6 result = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    cr_assert_eq(inet_pton(AF_INET6, address, &result.sin6_addr), 1);
    return result;
}

#define ENTER(peers, address, most)                                                                \
    peers_enter(peers, -1, (const struct sockaddr *)&(address), sizeof(address), most)

Test(peers, ports_do_not_matter)
{
    struct peers peers = {0};
    const struct sockaddr_in one = ipv4("127.0.0.1", 1), two = ipv4("127.0.0.1", 2);
    const struct sockaddr_in other = ipv4("127.0.0.2", 1);
    struct peer *first = ENTER(&peers, one, 2);

    cr_assert_not_null(first);
    cr_assert_eq(ENTER(&peers, two, 2), first);
    cr_assert_null(ENTER(&peers, one, 2));
    struct peer *another = ENTER(&peers, other, 2);
    cr_assert_not_null(another);
    cr_assert_neq(another, first);
    peers_leave(&peers, first);
    cr_assert_eq(ENTER(&peers, one, 2), first);
    peers_leave(&peers, first);
    peers_leave(&peers, first);
    peers_leave(&peers, another);
    cr_assert_null(peers.tree);
}

Test(peers, one_ipv4_client_by_two_listeners)
{
    struct peers peers = {0};
    const struct sockaddr_in plain = ipv4("10.1.2.3", 1);
    const struct sockaddr_in6 mapped = ipv6("::ffff:10.1.2.3", 1), other = ipv6("fe80::1", 1);
    struct peer *first = ENTER(&peers, plain, 1);

    cr_assert_null(ENTER(&peers, mapped, 1));
    struct peer *another = ENTER(&peers, other, 1);
    cr_assert_not_null(another);
    cr_assert_null(ENTER(&peers, other, 1));
    peers_leave(&peers, first);
    peers_leave(&peers, another);
}

Test(peers, unix_clients_are_users)
{
    static const struct sockaddr unnamed = {.sa_family = AF_UNIX};
    struct peers peers = {0};
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct peer *me = peers_enter(&peers, fds[0], &unnamed, sizeof unnamed.sa_family, 1);
    cr_assert_not_null(me);
    cr_assert_null(peers_enter(&peers, fds[1], &unnamed, sizeof unnamed.sa_family, 1));
    /* A client that cannot be identified is a peer of its own, and not us. */
    struct peer *unnamed_peer = peers_enter(&peers, -1, &unnamed, sizeof unnamed.sa_family, 1);
    cr_assert_not_null(unnamed_peer);
    peers_leave(&peers, me);
    peers_leave(&peers, unnamed_peer);
    cr_assert_null(peers.tree);
    close(fds[0]);
    close(fds[1]);
}

Test(peers, many)
{
    enum { PEERS = 20000 };
    static struct peer *all[PEERS];
    struct peers peers = {0};

    for (uint32_t i = 0; i < PEERS; i++) {
        const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(i)}};
        all[i] = ENTER(&peers, address, 1);
        cr_assert_not_null(all[i]);
        cr_assert_null(ENTER(&peers, address, 1));
    }
    for (size_t i = 0; i < PEERS; i++)
        peers_leave(&peers, all[i]);
    cr_assert_null(peers.tree);
}

/* ---- places ---- */

static struct event_base *base;
static struct place_pool pool;

static void begin(void)
{
    base = make_base();
    place_pool_init(&pool, base);
}

static void end(void)
{
    place_pool_finish(&pool);
    event_base_free(base);
}

TestSuite(places, .init = begin, .fini = end);

static int take(struct places *places)
{
    static const struct sockaddr unnamed = {.sa_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    return places_take(places, fd, &unnamed, sizeof unnamed.sa_family) == 0 ? fd : -1;
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

Test(places, own_limit)
{
    const struct config_limits limits = {.clients = 2};
    struct places places;
    int calls = 0;
    struct place_waiter waiter = {.places = &places, .go_on = count_call, .arg = &calls};

    places_init(&places, &pool, base, &limits, "test");
    const int first = take(&places);
    cr_assert(places_are_free(&places));
    const int second = take(&places);
    cr_assert(!places_are_free(&places));
    places_wait(&waiter);
    places_wait(&waiter);
    cr_assert_eq(calls, 0);
    places_close(&places, first);
    cr_assert_eq(calls, 1);
    places_close(&places, second);
    cr_assert_eq(calls, 1, "called, but waits no more");
    places_wait_over(&waiter);
    places_wait_over(&waiter);
    cr_assert_eq(places.taken, 0);
    cr_assert_eq(pool.taken, 0);
    cr_assert_eq(places.accepted, 2);
    places_finish(&places);
}

/* Also beyond the limit: the clients that were queued at a stop. */
Test(places, services_share_the_pool)
{
    const struct config_limits limits = {0};
    struct places one, other;
    int calls_of_one = 0, calls_of_other = 0;
    struct place_waiter of_one = {.places = &one, .go_on = count_call, .arg = &calls_of_one};
    struct place_waiter of_other = {.places = &other, .go_on = count_call, .arg = &calls_of_other};

    pool.limit = 2;
    places_init(&one, &pool, base, &limits, "one");
    places_init(&other, &pool, base, &limits, "other");
    const int fds[] = {take(&one), take(&other), take(&one)};
    cr_assert(fds[2] >= 0 && !places_are_free(&one) && !places_are_free(&other));
    places_wait(&of_one);
    places_wait(&of_other);
    places_close(&one, fds[2]);
    cr_assert_eq(calls_of_one + calls_of_other, 0);
    places_close(&one, fds[0]);
    cr_assert_eq(calls_of_one, 1);
    cr_assert_eq(calls_of_other, 0, "there is one place");
    places_wait_over(&of_one);
    cr_assert_eq(calls_of_other, 1, "which no client took");
    places_wait_over(&of_other);
    places_close(&other, fds[1]);
    places_finish(&one);
    places_finish(&other);
}

Test(places, who_waits_longest_is_first)
{
    const struct config_limits limits = {.clients = 1};
    struct places places;
    int calls[2] = {0};
    struct place_waiter waiters[] = {
        {.places = &places, .go_on = count_call, .arg = &calls[0]},
        {.places = &places, .go_on = count_call, .arg = &calls[1]},
    };

    places_init(&places, &pool, base, &limits, "test");
    int fd = take(&places);
    places_wait(&waiters[0]);
    places_wait(&waiters[1]);
    for (int i = 0; i < 10; i++) {
        places_close(&places, fd);
        cr_assert_eq(calls[i % 2], i / 2 + 1);
        cr_assert_eq(calls[0] + calls[1], i + 1);
        fd = take(&places);
        places_wait(&waiters[i % 2]);
    }
    places_wait_over(&waiters[0]);
    places_wait_over(&waiters[1]);
    places_close(&places, fd);
    places_finish(&places);
}

Test(places, refused_clients_have_none)
{
    const struct config_limits limits = {.clients_per_peer = 1};
    struct places places;

    places_init(&places, &pool, base, &limits, "test");
    const int first = take(&places);
    cr_assert_geq(first, 0);
    cr_assert_eq(take(&places), -1);
    cr_assert_eq(places.refused, 1);
    cr_assert_eq(places.taken, 1);
    places_close(&places, first);
    cr_assert_null(places.peers.tree);
    places_finish(&places);
}

Test(places, given_clients)
{
    const struct config_limits limits = {.clients_per_peer = 5};
    struct places places, other;

    places_init(&places, &pool, base, &limits, "test");
    places_init(&other, &pool, base, &limits, "other");
    const int given = take(&places), own = take(&places);
    places_give(&places, given);
    cr_assert_eq(places.given, 1);
    cr_assert(!places_take_back(&places, own), "it is no client of the backend");
    cr_assert(!places_take_back(&other, given), "it is another's");
    cr_assert(!places_take_back(&places, -1) && !places_take_back(&places, 1 << 30));
    cr_assert(places_take_back(&places, given));
    cr_assert(!places_take_back(&places, given), "twice");
    close(given);
    places_close(&places, own);
    cr_assert_eq(places.given + places.taken + pool.taken, 0);
    places_finish(&places);
    places_finish(&other);
}

/* A backend closes a client without reporting it: the next client gets its place. */
Test(places, unreported_clients)
{
    const struct config_limits limits = {.clients_per_peer = 1};
    struct places places;

    places_init(&places, &pool, base, &limits, "test");
    const int given = take(&places);
    places_give(&places, given);
    close(given);
    cr_assert_eq(take(&places), given);
    cr_assert_eq(places.taken, 1);
    cr_assert_eq(places.given, 0);
    places_give(&places, given);
    close(given);
    places_finish(&places); /* nor is one lost at the end */
    cr_assert_eq(pool.taken, 0);
    cr_assert_null(places.peers.tree);
}
