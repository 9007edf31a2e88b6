/* What a service costs where there are many of them. See start_many.h. */
#include "start_many.h"
#include "json_figures.h"

#include "../support/process.h"
#include "rounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *what, *unit;
    double limit;
} aims[] = {
    {"bound", "ms", 0.1},
    {"ready", "ms", 0.3},
    {"memory", "KB", 20},
    {"stopped", "ms", 0.3},
};

enum { BOUND, READY, MEMORY, STOPPED, FIGURES };

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

/* A figure for each service; memory beyond that of the first. */
static void run(long services, double memory_of_one, double ret_figures[FIGURES])
{
    const char *dir = rounds_temp_dir_in_memory();
    const char *path = configuration(dir, services);
    const int64_t began = now_ns();
    struct process *rpd = RPD_START(textf("%s/run", dir), "-c", path);

    if (process_wait_bound(rpd) != 0 || process_wait_lines(rpd, ": ready (", (size_t)services) != 0)
        test_die("rpd did not start: %s", process_stderr(rpd));
    const int64_t ready = now_ns();
    const double memory = rss_kb(rpd);
    const int64_t told = now_ns();
    process_stop(rpd);
    const double each = 1e6 * (double)services;
    ret_figures[BOUND] = (double)(process_bound_ns(rpd) - began) / each;
    ret_figures[READY] = (double)(ready - began) / each;
    ret_figures[MEMORY] = (memory - memory_of_one) / (double)services;
    ret_figures[STOPPED] = (double)(now_ns() - told) / each;
    process_free(rpd);
    temp_dir_remove(dir);
}

bool measure_many(long services)
{
    double one[FIGURES], figures[FIGURES];
    bool good = true;

    run(1, 0, one);
    run(services, one[MEMORY], figures);
    printf("start: %ld services in one process, for each:", services);
    for (int i = 0; i < FIGURES; i++) {
        printf("%s %s %.3f %s (at most %g)", i > 0 ? "," : "", aims[i].what, figures[i],
               aims[i].unit, aims[i].limit);
        json_figure("a service of many", aims[i].what, aims[i].unit, figures[i]);
        good = good && figures[i] <= aims[i].limit;
    }
    printf(": %s\n", good ? "ok" : "too much");
    return good;
}
