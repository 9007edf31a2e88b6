/* What a service costs in a process that has many. See start_many.h. */
#include "start_many.h"
#include "json_figures.h"

#include "../support/process.h"
#include "rounds.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
    const char *what, *unit;
    double limit;
} aims[] = {
    {"bound", "ms", 0.1},      /* clients can connect: the time that the daemon logs */
    {"announced", "ms", 0.15}, /* pages, records and the notification are written */
    {"ready", "ms", 0.3},      {"memory", "KB", 20}, {"stopped", "ms", 0.3},
};

enum { BOUND, ANNOUNCED, READY, MEMORY, STOPPED, FIGURES };

enum { ROUNDS = 5 }; /* at most: times may be missed by chance if others use the machine */

static const char *configuration(const char *dir, long services)
{
    const char *path = textf("%s/many.json", dir);
    FILE *file = fopen(path, "w");

    if (!file)
        test_die("%s cannot be written", path);
    fputs("{\"endpoint_deadline_ms\":60000,\"code_deadline_ms\":60000,\"services\":[", file);
    for (long i = 0; i < services; i++)
        fprintf(file, "%s{\"name\":\"s%ld\",\"plugin\":\"%s\"}", i > 0 ? "," : "", i,
                build_path("plugins/echo.so"));
    fputs("]}\n", file);
    fclose(file);
    return path;
}

static double rss_kb(const struct process *process)
{
    const char *status = file_read(textf("/proc/%d/status", (int)process_pid(process)));
    const char *line = status ? strstr(status, "\nVmRSS:") : NULL;

    return line ? strtod(line + strlen("\nVmRSS:"), NULL) : 0;
}

/* The space that its files take in the run-time directory. */
static double files_kb(const char *dir)
{
    struct dirent **entries;
    const int count = scandir(dir, &entries, NULL, NULL);
    double kb = 0;

    for (int i = 0; i < count; i++) {
        struct stat status;

        if (entries[i]->d_name[0] != 0 &&
            lstat(textf("%s/%s", dir, entries[i]->d_name), &status) == 0 && S_ISREG(status.st_mode))
            kb += (double)status.st_blocks / 2;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return kb;
}

/* The time in its log line "NAME: bound ENDPOINT (pid N, 1.2 ms)": from the start of the process
 * until all endpoints of the service were bound. */
static double bound_ms(const struct process *process)
{
    const char *line = strstr(process_stderr(process), ": bound ");
    const char *pid = line ? strstr(line, "(pid ") : NULL;
    const char *time = pid ? strchr(pid, ',') : NULL;

    if (!time)
        test_die("rpd did not log when it was bound: %s", process_stderr(process));
    return strtod(time + 1, NULL);
}

/* The smaller of elapsed time and processor time: if others use the machine, the first is much
 * larger; if several threads work, the second is. */
static double least(int64_t passed_ns, int64_t cpu_ns)
{
    return (double)(cpu_ns > 0 && cpu_ns < passed_ns ? cpu_ns : passed_ns);
}

/* One figure per service; memory excludes that of the first. */
static double run(long services, double memory_of_one, double ret_figures[FIGURES])
{
    const char *dir = rounds_temp_dir_in_memory();
    const char *path = configuration(dir, services);
    const int64_t began = now_ns();
    struct process *rpd = RPD_START(textf("%s/run", dir), "-c", path);

    const int failed = process_wait_bound(rpd);
    const int64_t announced_cpu = cpu_time_ns(process_pid(rpd));
    if (failed != 0 || process_wait_lines(rpd, ": ready (", (size_t)services) != 0)
        test_die("rpd did not start: %s", process_stderr(rpd));
    const int64_t ready = now_ns(), ready_cpu = cpu_time_ns(process_pid(rpd));
    const double memory = rss_kb(rpd), files = files_kb(textf("%s/run", dir));
    const int64_t told = now_ns();
    process_stop(rpd);
    const double each = 1e6 * (double)services;
    ret_figures[BOUND] = bound_ms(rpd) / (double)services;
    ret_figures[ANNOUNCED] = least(process_bound_ns(rpd) - began, announced_cpu) / each;
    ret_figures[READY] = least(ready - began, ready_cpu) / each;
    ret_figures[MEMORY] = (memory - memory_of_one) / (double)services;
    ret_figures[STOPPED] = (double)(now_ns() - told) / each;
    process_free(rpd);
    temp_dir_remove(dir);
    return files / (double)services;
}

static bool judge(const double figures[FIGURES])
{
    bool good = true;

    for (int i = 0; i < FIGURES; i++)
        good = good && figures[i] <= aims[i].limit;
    return good;
}

/* The best value of each figure. */
bool measure_many(long services)
{
    double one[FIGURES], best[FIGURES] = {0}, files = 0;

    run(1, 0, one);
    for (int round = 0; round < ROUNDS && (round == 0 || !judge(best)); round++) {
        double figures[FIGURES];

        files = run(services, one[MEMORY], figures);
        for (int i = 0; i < FIGURES; i++)
            best[i] = round == 0 || figures[i] < best[i] ? figures[i] : best[i];
    }
    printf("start: %ld services in one process, for each:", services);
    for (int i = 0; i < FIGURES; i++)
        printf("%s %s %.3f %s (at most %g)", i > 0 ? "," : "", aims[i].what, best[i], aims[i].unit,
               aims[i].limit);
    for (int i = 0; i < FIGURES; i++)
        json_figure("a service of many", aims[i].what, aims[i].unit, best[i]);
    printf("; its files take %.0f KB of the run-time directory: %s\n", files,
           judge(best) ? "ok" : "too much");
    return judge(best);
}
