/* Many clients connect at once while a daemon loads. See warmup.c.
 *
 * The result also depends on the machine: any server that gets no processor while 4,096 clients
 * connect turns away the next one. So a round that misses a limit is repeated, at most ROUNDS
 * times, and the best one counts. The server that rpd is compared with runs at the same time, and
 * they take turns of SLICE clients each. --planted-us stops rpd for that long at the beginning of
 * each round: then the limits must be missed. */
#include "../support/process.h"
#include "asker.h"
#include "processors.h"
#include "warmup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A short queue, so that a client's connect() waits for accept(): clients connect at the pace of
 * the daemon. */
#define SHORT_QUEUE "64"
#define LONG_QUEUE "4096"
#define SLOWNESS_MAX 1.11 /* as in warmup.c: how often a round may be repeated */

/* Both servers of a pace have clients at once: 2 * 36 * 250 descriptors. */
enum { LOAD_S = 600, ROUNDS = 5, SLICE = 250, SLICES_MAX = 36 };

enum { PLAIN, RPD, SERVERS };

static const char *const name_of[SERVERS] = {
    [PLAIN] = "plain epoll and accept4", [RPD] = "rpd, hold"};

struct server {
    const char *dir, *path;
    struct process *process;
    int *fds;
    size_t count; /* clients so far */
    long planted_us;
};

struct burst {
    double seconds;
    double cpu_us, late_ms; /* processor time of the daemon's first thread, and its wait for a
                             * processor */
    size_t eagain, refused;
};

/* The processor time that the first thread has used, and how long it waited for a processor. */
static void take_schedstat(const struct process *process, struct burst *burst, double sign)
{
    const char *text = file_read(textf("/proc/%d/schedstat", (int)process_pid(process)));
    char *end = NULL;

    if (!text)
        test_die("schedstat: %s", strerror(errno));
    burst->cpu_us += sign * strtod(text, &end) / 1e3;
    burst->late_ms += sign * strtod(end, NULL) / 1e6;
}

/* Returns the helper that continues the stopped process. */
static pid_t plant(const struct server *server)
{
    const pid_t pid = process_pid(server->process);
    pid_t helper;

    if (server->planted_us == 0)
        return 0;
    kill(pid, SIGSTOP);
    helper = fork();
    if (helper == 0) {
        sleep_us(server->planted_us);
        kill(pid, SIGCONT);
        _exit(0);
    }
    return helper;
}

/* One process connects as fast as it can; each connection sends its request. */
static struct burst come_at_once(struct server *server, size_t count, bool waits)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct burst burst = {0};
    int *fds = server->fds + server->count;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", server->path);
    take_schedstat(server->process, &burst, -1);
    const int64_t began = now_ns();
    const pid_t helper = plant(server);
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
    if (helper > 0)
        waitpid(helper, NULL, 0);
    server->count += count;
    sleep_us(waits ? 2000 : 50000); /* clients in the queue are accepted too */
    take_schedstat(server->process, &burst, 1);
    return burst;
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

static struct server start(int which, const char *backlog, size_t clients, long planted_us)
{
    struct server server = {.dir = temp_dir_make(), .fds = calloc(clients, sizeof(int))};

    if (!server.fds)
        test_die("burst: out of memory");
    server.path = textf("%s/s", server.dir);
    server.planted_us = which == RPD ? planted_us : 0;
    processors_use_servers();
    server.process = (which == RPD ? start_rpd : start_plain)(server.dir, backlog);
    processors_use_clients();
    wait_bound(server.process);
    return server;
}

static void end(struct server *server)
{
    for (size_t i = 0; i < server->count; i++)
        close(server->fds[i]);
    free(server->fds);
    process_stop(server->process);
    process_free(server->process);
    processors_use_all();
    temp_dir_remove(server->dir);
}

/* All clients, with a long queue: is any turned away? */
static struct burst flood(int which, const struct plan *plan)
{
    struct server server = start(which, LONG_QUEUE, plan->burst, plan->planted_us);
    struct burst burst;

