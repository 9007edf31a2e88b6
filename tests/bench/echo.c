/* What rpd costs on small messages: the CPU time per request of `rpd echo.so`, compared with a good
 * echo server written by hand (epoll_echo).
 *
 *     echo [--pairs N] [--requests N] [--threads] [--check] [--json FILE]
 *
 * There are 50 connections on a unix socket, with one 64-byte message outstanding on each. CPU time
 * is that of the server, user and system, all its threads, by its CPU clock. If the machine has two
 * processors, load and server have one each. A pair is one start of both servers. They take turns
 * in slices of the pair's requests and the median slice counts, so that other work on the machine
 * affects both alike. --threads: the hand-written server has a second thread, which only waits. The
 * kernel then counts the references to a descriptor at each system call, as it must for any daemon
 * with workers; without this option only rpd pays for that. --check: exit 1 if the median of the
 * pairs' ratios is above 1.15. */
#include "../support/process.h"
#include "json_figures.h"
#include "processors.h"
#include "rounds.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIMIT 1.15

enum { CONNECTIONS = 50, MESSAGE = 64, MAX_PAIRS = 999, MAX_THREADS = 64, SLICES = 20 };

enum server { EPOLL, RPD, SERVERS };

static const char *const server_name[SERVERS] = {[EPOLL] = "epoll", [RPD] = "rpd"};

/* ---- Instructions, if the machine lets us count them ------------------- */

struct counters {
    int fds[MAX_THREADS];
    int count;
};

static int open_counter(pid_t thread)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attr,
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .exclude_hv = 1,
    };

    return (int)syscall(SYS_perf_event_open, &attr, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void counters_open(struct counters *counters, pid_t pid)
{
    counters->count = 0;
    DIR *dir = opendir(textf("/proc/%d/task", (int)pid));
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) && counters->count < MAX_THREADS;) {
        if (entry->d_name[0] == '.')
            continue;
        const int fd = open_counter((pid_t)strtol(entry->d_name, NULL, 10));
        if (fd < 0)
            break;
        counters->fds[counters->count++] = fd;
    }
    closedir(dir);
}

static double counters_close(struct counters *counters)
{
    double sum = 0;

    while (counters->count > 0) {
        uint64_t value = 0;
        const int fd = counters->fds[--counters->count];
        if (read(fd, &value, sizeof value) == sizeof value)
            sum += (double)value;
        close(fd);
    }
    return sum;
}

/* ---- The load --------------------------------------------------------- */

struct load {
    int epoll_fd;
    int fds[CONNECTIONS];
    size_t got[CONNECTIONS];
    char message[MESSAGE], answers[CONNECTIONS][MESSAGE];
};

static void load_open(struct load *load, const char *endpoint)
{
    memset(load, 0, sizeof *load);
    memset(load->message, 'x', MESSAGE - 1);
    load->message[MESSAGE - 1] = '\n';
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        load->fds[i] = connect_to(endpoint);
        if (load->fds[i] < 0 || epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, load->fds[i], &event) != 0)
            test_die("%s: %s", endpoint, strerror(errno));
    }
}

static void load_close(struct load *load)
{
    for (int i = 0; i < CONNECTIONS; i++)
        close(load->fds[i]);
    close(load->epoll_fd);
}

static void ask(struct load *load, uint32_t i)
{
    if (send(load->fds[i], load->message, MESSAGE, MSG_NOSIGNAL) != MESSAGE)
        test_die("send: %s", strerror(errno));
    load->got[i] = 0;
}

/* Whether the whole answer has arrived. */
static bool answered(struct load *load, uint32_t i)
{
    const ssize_t got = recv(load->fds[i], load->answers[i] + load->got[i], MESSAGE - load->got[i],
                             MSG_DONTWAIT);

    if (got <= 0)
        test_die("recv: %s", got == 0 ? "the server closed the connection" : strerror(errno));
    load->got[i] += (size_t)got;
    if (load->got[i] < MESSAGE)
        return false;
    if (memcmp(load->answers[i], load->message, MESSAGE) != 0)
        test_die("the answer is not the message");
    return true;
}

static void load_run(struct load *load, long requests)
{
    long asked = 0, done = 0;

    for (uint32_t i = 0; i < CONNECTIONS && asked < requests; i++, asked++)
        ask(load, i);
    while (done < requests) {
        struct epoll_event events[CONNECTIONS];
        const int count = epoll_wait(load->epoll_fd, events, CONNECTIONS, 20000);
        if (count <= 0 && errno != EINTR)
            test_die("no answer in 20 s");
        for (int k = 0; k < count; k++) {
            const uint32_t i = events[k].data.u32;
            if (!answered(load, i))
                continue;
            done++;
            if (asked < requests) {
                ask(load, i);
                asked++;
            }
        }
    }
}

/* ---- A pair ----------------------------------------------------------- */

struct subject {
    const char *dir;
    struct process *server;
    struct load load;
    struct counters counters;
    double cpu_ns[SLICES], wall_ns[SLICES]; /* per request */
};

struct result {
    double cpu_ns, wall_ns, instructions; /* per request; instructions 0: not counted */
};

static bool has_threads;

