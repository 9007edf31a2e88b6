/* The clocks of connections, and log lines at a bounded rate, on a real loop. */
#include "base/clock.h"
#include "clients/conn_clock.h"
#include "clients/log_rate.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct event_base *base;
static struct event *enough;

static void begin(void)
{
    struct error error;
    struct event_config *config;

    cr_assert_eq(libevent_load(&error), 0);
    config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    base = event_base_new_with_config(config);
    event_config_free(config);
}

static void end(void)
{
    event_base_free(base);
}

TestSuite(conn_clock, .init = begin, .fini = end, .timeout = 20);
TestSuite(log_rate, .init = begin, .fini = end, .timeout = 20);

static void on_enough(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    event_base_loopbreak(base);
}

static void run_for(long milliseconds)
{
    const struct timeval wait = {milliseconds / 1000, milliseconds % 1000 * 1000};

    enough = event_new(base, -1, 0, on_enough, NULL);
    event_add(enough, &wait);
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    event_free(enough);
}

/* ---- clocks ---- */

static struct conn_clock *expired[1000];
static enum conn_clock_kind expired_kinds[1000];
static size_t expired_count;

static void on_expired(struct conn_clock *clock, enum conn_clock_kind kind)
{
    cr_assert_eq(clock->kind, CONN_CLOCK_OFF);
    expired_kinds[expired_count] = kind;
    expired[expired_count++] = clock;
}

Test(conn_clock, what_is_off_costs_nothing)
{
    const struct config_limits limits = {0};
    struct conn_clocks clocks;
    struct conn_clock clock = {0};

    conn_clocks_init(&clocks, base, &limits, on_expired);
    conn_clock_set(&clocks, &clock, CONN_CLOCK_REQUEST, true);
    conn_clock_set(&clocks, &clock, CONN_CLOCK_IDLE, false);
    cr_assert_eq(clock.kind, CONN_CLOCK_OFF);
    cr_assert(!clocks.is_ticking);
    conn_clocks_finish(&clocks);
}

Test(conn_clock, expires_in_order)
{
    const struct config_limits limits = {.request_s = 1, .idle_s = 1, .first_byte_s = 1};
    struct conn_clocks clocks;
    struct conn_clock clock[5] = {0};

    conn_clocks_init(&clocks, base, &limits, on_expired);
    for (size_t i = 0; i < 3; i++)
        conn_clock_set(&clocks, &clock[i], CONN_CLOCK_REQUEST, false);
    conn_clock_set(&clocks, &clock[3], CONN_CLOCK_IDLE, false);
    conn_clock_set(&clocks, &clock[4], CONN_CLOCK_FIRST_BYTE, false);
    conn_clock_set(&clocks, &clock[0], CONN_CLOCK_REQUEST, true); /* until the end */
    conn_clock_set(&clocks, &clock[1], CONN_CLOCK_REQUEST, false);
    conn_clock_set(&clocks, &clock[4], CONN_CLOCK_OFF, false);
    run_for(900);
    cr_assert_eq(expired_count, 0);
    conn_clock_set(&clocks, &clock[3], CONN_CLOCK_IDLE, true); /* from now */
    run_for(1500); /* a tick is missed by a hair; the next comes a second later */
    cr_assert_geq(expired_count, 3);
    cr_assert(expired[0] == &clock[1] && expired[1] == &clock[2] && expired[2] == &clock[0]);
    cr_assert_eq(expired_kinds[0], CONN_CLOCK_REQUEST);
    run_for(1000);
    cr_assert_eq(expired_count, 4);
    cr_assert_eq(expired[3], &clock[3]);
    cr_assert(!clocks.is_ticking, "it ticks for no client");
    conn_clocks_finish(&clocks);
}

/* More than one turn's worth. */
Test(conn_clock, many_at_once)
{
    const struct config_limits limits = {.idle_s = 1};
    static struct conn_clock clock[1000];
    struct conn_clocks clocks;

    conn_clocks_init(&clocks, base, &limits, on_expired);
    for (size_t i = 0; i < 1000; i++)
        conn_clock_set(&clocks, &clock[i], CONN_CLOCK_IDLE, false);
    run_for(2500);
    cr_assert_eq(expired_count, 1000);
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(expired[i], &clock[i]);
    conn_clocks_finish(&clocks);
}

/* ---- log lines ---- */

static int log_read = -1;

static void catch_log(void)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    log_read = ends[0];
}

/* The lines logged since the last call. */
static const char *logged(void)
{
    static char text[4096];
    const ssize_t size = read(log_read, text, sizeof text - 1);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

Test(log_rate, a_count_is_one_line_a_second)
{
    struct log_count log;

    catch_log();
    log_count_init(&log, base, "x", "client", "closed (%d)", 7);
    log_count_add(&log);
    cr_assert_str_empty(logged());
    run_for(20);
    cr_assert_str_eq(logged(), "rpd: x: warning: 1 client closed (7)\n");
    for (int i = 0; i < 100; i++)
        log_count_add(&log);
    run_for(500);
    cr_assert_str_empty(logged());
    run_for(700);
    cr_assert_str_eq(logged(), "rpd: x: warning: 100 clients closed (7)\n");
    log_count_add(&log);
    log_count_finish(&log);
    cr_assert_str_eq(logged(), "rpd: x: warning: 1 client closed (7)\n");
}

Test(log_rate, a_state_has_a_line_at_each_end)
{
    struct log_state log;

    catch_log();
    log_state_init(&log, base, "x", "over");
    log_state_begin(&log, "begun %d", 1);
    log_state_begin(&log, "begun %d", 2);
    run_for(20);
    cr_assert_str_eq(logged(), "rpd: x: warning: begun 1\n");
    log_state_end(&log);
    run_for(1100);
    cr_assert_str_empty(logged());
    log_state_end(&log);
    run_for(20);
    cr_assert_str_eq(logged(), "rpd: x: over\n");
    /* A state that comes and goes within a second is not logged; one that stays is. */
    for (int i = 0; i < 10; i++) {
        log_state_begin(&log, "again");
        log_state_end(&log);
    }
    run_for(1100);
    cr_assert_str_empty(logged());
    log_state_begin(&log, "stays");
    run_for(20);
    cr_assert_str_eq(logged(), "rpd: x: warning: stays\n");
    log_state_finish(&log);
}
