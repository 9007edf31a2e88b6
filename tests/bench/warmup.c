/* What clients get from a daemon that is not ready yet, or that has many clients.
 *
 *     warmup [crowd] [cold] [idle] [burst] [fair] [rest] [--clients N] [--load-s S] [--requests N]
 *            [--keys N] [--idle N] [--burst N] [--senders N] [--asked N] [--rest-s S]
 *            [--planted-us N] [--runs N] [--check] [--json FILE]
 *
 * crowd: N clients connect one by one while samples/slow_start loads, and each sends a request
 *        at once. Measures what becomes of them; how much memory a held client costs; and how
 *        long the loop blocks a client of another service when all are released.
 *        For comparison: the same clients at a program that only listens while it loads
 *        (plain_listen).
 *
 * cold:  a client sends requests in a row while a load keeps all workers computing.
 *        For comparison: the same at redis-server while that loads N keys; if it is not
 *        installed, a line says that it is left out.
 *
 * idle:  N connections to echo that are used once and then stay idle. Measures the memory of
 *        one, and how long the answers to another client take.
 *
 * burst: N clients connect as fast as one process can while a load runs. Measures how many
 *        are turned away, and how fast they are accepted. For comparison: the same at a plain
 *        loop of epoll and accept4 (epoll_accept).
 *
 * fair:  a client sends requests in a row beside N clients that send without end, to echo, hello
 *        and kv. Measures how long its answers take.
 *
 * rest:  S seconds of echo without a client. Measures how often its threads wake up, and how much
 *        private memory it has. For comparison: nginx, memcached and redis-server, if installed.
 *
 * Without a name all parts run. Counts must be right in each run, or the exit code is 1. --check:
 * also if the median run misses a limit of time or memory. */
#include "warmup.h"

#include "../support/process.h"
#include "json_figures.h"
#include "observe/state_view.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_RUNS = 99 };

/* ---- Figures ------------------------------------------------------------ */

static struct {
    const char *what, *unit;
    double limit;
    bool is_count;
    int decimals;
    int runs;
    double values[MAX_RUNS];
} figures[FIGURES] = {
    [CROWD_REFUSED] = {.what = "crowd: refused", .unit = "", .is_count = true},
    [CROWD_EAGAIN] = {.what = "crowd: EAGAIN", .unit = "", .is_count = true},
    [CROWD_RESET] = {.what = "crowd: reset", .unit = "", .is_count = true},
    [CROWD_UNANSWERED] = {.what = "crowd: unanswered", .unit = "", .is_count = true},
    [CROWD_MEMORY] = {.what = "crowd: memory of a held client", .unit = " bytes", .limit = 2048},
    [CROWD_STALL] = {.what = "crowd: longest stall of the loop",
                     .unit = " ms",
                     .limit = 20,
                     .decimals = 3},
    [COLD_P99] = {.what = "cold: p99 of answers", .unit = " ms", .limit = 2, .decimals = 3},
    [IDLE_UNANSWERED] = {.what = "idle: unanswered", .unit = "", .is_count = true},
    [IDLE_MEMORY] = {.what = "idle: memory of a connection", .unit = " bytes", .limit = 1536},
    [IDLE_P99] = {.what = "idle: p99 of answers", .unit = " ms", .limit = 1, .decimals = 3},
    [BURST_REFUSED] = {.what = "burst: refused", .unit = "", .is_count = true},
    [BURST_EAGAIN] = {.what = "burst: EAGAIN", .unit = "", .is_count = true},
    [BURST_SLOWNESS] = {.what = "burst: time to accept, against the plain loop",
                        .unit = " x",
                        .limit = 1.11,
                        .decimals = 2},
    [BURST_CPU] = {.what = "burst: CPU to accept, against the plain loop",
                   .unit = " x",
                   .limit = 1.35,
                   .decimals = 2},
    [FAIR_UNANSWERED] = {.what = "fair: unanswered", .unit = "", .is_count = true},
    [FAIR_ECHO_P99] = {.what = "fair: p99 at echo", .unit = " ms", .limit = 10, .decimals = 3},
    [FAIR_ECHO_WORK] = {.what = "fair: p99 of the work of echo before an answer",
                        .unit = " ms",
                        .limit = 10,
                        .decimals = 3},
    [FAIR_HELLO_P99] = {.what = "fair: p99 at hello", .unit = " ms", .limit = 10, .decimals = 3},
    [FAIR_HELLO_WORK] = {.what = "fair: p99 of the work of hello before an answer",
                         .unit = " ms",
                         .limit = 10,
                         .decimals = 3},
    [FAIR_KV_P99] = {.what = "fair: p99 at kv", .unit = " ms", .limit = 10, .decimals = 3},
    [FAIR_KV_WORK] = {.what = "fair: p99 of the work of kv before an answer",
                      .unit = " ms",
                      .limit = 10,
                      .decimals = 3},
    [REST_WAKES] = {.what = "rest: wake-ups in a second", .unit = "", .limit = 0.2, .decimals = 2},
};

