/* kv compared with redis-server 7.0 in one run: the same clients, the same keys, 100-byte values.
 *
 *     tests/bench/kv [--check] [--keys N] [--requests N] [--rounds N] [--no-cpu] [--json FILE]
 *
 * CPU is that of the server, user and system, per request; redis-benchmark sends the requests.
 * Memory is RSS per key. A load lasts from bind (or from the start of redis-server) to the last
 * key. --check: exit code 1 if a goal is missed; the goals are in goals[]. Exit code 77:
 * redis-server is not installed. */
#include "json_figures.h"
#include "kv_client.h"
#include "process.h"
#include "processors.h"
#include "rounds.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SKIPPED = 77, ROUNDS_MAX = 15, KV_LOADS = 7, LATENCIES = 1 << 20 };

enum goal {
    SET_32,
    GET_32,
    SET_1,
    GET_1,
    MEMORY,
    LOAD_RATE,
    LOAD_P99,
    SAVE_STALL,
    REST_P99,
    REST_STALL,
    GOALS
};

/* ratio: kv's number divided by Redis's; otherwise kv's number alone. */
static const struct {
    const char *what, *unit;
    bool is_ratio, at_least;
    double limit;
} goals[GOALS] = {
    [SET_32] = {"SET -P 32, server CPU", "ns", true, false, 0.32},
    [GET_32] = {"GET -P 32, server CPU", "ns", true, false, 0.32},
    [SET_1] = {"SET -P 1, server CPU", "ns", true, false, 0.9},
    [GET_1] = {"GET -P 1, server CPU", "ns", true, false, 0.9},
    [MEMORY] = {"memory a key", "B", true, false, 0.65},
    [LOAD_RATE] = {"load", "keys/s", true, true, 8},
    [LOAD_P99] = {"p99 while it loads", "ms", false, false, 2},
    [SAVE_STALL] = {"longest answer while it saves", "ms", false, false, 6},
    /* What the machine does with the same client and server at rest; not a goal. */
    [REST_P99] = {"p99 at rest", "ms", false, false, 1e9},
    [REST_STALL] = {"longest answer at rest", "ms", false, false, 1e9},
};

struct server {
    bool is_kv;
    const char *dir;
    const char *runtime_dir; /* in memory, where systemd makes it too */
    struct process *process;
    const char *endpoint;
    double found[GOALS];
};

static double
    paired[GOALS]; /* kv's number divided by Redis's if they were measured in turns; or 0 */

static long keys = 5000000, requests = 1000000, rounds = 3;
static bool checks, skips_cpu;

static void start(struct server *server)
{
    const char *const dir = server->dir;

    server->endpoint = textf("unix:%s/%s.sock", dir, server->is_kv ? "kv" : "redis");
    if (server->is_kv)
        server->process = process_start(&(struct process_options){
            .argv = ARGS("rpd", build_path("plugins/kv.so"), "-l", server->endpoint, "-o",
                         textf("snapshot=%s/snap", dir)),
            .runtime_dir = server->runtime_dir,
            .notify = true});
    else
        server->process = process_start(&(struct process_options){
            .argv = ARGS("redis-server", "--port", "0", "--save", "", "--dir", dir, "--unixsocket",
                         textf("%s/redis.sock", dir)),
            .directory = dir});
}

static int connect_patiently(const struct server *server)
{
    const int64_t until = now_ns() + 20000000000;
    int fd;

    while ((fd = connect_to(server->endpoint)) < 0 && now_ns() < until)
        poll(NULL, 0, 1);
    if (fd < 0)
        test_die("connect %s: %s", server->endpoint, strerror(errno));
    return fd;
}

static void stop(struct server *server)
{
    if (server->is_kv)
        process_stop(server->process);
    else
        process_signal(server->process, 9);
    process_wait_exit(server->process);
    process_free(server->process);
}

/* ---- CPU per request -------------------------------------------------------------- */

