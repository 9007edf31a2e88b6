/* Many idle connections. See warmup.c. */
#include "../support/process.h"
#include "asker.h"
#include "warmup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAUSE_US = 500 };

/* Whether the request is answered. */
static bool use(int fd)
{
    char answer[8];

    return send_all(fd, "hello\n", 6) == 0 && read_exactly(fd, answer, 6) == 6;
}

static int *connect_all(const char *endpoint, size_t count)
{
    int *fds = calloc(count, sizeof *fds);

    for (size_t i = 0; fds && i < count; i++) {
        fds[i] = connect_to(endpoint);
        if (fds[i] < 0 || !use(fds[i]))
            test_die("connection %zu of %zu: %s", i + 1, count, strerror(errno));
    }
    return fds;
}

/* Uses each connection once more. Returns how many were not answered. */
static size_t close_all(int *fds, size_t count)
{
    size_t dead = 0;

    for (size_t i = 0; i < count; i++) {
        dead += !use(fds[i]);
        close(fds[i]);
    }
    free(fds);
    return dead;
}

void measure_idle(const struct plan *plan)
{
    char answer[ASKER_LINE];
    const char *dir = temp_dir_make();
    const char *endpoint = textf("unix:%s/s", dir);
    struct process *rpd = RPD_START(dir, build_path("plugins/echo.so"), "-l", endpoint);

    wait_bound(rpd);
    struct asker *asker = asker_open(endpoint, "PING\n");
    if (!asker_ask(asker, answer))
        test_die("echo does not answer");
    const double rss_before = rss_bytes(rpd);
    int *fds = connect_all(endpoint, plan->idle);
    const double rss = (rss_bytes(rpd) - rss_before) / (double)plan->idle;
    const int64_t began = now_ns();
    for (long i = 0; i < plan->requests && asker_ask(asker, answer); i++)
        sleep_us(PAUSE_US);
    const struct latency latency = asker_latency(asker, began, INT64_MAX);
    const size_t dead = close_all(fds, plan->idle) + (latency.count < (size_t)plan->requests);

    printf("idle: %zu connections, %.0f bytes of RSS each; %zu answers to another, in ms: p50 "
           "%.3f, p99 %.3f, max %.3f\n",
           plan->idle, rss, latency.count, latency.p50_ms, latency.p99_ms, latency.max_ms);
    fflush(stdout);
    figure_add(IDLE_UNANSWERED, (double)dead);
    figure_add(IDLE_MEMORY, rss);
    figure_add(IDLE_P99, latency.p99_ms);
    asker_close(asker);
    process_stop(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}
