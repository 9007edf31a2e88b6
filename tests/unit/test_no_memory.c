/* Clients that are closed because memory has run out: each is counted and logged, and leaves
 * nothing behind. The test decides whether calloc() and realloc() succeed. Linked with
 * --wrap=calloc and --wrap=realloc. */
#include "base/buffer.h"
#include "clients/conn.h"
#include "clients/hold.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int allowed; /* this many more calls succeed; below 0: all */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);

static bool may_have(void)
{
    if (allowed == 0)
        return false;
    allowed -= allowed > 0;
    return true;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_have() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *block, size_t size)
{
    return may_have() ? __real_realloc(block, size) : NULL;
}

static const struct rpd_backend backend = {.name = "test"};
static struct config_limits limits;
static struct place_pool pool;
static struct places places;
static struct hold hold;
static struct conn_loop loop;
static struct conn_group group;
static struct event_base *base;
static int fds[2]; /* the client's end, and the daemon's */

static void admit(void *arg, int take_fd, const struct sockaddr *peer, socklen_t peer_length)
{
    (void)arg, (void)peer, (void)peer_length;
    places_close(&places, take_fd);
}

static void begin(void)
{
    struct error error;

    cr_redirect_stderr();
    allowed = -1;
    limits = (struct config_limits){
        .clients_per_peer = 10, .output_bytes = 1 << 20, .input_bytes = 1 << 20};
    cr_assert_eq(libevent_load(&error), 0);
    struct event_config *config = event_config_new();
    base = event_base_new_with_config(config);
    event_config_free(config);
    place_pool_init(&pool, base);
    places_init(&places, &pool, base, &limits, "test");
    cr_assert_eq(hold_init(&hold, base, &places, admit), 0);
    cr_assert_eq(conn_loop_init(&loop, base), 0);
    group = (struct conn_group){.limits = &limits,
                                .places = &places,
                                .backend = &backend,
                                .owner = {.service = "test", .plugin = "test"}};
    conn_group_init(&group, &loop);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

static void end(void)
{
    allowed = -1;
    hold_finish(&hold);
    conn_group_abort(&group);
    conn_group_finish(&group);
    cr_assert_eq(places.taken, 0);
    places_finish(&places);
    conn_loop_finish(&loop);
    place_pool_finish(&pool);
    event_base_free(base);
    close(fds[0]);
}

TestSuite(no_memory, .init = begin, .fini = end, .timeout = 20);

static const struct sockaddr unnamed = {.sa_family = AF_UNIX};

static int take_place(void)
{
    return places_take(&places, fds[1], &unnamed, sizeof unnamed.sa_family);
}

/* The client sees its end, and the log says why. */
static void assert_closed(void)
{
    char text[1024] = "";
    FILE *log = cr_get_redirected_stderr();

    allowed = -1;
    cr_assert_eq(recv(fds[0], &(char){0}, 1, 0), 0, "%s", strerror(errno));
    cr_assert_eq(places.short_of_memory, 1);
    cr_assert_eq(places.refused, 0);
    cr_assert_eq(places.taken, 0);
    event_base_loop(base, EVLOOP_ONCE); /* the line is due */
    cr_assert_not_null(fgets(text, sizeof text, log));
    cr_assert_not_null(strstr(text, "test: warning: 1 client closed: there was no memory for it"),
                       "%s", text);
}

static void assert_stays(void)
{
    cr_assert_eq(recv(fds[0], &(char){0}, 1, 0), -1);
    cr_assert_eq(errno, EAGAIN);
    cr_assert_eq(places.short_of_memory, 0);
    cr_assert_eq(places.taken, 1);
}

/* Its place, and then its peer: two allocations. */
Test(no_memory, of_a_place)
{
    allowed = 0;
    cr_assert_eq(take_place(), -1);
    assert_closed();
}

Test(no_memory, of_a_peer)
{
    allowed = 1;
    cr_assert_eq(take_place(), -1);
    assert_closed();
}

Test(no_memory, of_one_that_is_held)
{
    cr_assert_eq(take_place(), 0);
    allowed = 0;
    hold_add(&hold, fds[1], &unnamed, sizeof unnamed.sa_family, NULL);
    assert_closed();
}

/* Its client must not take the place of one without an address. */
Test(no_memory, of_an_address_that_is_held)
{
    const struct sockaddr_in address = {.sin_family = AF_INET};

    cr_assert_eq(take_place(), 0);
    allowed = 1;
    hold_add(&hold, fds[1], (const struct sockaddr *)&address, sizeof address, NULL);
    assert_closed();
}

Test(no_memory, of_a_connection)
{
    cr_assert_eq(take_place(), 0);
    allowed = 0;
    conn_open(&group, fds[1], NULL);
    assert_closed();
}

Test(no_memory, nothing_is_said_where_there_is_some)
{
    cr_assert_eq(take_place(), 0);
    hold_add(&hold, fds[1], &unnamed, sizeof unnamed.sa_family, NULL);
    cr_assert_eq(hold.count, 1);
    assert_stays();
}

/* Too many clients of one peer are refused, which is not a shortage of memory. */
Test(no_memory, one_too_many_is_none)
{
    int other[2];

    limits.clients_per_peer = 1;
    cr_assert_eq(take_place(), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other), 0);
    cr_assert_eq(places_take(&places, other[1], &unnamed, sizeof unnamed.sa_family), -1);
    close(other[0]);
    cr_assert_eq(places.refused, 1);
    assert_stays();
    places_close(&places, fds[1]);
}