static double benchmark(const struct server *server, const char *test, const char *pipeline,
                        long count)
{
    const pid_t pid = process_pid(server->process);
    const int64_t before = cpu_time_ns(pid);
    struct process *client = process_start(&(struct process_options){
        .argv = ARGS("redis-benchmark", "-s", server->endpoint + 5, "-t", test, "-n",
                     textf("%ld", count), "-r", "1000000", "-d", "100", "-P", pipeline, "-q")});
    const int64_t until = now_ns() + 300000000000;

    while (!process_exited(client, NULL) && now_ns() < until)
        process_poll(&client, 1, 1000000000);
    process_free(client);
    return (double)(cpu_time_ns(pid) - before) / (double)count;
}

/* Both are measured in turns, with one ratio per turn, so that other work on the machine affects
 * both alike. */
static void compare_cpu(struct server servers[2], enum goal goal, const char *test,
                        const char *pipeline, long count)
{
    double found[2][ROUNDS_MAX], ratios[ROUNDS_MAX];

    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < 2; i++)
            found[i][round] = benchmark(&servers[i], test, pipeline, count);
        ratios[round] = found[0][round] / found[1][round];
    }
    for (int i = 0; i < 2; i++)
        servers[i].found[goal] = median(found[i], rounds);
    paired[goal] = median(ratios, rounds);
}

static void measure_cpu(struct server servers[2])
{
    for (int i = 0; i < 2; i++) {
        processors_use_servers();
        start(&servers[i]);
        processors_use_clients();
        close(connect_patiently(&servers[i]));
        benchmark(&servers[i], "set", "32", 3000000); /* so that nearly all keys exist */
    }
    compare_cpu(servers, SET_32, "set", "32", requests * 2);
    compare_cpu(servers, GET_32, "get", "32", requests * 2);
    compare_cpu(servers, SET_1, "set", "1", requests / 5);
    compare_cpu(servers, GET_1, "get", "1", requests / 5);
    processors_use_all();
    for (int i = 0; i < 2; i++) {
        stop(&servers[i]);
        unlink(textf("%s/snap", servers[i].dir));
    }
}

/* ---- memory, save, load ------------------------------------------------------------- */

static void measure_memory(struct server *server)
{
    start(server);
    const int fd = connect_patiently(server);
    kv_client_await_loaded(fd);
    kv_client_fill(fd, keys);
    server->found[MEMORY] = (double)rss_kib(process_pid(server->process)) * 1024 / (double)keys;
    close(fd);
}

static int64_t latencies[LATENCIES];

