/* Many clients come at once while a daemon loads. See warmup.c. */
#include "../support/process.h"
#include "asker.h"
#include "processors.h"
#include "warmup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A queue that is short, so that a client's connect() waits for accept(): the pace of
 * those that come is then that of the daemon. */
#define SHORT_QUEUE "64"
#define LONG_QUEUE "4096"

enum { LOAD_S = 600 };

struct burst {
    double seconds;
    double cpu_us; /* of the daemon's first thread, a client */
    size_t eagain, refused;
};

/* One process, as fast as it can: each connects, and sends its request. */
static struct burst come_at_once(const char *path, size_t count, bool waits, int **ret_fds)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct burst burst = {0};
    int *fds = calloc(count, sizeof *fds);
    const int64_t began = now_ns();

    if (!fds)
        test_die("burst: out of memory");
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    for (size_t i = 0; i < count; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0);
        if (fds[i] < 0)
            test_die("socket: %s", strerror(errno));
        if (connect(fds[i], (struct sockaddr *)&address, sizeof address) != 0)
            *(errno == EAGAIN ? &burst.eagain : &burst.refused) += 1;
        else if (send(fds[i], "x\n", 2, MSG_NOSIGNAL) != 2)
            burst.refused++;
    }
    burst.seconds = (double)(now_ns() - began) / 1e9;
    *ret_fds = fds;
    return burst;
}

static void leave(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    free(fds);
}

/* The processor's time that its first thread has had. */
static double cpu_us_of(const struct process *process)
{
    const char *text = file_read(textf("/proc/%d/schedstat", (int)process_pid(process)));

    return text ? strtod(text, NULL) / 1000 : 0;
}

static struct process *start_rpd(const char *dir, const char *backlog)
{
    const char *path = textf("%s/rpd.json", dir);
    const char *text = textf("{ \"services\": [ { \"name\": \"slow\", \"plugin\": \"%s\",\n"
                             "  \"listen\": [ { \"endpoint\": \"unix:%s/s\", \"backlog\": %s } ],\n"
                             "  \"warmup\": \"hold\", \"options\": { \"load_s\": %d } } ] }\n",
                             build_path("samples/slow_start.so"), dir, backlog, LOAD_S);

    file_write(path, text, strlen(text));
    return RPD_START(dir, "-c", path);
}

static struct process *start_plain(const char *dir, const char *backlog)
{
    return process_start(&(struct process_options){
        .argv = ARGS(beside_path("epoll_accept"), textf("%s/s", dir), backlog),
        .notify = true,
    });
}

static struct burst measure(bool at_rpd, const char *backlog, size_t clients, bool waits)
{
    const char *dir = temp_dir_make();
    struct process *process;
    struct burst burst;
    int *fds;

    processors_use_servers();
    process = (at_rpd ? start_rpd : start_plain)(dir, backlog);
    processors_use_clients();
    wait_bound(process);
    sleep_us(100000); /* the load has begun, and its first touches are over */
    const double before_us = cpu_us_of(process);
    burst = come_at_once(textf("%s/s", dir), clients, waits, &fds);
    burst.cpu_us = (cpu_us_of(process) - before_us) / (double)clients;
    leave(fds, clients);
    process_stop(process);
    process_free(process);
    processors_use_all();
    temp_dir_remove(dir);
    return burst;
}

static void print_burst(const char *label, const struct burst *burst, const struct burst *paced,
                        size_t clients)
{
    printf("%-26s %8zu %8zu %8zu %12.0f %12.2f\n", label, clients, burst->refused, burst->eagain,
           (double)clients / paced->seconds, paced->cpu_us);
}

void measure_burst(const struct plan *plan)
{
    const size_t clients = plan->burst;
    const struct burst plain = measure(false, LONG_QUEUE, clients, false);
    const struct burst rpd = measure(true, LONG_QUEUE, clients, false);
    const struct burst plain_paced = measure(false, SHORT_QUEUE, clients, true);
    const struct burst rpd_paced = measure(true, SHORT_QUEUE, clients, true);

    printf("burst: clients that one process connects as fast as it can, while a load runs\n");
    printf("%-26s %8s %8s %8s %12s %12s\n", "", "came", "refused", "EAGAIN", "accepted/s",
           "us of CPU");
    print_burst("rpd, hold", &rpd, &rpd_paced, clients);
    print_burst("plain epoll and accept4", &plain, &plain_paced, clients);
    fflush(stdout);
    figure_add(BURST_REFUSED, (double)rpd.refused);
    figure_add(BURST_EAGAIN, (double)rpd.eagain);
    figure_add(BURST_SLOWNESS, rpd_paced.seconds / plain_paced.seconds);
}