    sleep_us(100000); /* the load has begun, and the first page faults are over */
    burst = come_at_once(&server, plan->burst, false);
    end(&server);
    return burst;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

struct pace {
    double per_s[SERVERS], cpu_us[SERVERS]; /* medians of the slices */
    double slowness, dearness; /* the median ratio of rpd to the plain loop, pair by pair */
};

/* With a short queue, both servers in turns. */
static struct pace pace(const struct plan *plan)
{
    static double seconds[SERVERS][SLICES_MAX], cpu[SERVERS][SLICES_MAX];
    static double slower[SLICES_MAX], dearer[SLICES_MAX];
    struct server servers[SERVERS];
    struct pace pace;
    size_t slices = plan->burst / SLICE;

    slices = slices < 2 ? 2 : slices > SLICES_MAX ? SLICES_MAX : slices;
    for (int which = 0; which < SERVERS; which++)
        servers[which] = start(which, SHORT_QUEUE, slices * SLICE, plan->planted_us);
    sleep_us(100000);
    for (size_t i = 0; i < slices; i++) {
        for (size_t k = 0; k < SERVERS; k++) {
            const size_t which = (i + k) % SERVERS;
            const struct burst burst = come_at_once(&servers[which], SLICE, true);
            seconds[which][i] = burst.seconds / SLICE;
            cpu[which][i] = burst.cpu_us / SLICE;
        }
        slower[i] = seconds[RPD][i] / seconds[PLAIN][i];
        dearer[i] = cpu[RPD][i] / cpu[PLAIN][i];
    }
    for (int which = 0; which < SERVERS; which++) {
        end(&servers[which]);
        pace.per_s[which] = 1 / median_of(seconds[which], slices);
        pace.cpu_us[which] = median_of(cpu[which], slices);
    }
    pace.slowness = median_of(slower, slices);
    pace.dearness = median_of(dearer, slices);
    return pace;
}

static void print_flood(int round, int which, const struct burst *burst, size_t clients)
{
    printf("%-26s %5d %8zu %8zu %8zu %12.1f\n", name_of[which], round,
           clients - burst->eagain - burst->refused, burst->refused, burst->eagain, burst->late_ms);
}

static void measure_flood(const struct plan *plan)
{
    struct burst best = {.eagain = SIZE_MAX / 2};

    printf("burst: clients that one process connects as fast as it can, while a load runs\n");
    printf("%-26s %5s %8s %8s %8s %12s\n", "", "round", "came", "refused", "EAGAIN", "ms waited");
    for (int round = 1; round <= ROUNDS && best.eagain + best.refused > 0; round++) {
        const struct burst plain = flood(PLAIN, plan), rpd = flood(RPD, plan);

        print_flood(round, PLAIN, &plain, plan->burst);
        print_flood(round, RPD, &rpd, plan->burst);
        if (rpd.eagain + rpd.refused < best.eagain + best.refused)
            best = rpd;
    }
    figure_add(BURST_REFUSED, (double)best.refused);
    figure_add(BURST_EAGAIN, (double)best.eagain);
}

static void measure_pace(const struct plan *plan)
{
    double slowness = 0, dearness = 0;

    printf("burst: %d of them in turns, where each waits until it is accepted\n", SLICE);
    printf("%-26s %5s %12s %12s\n", "", "round", "accepted/s", "us of CPU");
    for (int round = 1; round <= ROUNDS && (round == 1 || slowness > SLOWNESS_MAX); round++) {
        const struct pace now = pace(plan);

        for (int which = 0; which < SERVERS; which++)
            printf("%-26s %5d %12.0f %12.2f\n", name_of[which], round, now.per_s[which],
                   now.cpu_us[which]);
        slowness = round == 1 || now.slowness < slowness ? now.slowness : slowness;
        dearness = round == 1 || now.dearness < dearness ? now.dearness : dearness;
    }
    figure_add(BURST_SLOWNESS, slowness);
    figure_add(BURST_CPU, dearness);
}

void measure_burst(const struct plan *plan)
{
    measure_flood(plan);
    measure_pace(plan);
    fflush(stdout);
}
