/* Answers while a load uses all processors. See warmup.c. */
#include "../support/process.h"
#include "asker.h"
#include "warmup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    PAUSE_US = 500,
    WORKERS = 4,
    LONGEST_S = 20,         /* of one measurement */
    COMMAND_TIMEOUT_S = 60, /* of redis-server, making its keys */
    BYTES_A_KEY = 256       /* more than a key takes in memory */
};

/* A client that sends requests until `requests` are answered, the answer changes, or time is up. */
static void ask_while(struct asker *asker, long requests, const char *answer_begins)
{
    const int64_t give_up = now_ns() + LONGEST_S * INT64_C(1000000000);
    char answer[ASKER_LINE];

    for (long i = 0; i < requests && now_ns() < give_up; i++) {
        if (!asker_ask(asker, answer) || strncmp(answer, answer_begins, strlen(answer_begins)) != 0)
            break;
        sleep_us(PAUSE_US);
    }
}

/* ---- Which processes used the processors ------------------------------------ */

/* Time since boot, of all processors, in seconds, as the kernel counts it. */
static double machine_cpu_s(void)
{
    const char *text = file_read("/proc/stat");
    double busy = 0;

    if (!text || strncmp(text, "cpu ", 4) != 0)
        return 0;
    char *field = (char *)(uintptr_t)(text + 4);
    for (int i = 0; i < 8; i++) {
        const double ticks = strtod(field, &field);
        busy += i == 3 || i == 4 ? 0 : ticks; /* idle, waiting */
    }
    return busy / (double)sysconf(_SC_CLK_TCK);
}

struct usage {
    double at_s, daemon_s, client_s, machine_s;
};

static struct usage usage_now(pid_t daemon)
{
    return (struct usage){.at_s = (double)now_ns() / 1e9,
                          .daemon_s = (double)cpu_time_ns(daemon) / 1e9,
                          .client_s = (double)cpu_time_ns(getpid()) / 1e9,
                          .machine_s = machine_cpu_s()};
}

/* Processors used by the daemon, and by what is no part of the measurement. */
static void print_line(const char *label, const struct latency *latency, struct usage from,
                       struct usage to)
{
    const double passed_s = to.at_s - from.at_s;
    const double daemon_s = to.daemon_s - from.daemon_s;
    const double others_s = to.machine_s - from.machine_s - daemon_s -
                            (to.client_s - from.client_s);

    printf("%-36s %8zu %9.3f %9.3f %9.3f %7.2f %7.2f\n", label, latency->count, latency->p50_ms,
           latency->p99_ms, latency->max_ms, daemon_s / passed_s,
           others_s > 0 ? others_s / passed_s : 0);
    fflush(stdout);
}

/* Sends requests, and prints how they were answered. */
static struct latency measure(const char *label, const struct process *daemon, const char *endpoint,
                              const char *request, long requests, const char *answer_begins)
{
    struct asker *asker = asker_open(endpoint, request);
    const struct usage before = usage_now(process_pid(daemon));

    ask_while(asker, requests, answer_begins);
    const struct usage after = usage_now(process_pid(daemon));
    const struct latency latency = asker_latency_of_all(asker);
    print_line(label, &latency, before, after);
    asker_close(asker);
    return latency;
}

/* ---- rpd ------------------------------------------------------------------ */

static int loading_parts(const char *dir)
{
    const struct rpd_state_page page = page_of(dir, "burn");
    int count = 0;

    for (uint32_t i = 0; i < page.part_count; i++)
        count += page.parts[i].state == RPD_PART_LOADING;
    return count;
}

static void wait_until_all_burn(const char *dir)
{
    const int64_t give_up = now_ns() + LONGEST_S * INT64_C(1000000000);

    while (loading_parts(dir) < WORKERS) {
        if (now_ns() > give_up)
            test_die("not all workers load");
        sleep_us(10000);
    }
}

/* As many loads as workers, each with its name: with fewer, not all processors would compute. */
static const char *burn_config(const char *dir, const char *endpoint)
{
    const char *path = textf("%s/rpd.json", dir);
    const char *text = textf("{\"workers\":%d,\"services\":[{\"name\":\"burn\",\"plugin\":\"%s\","
                             "\"listen\":[\"%s\"],\"options\":{\"parts\":%d,\"load_s\":%d}}]}",
                             WORKERS, build_path("tests/plugins/burn.so"), endpoint, WORKERS,
                             3 * LONGEST_S);

    file_write(path, text, strlen(text));
    return path;
}