void figure_add(enum figure figure, double value)
{
    if (figures[figure].runs < MAX_RUNS)
        figures[figure].values[figures[figure].runs++] = value;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Whether the limit is met: for a count by the worst run, for others by the median. */
static bool judge(enum figure figure)
{
    double *values = figures[figure].values;
    const int runs = figures[figure].runs;
    const char *unit = figures[figure].unit;

    qsort(values, (size_t)runs, sizeof *values, compare);
    const double value = figures[figure].is_count ? values[runs - 1] : values[runs / 2];
    const bool good = value <= figures[figure].limit;
    json_figure("rpd", figures[figure].what, *unit ? unit + 1 : "", value);
    printf("warmup: %s: %.*f%s (at most %g%s): %s\n", figures[figure].what,
           figures[figure].decimals, value, unit, figures[figure].limit, unit,
           good ? "ok" : "missed");
    return good;
}

/* ---- For all of them ------------------------------------------------------ */

void wait_bound(struct process *process)
{
    if (process_wait_bound(process) != 0)
        test_die("it did not start: %s", process_stderr(process));
}

struct rpd_state_page page_of(const char *runtime_dir, const char *service)
{
    const int fd = open(runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct rpd_state_page page;

    if (fd < 0 || state_view_read(fd, service, &page) != 0)
        test_die("the state page of %s: %s", service, strerror(errno));
    close(fd);
    return page;
}

double rss_bytes(const struct process *process)
{
    const char *path = textf("/proc/%d/status", (int)process_pid(process));
    const char *status = file_read(path);
    const char *line = status ? strstr(status, "\nVmRSS:") : NULL;

    if (!line)
        test_die("%s: there is no VmRSS", path);
    return strtod(line + strlen("\nVmRSS:"), NULL) * 1024;
}

/* ---- The command -------------------------------------------------------- */

struct section {
    const char *name;
    void (*measure)(const struct plan *plan);
    bool wanted;
};

static struct section sections[] = {
    {"crowd", measure_crowd, false}, {"cold", measure_cold, false}, {"idle", measure_idle, false},
    {"burst", measure_burst, false}, {"fair", measure_fair, false}, {"rest", measure_rest, false},
};

enum { SECTIONS = sizeof sections / sizeof *sections };

static int usage(void)
{
    fputs("usage: warmup [crowd] [cold] [idle] [burst] [fair] [rest] [--clients N] [--load-s S] "
          "[--requests N]\n"
          "              [--keys N] [--idle N] [--burst N] [--senders N] [--asked N] [--rest-s S] "
          "[--planted-us N] [--runs N] [--check] [--json FILE]\n",
          stderr);
    return 64;
}

static bool choose_sections(char *const *names)
{
    const bool all = !*names;

    for (int i = 0; i < SECTIONS; i++)
        sections[i].wanted = all;
    for (; *names; names++) {
        bool known = false;
        for (int i = 0; i < SECTIONS; i++) {
            if (strcmp(*names, sections[i].name) == 0)
                known = sections[i].wanted = true;
        }
        if (!known)
            return false;
    }
    return true;
}

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Each client is a descriptor here, and one in the daemon, which inherits this limit. */
static void allow_descriptors(size_t clients)
{
    enum { OTHERS = 100 };
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        test_die("getrlimit: %s", strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < clients + OTHERS)
        test_die("%zu clients need %zu descriptors; the limit is %llu", clients, clients + OTHERS,
                 (unsigned long long)limit.rlim_cur);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"clients", required_argument, NULL, 'n'},
                                            {"load-s", required_argument, NULL, 'l'},
                                            {"requests", required_argument, NULL, 'q'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"idle", required_argument, NULL, 'i'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {"burst", required_argument, NULL, 'b'},
                                            {"senders", required_argument, NULL, 's'},
                                            {"asked", required_argument, NULL, 'a'},
                                            {"rest-s", required_argument, NULL, 't'},
                                            {"check", no_argument, NULL, 'c'},
                                            {"json", required_argument, NULL, 'j'},
                                            {"planted-us", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    struct plan plan = {.clients = 10000,
                        .load_s = 10,
                        .requests = 5000,
                        .keys = 5000000,
                        .idle = 19500,
                        .burst = 19000,
                        .senders = 200,
                        .asked = 2000,
                        .rest_s = 20};
    long runs = 1;
    bool strict = false, good = true;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'n': plan.clients = strtoul(optarg, NULL, 10); break;
        case 'l': plan.load_s = strtod(optarg, NULL); break;
        case 'q': plan.requests = strtol(optarg, NULL, 10); break;
        case 'k': plan.keys = strtol(optarg, NULL, 10); break;
        case 'i': plan.idle = strtoul(optarg, NULL, 10); break;
        case 'b': plan.burst = strtoul(optarg, NULL, 10); break;
        case 's': plan.senders = strtoul(optarg, NULL, 10); break;
        case 'a': plan.asked = strtol(optarg, NULL, 10); break;
        case 't': plan.rest_s = strtod(optarg, NULL); break;
        case 'p': plan.planted_us = strtol(optarg, NULL, 10); break;
        case 'r': runs = strtol(optarg, NULL, 10); break;
        case 'c': strict = true; break;
        case 'j': json_figures_to(optarg); break;
        default: return usage();
        }
    }
    if (!choose_sections(argv + optind) || runs < 1 || runs > MAX_RUNS || plan.clients < 1 ||
        plan.load_s < 0.5 || plan.load_s > 600 || plan.requests < 100 || plan.keys < 1 ||
        plan.idle < 1 || plan.burst < 1 || plan.senders < 1 || plan.asked < 100 ||
        plan.rest_s < 1 || plan.rest_s > 600 || plan.planted_us < 0 || plan.planted_us > 1000000)
        return usage();
    allow_descriptors(largest(plan.clients, largest(plan.idle, plan.burst)));
    for (int i = 0; i < SECTIONS; i++) {
        for (long run = 0; sections[i].wanted && run < runs; run++)
            sections[i].measure(&plan);
    }
    for (enum figure figure = 0; figure < FIGURES; figure++) {
        if (figures[figure].runs > 0 && !judge(figure) && (strict || figures[figure].is_count))
            good = false;
    }
    json_figures_end("warmup");
    return good ? 0 : 1;
}
