/* What an idle server costs. See warmup.c. */
#include "../support/process.h"
#include "asker.h"
#include "warmup.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTLE_S = 5, SERVERS = 4 };

struct server {
    const char *name;
    struct process *process; /* NULL: the program is not installed */
    long waits;              /* the count before the measurement */
};

static double number_after(const char *text, const char *key)
{
    const char *at = text ? strstr(text, key) : NULL;

    return at ? strtod(at + strlen(key), NULL) : 0;
}

/* How often its threads have waited so far, which is how often they were woken. */
static long waits_of(const struct process *process)
{
    const char *tasks = textf("/proc/%d/task", (int)process_pid(process));
    DIR *stream = opendir(tasks);
    long sum = 0;

    if (!stream)
        test_die("%s: it has ended: %s", tasks, process_stderr(process));
    for (const struct dirent *task; (task = readdir(stream));)
        if (*task->d_name != '.')
            sum += (long)number_after(file_read(textf("%s/%s/status", tasks, task->d_name)),
                                      "\nvoluntary_ctxt_switches:");
    closedir(stream);
    return sum;
}

static double private_kib(const struct process *process)
{
    const char *map = file_read(textf("/proc/%d/smaps_rollup", (int)process_pid(process)));

    return number_after(map, "\nPrivate_Clean:") + number_after(map, "\nPrivate_Dirty:");
}

static bool is_installed(const char *path)
{
    if (access(path, X_OK) == 0)
        return true;
    printf("rest: %s is not installed: left out\n", path);
    return false;
}

static struct process *start_other(const char *const *argv)
{
    return is_installed(*argv) ? process_start(&(struct process_options){.argv = argv}) : NULL;
}

static const char *nginx_configuration(const char *dir)
{
    const char *path = textf("%s/nginx.conf", dir);
    const char *text = textf("daemon off;\nmaster_process off;\npid %1$s/nginx.pid;\n"
                             "error_log %1$s/nginx.log;\nevents {}\nhttp { access_log off; "
                             "server { listen unix:%1$s/nginx.sock; } }\n",
                             dir);

    file_write(path, text, strlen(text));
    return path;
}

static void start_all(const char *dir, struct server servers[SERVERS])
{
    servers[0] = (struct server){
        .name = "echo",
        .process = RPD_START(dir, build_path("plugins/echo.so"), "-l", textf("unix:%s/s", dir))};
    servers[1] = (struct server){
        .name = "nginx",
        .process = start_other(ARGS("/usr/sbin/nginx", "-c", nginx_configuration(dir), "-e",
                                    textf("%s/nginx.log", dir)))};
    servers[2] = (struct server){
        .name = "memcached",
        .process = start_other(
            ARGS("/usr/bin/memcached", "-u", "root", "-s", textf("%s/memcached.sock", dir)))};
    servers[3] = (struct server){
        .name = "redis-server",
        .process = start_other(ARGS("/usr/bin/redis-server", "--port", "0", "--unixsocket",
                                    textf("%s/redis.sock", dir), "--dir", dir, "--save", ""))};
    wait_bound(servers[0].process);
}

void measure_rest(const struct plan *plan)
{
    const char *dir = temp_dir_make();
    struct server servers[SERVERS];

    start_all(dir, servers);
    sleep_us(SETTLE_S * 1000000);
    const int64_t began = now_ns();
    for (int i = 0; i < SERVERS; i++)
        if (servers[i].process)
            servers[i].waits = waits_of(servers[i].process);
    sleep_us((long)(plan->rest_s * 1e6));
    for (int i = 0; i < SERVERS; i++) {
        struct process *process = servers[i].process;

        if (!process)
            continue;
        const double wakes = (double)(waits_of(process) - servers[i].waits) /
                             ((double)(now_ns() - began) / 1e9);
        printf("rest: %-12s %6.2f wake-ups in a second, %6.0f KiB of its own\n", servers[i].name,
               wakes, private_kib(process));
        if (i == 0)
            figure_add(REST_WAKES, wakes);
    }
    fflush(stdout);
    for (int i = 0; i < SERVERS; i++)
        if (servers[i].process) {
            process_stop(servers[i].process);
            process_free(servers[i].process);
        }
    temp_dir_remove(dir);
}