static int compare_times(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Like measure_save(), for the same time, but nothing is saved. */
static void measure_rest(struct server *server)
{
    const int fd = connect_patiently(server);
    const int64_t until = now_ns() + 3000000000;
    unsigned number = 1;
    size_t count = 0;

    while (now_ns() < until && count < LATENCIES) {
        bool loading;
        number = number * 1664525 + 1013904223;
        latencies[count++] = kv_client_get(fd, number % (unsigned long)keys, &loading);
    }
    qsort(latencies, count, sizeof *latencies, compare_times);
    server->found[REST_P99] = (double)latencies[count * 99 / 100] / 1e6;
    server->found[REST_STALL] = (double)latencies[count - 1] / 1e6;
    close(fd);
}

/* The longest time that a client waits for a key during a save. */
static void measure_save(struct server *server)
{
    const int fd = connect_patiently(server), saver = connect_patiently(server);
    int64_t longest = 0;
    unsigned number = 1;
    char byte[5];

    send_all(saver, "SAVE\r\n", 6);
    while (server->is_kv && poll(&(struct pollfd){.fd = saver, .events = POLLIN}, 1, 0) == 0) {
        bool loading;
        number = number * 1664525 + 1013904223;
        const int64_t took = kv_client_get(fd, number % (unsigned long)keys, &loading);
        longest = took > longest ? took : longest;
    }
    poll(&(struct pollfd){.fd = saver, .events = POLLIN}, 1, 120000);
    if (read_exactly(saver, byte, 5) != 5 || memcmp(byte, "+OK\r\n", 5) != 0)
        test_die("SAVE failed");
    server->found[SAVE_STALL] = (double)longest / 1e6;
    close(fd);
    close(saver);
}

/* Until the last key is loaded. The times of the answers are added to latencies. Returns the number
 * of seconds. */
static double load_once(struct server *server, size_t *count)
{
    unsigned number = 1;
    bool loading = true;

    start(server);
    const int fd = connect_patiently(server);
    const int64_t began = now_ns();
    while (loading) {
        bool one_is_loading = false;
        number = number * 1664525 + 1013904223;
        const int64_t took = kv_client_get(fd, number % (unsigned long)keys, &one_is_loading);
        /* For kv: asks for keys that are already loaded. */
        if (*count < LATENCIES && (!server->is_kv || !one_is_loading))
            latencies[(*count)++] = took;
        if (server->is_kv)
            loading = one_is_loading || !kv_client_is_loaded(fd);
        else
            loading = one_is_loading;
        poll(NULL, 0, 1);
    }
    const double seconds = (double)(now_ns() - began) / 1e9;
    close(fd);
    stop(server);
    return seconds;
}

/* Several loads of kv take as long as one of Redis, and give as many answers. */
static void measure_load(struct server *server)
{
    const long times = server->is_kv ? KV_LOADS : 1;
    double seconds[KV_LOADS];
    size_t count = 0;

    stop(server);
    for (long i = 0; i < times; i++)
        seconds[i] = load_once(server, &count);
    server->found[LOAD_RATE] = (double)keys / median(seconds, times);
    qsort(latencies, count, sizeof *latencies, compare_times);
    server->found[LOAD_P99] = count > 0 ? (double)latencies[count * 99 / 100] / 1e6 : 0;
}

/* ---- the table ----------------------------------------------------------------------- */

static int print_table(const struct server servers[2])
{
    int missed = 0;

    printf("%-32s %12s %12s %8s  goal\n", "", "kv", "redis", "ratio");
    for (int i = 0; i < GOALS; i++) {
        const double kv = servers[0].found[i], redis = servers[1].found[i];
        const double ratio = paired[i] > 0 ? paired[i] : redis > 0 ? kv / redis : 0;
        const double judged = goals[i].is_ratio ? ratio : kv;
        const bool met = goals[i].at_least ? judged >= goals[i].limit : judged <= goals[i].limit;
        if (skips_cpu && i <= GET_1)
            continue;
        missed += !met;
        json_figure("kv", goals[i].what, goals[i].unit, kv);
        json_figure("redis-server", goals[i].what, goals[i].unit, redis);
        json_figure("kv, to redis-server", goals[i].what, "ratio", ratio);
        printf("%-32s %12.2f %12.2f %8.2f", goals[i].what, kv, redis, ratio);
        if (goals[i].limit < 1e9)
            printf("  %s %.2f%s %s%s", goals[i].at_least ? ">=" : "<=", goals[i].limit,
                   goals[i].is_ratio ? " x" : "", goals[i].unit, met ? "" : "  MISSED");
        putchar('\n');
    }
    return missed;
}

int main(int argc, char **argv)
{
    const char *dir, *runtime_dir;
    int missed;

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--check") == 0)
            checks = true;
        else if (strcmp(argv[i], "--no-cpu") == 0)
            skips_cpu = true;
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
            json_figures_to(argv[++i]);
        else if (strcmp(argv[i], "--keys") == 0 && i + 1 < argc)
            keys = atol(argv[++i]);
        else if (strcmp(argv[i], "--requests") == 0 && i + 1 < argc)
            requests = atol(argv[++i]);
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = atol(argv[++i]);
    if (access("/usr/bin/redis-server", X_OK) != 0) {
        puts("skipped: there is no redis-server here to compare with");
        return SKIPPED;
    }
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    dir = temp_dir_make();
    runtime_dir = rounds_temp_dir_in_memory();
    struct server servers[2] = {{.is_kv = true, .dir = dir, .runtime_dir = runtime_dir},
                                {.dir = dir}};
    if (!skips_cpu)
        measure_cpu(servers);
    for (int i = 0; i < 2; i++) {
        measure_memory(&servers[i]);
        measure_rest(&servers[i]);
        measure_save(&servers[i]);
        measure_load(&servers[i]);
    }
    missed = print_table(servers);
    json_figures_end("kv");
    temp_dir_remove(runtime_dir);
    temp_dir_remove(dir);
    return checks && missed > 0;
}
