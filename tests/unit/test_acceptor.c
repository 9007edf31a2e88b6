/* accept() and shortages: the pauses are 10, 100, then 1000 ms, and start again with each shortage.
 * The loop is real; accept4() fails when the test wants it to. Linked with --wrap=accept4. */
#include "clients/acceptor.h"

#include "process.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int failure; /* errno's value; 0: none */
static int tries, accepted;

int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    tries++;
    if (failure == 0)
        return __real_accept4(fd, address, length, flags);
    errno = failure;
    return -1;
}

/* ---- the scene ---------------------------------------------------------------------------- */

static const struct config_limits limits = {.clients = 100};
static struct event_base *base;
static struct place_pool pool;
static struct places places;
static struct acceptor acceptor;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static const char *dir;
static int listener;

static void on_client(void *arg, int take_fd, const struct sockaddr *peer, socklen_t peer_length)
{
    (void)arg, (void)peer, (void)peer_length;
    accepted++;
    places_close(&places, take_fd);
}

static void begin(void)
{
    struct error error;
    struct event_config *config;

    cr_assert_eq(libevent_load(&error), 0);
    config = event_config_new();
    base = event_base_new_with_config(config);
    event_config_free(config);
    dir = temp_dir_make();
    snprintf(address.sun_path, sizeof address.sun_path, "%s/x.sock", dir);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 100), 0);
    place_pool_init(&pool, base);
    places_init(&places, &pool, base, &limits, "test");
    acceptor.places = &places;
    acceptor_init(&acceptor, "test", false, on_client, NULL);
    cr_assert_eq(acceptor_start(&acceptor, base, listener), 0);
}

static void end(void)
{
    acceptor_stop(&acceptor);
    places_finish(&places);
    place_pool_finish(&pool);
    event_base_free(base);
    close(listener);
    temp_dir_remove(dir);
}

TestSuite(acceptor, .init = begin, .fini = end, .timeout = 60);

static int queue_client(void)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void turn_until_tried(void)
{
    const int before = tries;

    while (tries == before)
        event_base_loop(base, EVLOOP_ONCE);
}

/* It has just tried, in vain, and pauses for this long: according to its own field, and to the
 * loop's timer. */
static void assert_pauses_for(unsigned ms)
{
    struct timeval due, now;
    long left_us;

    cr_assert_eq(acceptor.pause_ms, ms, "%u ms", acceptor.pause_ms);
    cr_assert(event_pending(&acceptor.resume, EV_TIMEOUT, &due));
    gettimeofday(&now, NULL);
    left_us = (due.tv_sec - now.tv_sec) * 1000000L + due.tv_usec - now.tv_usec;
    cr_assert_leq(left_us, (long)ms * 1000 + 50000, "%ld us", left_us);
    cr_assert(!event_pending(&acceptor.readable, EV_READ, NULL));
}

static void run_short(const unsigned *pauses_ms, size_t count)
{
    failure = EMFILE;
    for (size_t i = 0; i < count; i++) {
        turn_until_tried();
        assert_pauses_for(pauses_ms[i]);
    }
    failure = 0;
}

Test(acceptor, a_second_shortage_is_as_the_first)
{
    static const unsigned pauses_ms[] = {10, 100, 1000};

    for (uint64_t shortage = 1; shortage <= 2; shortage++) {
        const int fd = queue_client();

        run_short(pauses_ms, shortage == 1 ? 3 : 2);
        cr_assert_eq(acceptor.pauses, shortage);
        turn_until_tried();
        cr_assert_eq(accepted, (int)shortage);
        cr_assert_eq(acceptor.pause_ms, 0);
        close(fd);
    }
}

/* However long the shortage lasts, it counts as one. */
Test(acceptor, a_shortage_counts_once)
{
    static const unsigned pauses_ms[] = {10, 100, 1000};
    const int fd = queue_client();

    run_short(pauses_ms, 2);
    cr_assert_eq(acceptor.pauses, 1);
    run_short(pauses_ms + 2, 1);
    cr_assert_eq(acceptor.pauses, 1);
    close(fd);
}

/* If another process has taken the queued client meanwhile, the shortage is over, too. */
Test(acceptor, an_empty_queue_ends_it)
{
    static const unsigned pauses_ms[] = {10};
    int fd = queue_client();

    run_short(pauses_ms, 1);
    close(__real_accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    close(fd);
    turn_until_tried();
    cr_assert_eq(acceptor.pause_ms, 0);
    cr_assert_eq(accepted, 0);
    fd = queue_client();
    run_short(pauses_ms, 1);
    cr_assert_eq(acceptor.pauses, 2);
    close(fd);
}