static void measure_rpd(const struct plan *plan)
{
    const char *dir = temp_dir_make();
    const char *endpoint = textf("unix:%s/s", dir);
    struct process *rpd = RPD_START(dir, "-c", burn_config(dir, endpoint));

    wait_bound(rpd);
    wait_until_all_burn(dir);
    const struct latency latency = measure(textf("rpd, serve, %d workers compute", WORKERS), rpd,
                                           endpoint, "PING\n", plan->requests, "cold");
    if (latency.count < (size_t)plan->requests)
        printf("cold: only %zu answers in %d s\n", latency.count, LONGEST_S);
    figure_add(COLD_P99, latency.p99_ms);
    process_stop(rpd);
    process_free(rpd);
    temp_dir_remove(dir);
}

/* ---- redis-server ----------------------------------------------------------- */

/* The directory with its keys, which is made once. NULL: there is none. */
static const char *redis_dir;

static struct process *redis_start(const char *dir)
{
    return process_start(&(struct process_options){
        .argv = ARGS("redis-server", "--port", "0", "--unixsocket", textf("%s/s", dir), "--save",
                     "", "--dir", dir, "--enable-debug-command", "local"),
    });
}

/* It listens before it loads. */
static int redis_connect(struct process *redis, const char *endpoint)
{
    const struct timeval timeout = {.tv_sec = COMMAND_TIMEOUT_S};
    int fd;

    while ((fd = connect_to(endpoint)) < 0) {
        if (!process_alive(redis))
            return -1;
        sleep_us(1000);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    return fd;
}

static bool redis_command(int fd, const char *command)
{
    char answer[ASKER_LINE];

    return send_all(fd, command, strlen(command)) == 0 &&
           read_line(fd, answer, sizeof answer) > 0 && answer[0] == '+';
}

static long keys_that_fit(long keys)
{
    const char *meminfo = file_read("/proc/meminfo");
    const char *line = meminfo ? strstr(meminfo, "MemAvailable:") : NULL;
    const long kib = line ? strtol(line + strlen("MemAvailable:"), NULL, 10) : 0;
    const long most = kib / 2 * 1024 / BYTES_A_KEY;

    return keys < most ? keys : most;
}

/* Makes this many keys and saves them. */
static bool redis_make(const char *dir, long keys)
{
    struct process *redis = redis_start(dir);
    const int fd = redis_connect(redis, textf("unix:%s/s", dir));
    const bool made = fd >= 0 && redis_command(fd, textf("DEBUG POPULATE %ld\r\n", keys)) &&
                      redis_command(fd, "SAVE\r\n");

    if (!made)
        printf("cold: redis-server is left out: %s\n", process_stdout(redis));
    if (fd >= 0)
        close(fd);
    process_stop(redis);
    process_free(redis);
    return made;
}

static bool is_installed(const char *name)
{
    static const char *const dirs[] = {"/usr/bin", "/usr/sbin", "/usr/local/bin",
                                       "/usr/local/sbin"};

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        if (access(textf("%s/%s", dirs[i], name), X_OK) == 0)
            return true;
    }
    return false;
}

static void measure_redis(const struct plan *plan)
{
    const long keys = keys_that_fit(plan->keys);

    if (!is_installed("redis-server")) {
        printf("%-36s left out: not installed\n", "redis-server");
        return;
    }
    if (!redis_dir) {
        const char *dir = temp_dir_make();
        if (!redis_make(dir, keys))
            return;
        redis_dir = dir;
    }
    const char *endpoint = textf("unix:%s/s", redis_dir);
    unlink(endpoint + strlen("unix:"));
    struct process *redis = redis_start(redis_dir);
    const int fd = redis_connect(redis, endpoint);
    if (fd < 0)
        test_die("redis-server did not start: %s", process_stdout(redis));
    close(fd);
    measure(textf("redis-server, %ld keys load", keys), redis, endpoint, "PING\r\n", plan->requests,
            "-LOADING");
    process_stop(redis);
    process_free(redis);
}

void measure_cold(const struct plan *plan)
{
    printf("%-36s %8s %9s %9s %9s %7s %7s\n", "cold answers, ms", "answers", "p50", "p99", "max",
           "CPUs", "others");
    measure_rpd(plan);
    measure_redis(plan);
}