static void subject_start(struct subject *subject, enum server which)
{
    subject->dir = temp_dir_make();
    const char *endpoint = textf("unix:%s/s", subject->dir);
    const char *program = which == RPD ? build_path("rpd") : beside_path("epoll_echo");

    processors_use_servers();
    subject->server = process_start(&(struct process_options){
        .argv = ARGS(program, build_path("plugins/echo.so"), "-l", endpoint,
                     which == EPOLL && has_threads ? "--thread" : NULL),
        .runtime_dir = subject->dir,
        .notify = true,
    });
    processors_use_clients();
    if (process_wait_bound(subject->server) != 0)
        test_die("%s did not start: %s", program, process_stderr(subject->server));
    load_open(&subject->load, endpoint);
}

static void subject_slice(struct subject *subject, int slice, long requests)
{
    const pid_t pid = process_pid(subject->server);
    const int64_t cpu = cpu_time_ns(pid), wall = now_ns();

    load_run(&subject->load, requests);
    subject->cpu_ns[slice] = (double)(cpu_time_ns(pid) - cpu) / (double)requests;
    subject->wall_ns[slice] = (double)(now_ns() - wall) / (double)requests;
    if (cpu < 0)
        test_die("the CPU clock of pid %d cannot be read", (int)pid);
}

static struct result subject_end(struct subject *subject, long requests)
{
    struct result result;

    result.instructions = counters_close(&subject->counters) / (double)requests;
    result.cpu_ns = median(subject->cpu_ns, SLICES);
    result.wall_ns = median(subject->wall_ns, SLICES);
    load_close(&subject->load);
    process_stop(subject->server);
    process_free(subject->server);
    temp_dir_remove(subject->dir);
    return result;
}

static void run_pair(long pair, long slice_requests, struct result *ret_results)
{
    static struct subject subjects[SERVERS];

    for (unsigned which = 0; which < SERVERS; which++) {
        subject_start(&subjects[which], which);
        load_run(&subjects[which].load, slice_requests); /* warm-up */
        counters_open(&subjects[which].counters, process_pid(subjects[which].server));
    }
    for (int slice = 0; slice < SLICES; slice++) {
        const int first = (int)(pair + slice) % SERVERS;
        subject_slice(&subjects[first], slice, slice_requests);
        subject_slice(&subjects[!first], slice, slice_requests);
    }
    for (int which = 0; which < SERVERS; which++)
        ret_results[which] = subject_end(&subjects[which], slice_requests * SLICES);
}

/* ---- The command ------------------------------------------------------ */

static double measure(long pairs, long requests)
{
    static double ratios[MAX_PAIRS], costs[SERVERS][MAX_PAIRS], instructions[SERVERS][MAX_PAIRS];
    const long slice_requests = (requests + SLICES - 1) / SLICES;

    printf("echo: %d connections, %d bytes, %ld requests to each in a pair; server CPU us a "
           "request%s\n",
           CONNECTIONS, MESSAGE, slice_requests * SLICES,
           has_threads ? "; epoll has a second thread" : "");
    printf("%6s %10s %10s %10s %14s %14s\n", "pair", "epoll", "rpd", "ratio", "epoll req/s",
           "rpd req/s");
    for (long pair = 0; pair < pairs; pair++) {
        struct result results[SERVERS];
        run_pair(pair, slice_requests, results);
        for (int which = 0; which < SERVERS; which++) {
            costs[which][pair] = results[which].cpu_ns / 1000;
            instructions[which][pair] = results[which].instructions;
        }
        ratios[pair] = results[RPD].cpu_ns / results[EPOLL].cpu_ns;
        printf("%6ld %10.3f %10.3f %10.3f %14.0f %14.0f\n", pair + 1, costs[EPOLL][pair],
               costs[RPD][pair], ratios[pair], 1e9 / results[EPOLL].wall_ns,
               1e9 / results[RPD].wall_ns);
        fflush(stdout);
    }
    const double ratio = median(ratios, pairs);
    json_figure("epoll_echo", "CPU", "us a request", median(costs[EPOLL], pairs));
    json_figure("rpd", "CPU", "us a request", median(costs[RPD], pairs));
    json_figure("rpd", "CPU, to epoll_echo", "ratio", ratio);
    printf("%6s %10.3f %10.3f %10.3f   (min %.3f, max %.3f)\n", "median",
           median(costs[EPOLL], pairs), median(costs[RPD], pairs), ratio, ratios[0],
           ratios[pairs - 1]);
    for (int i = 0; i < SERVERS; i++) {
        const double count = median(instructions[i], pairs);
        if (count > 0)
            printf("echo: %s: %.0f instructions a request\n", server_name[i], count);
    }
    return ratio;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"pairs", required_argument, NULL, 'p'}, {"requests", required_argument, NULL, 'r'},
        {"threads", no_argument, NULL, 't'},     {"check", no_argument, NULL, 'c'},
        {"json", required_argument, NULL, 'j'},  {NULL, 0, NULL, 0}};
    long pairs = 9, requests = 200000;
    bool strict = false;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'p': pairs = strtol(optarg, NULL, 10); break;
        case 'r': requests = strtol(optarg, NULL, 10); break;
        case 't': has_threads = true; break;
        case 'c': strict = true; break;
        case 'j': json_figures_to(optarg); break;
        default: return 64;
        }
    }
    if (optind != argc || pairs < 1 || pairs > MAX_PAIRS || requests < 1) {
        fputs("usage: echo [--pairs N] [--requests N] [--threads] [--check] [--json FILE]\n",
              stderr);
        return 64;
    }
    const double ratio = measure(pairs, requests);
    printf("echo: rpd / epoll: %.3f (at most %.2f): %s\n", ratio, LIMIT,
           ratio <= LIMIT ? "ok" : "too dear");
    json_figures_end("echo");
    return strict && ratio > LIMIT ? 1 : 0;
}
