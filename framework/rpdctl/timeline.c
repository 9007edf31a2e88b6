/* rpdctl timeline: how long the last starts of a service took, and what of the last one was slower
 * than it used to be. All of it is read from the history. */
#include "observe/starts_view.h"
#include "rpdctl/command_line.h"
#include "rpdctl/draw.h"
#include "rpdctl/program.h"
#include "rpdctl/rpdctl.h"
#include "rpdctl/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Usage: rpdctl timeline NAME [--diff]\n"
    "\n"
    "Shows how long the last 50 starts of a service took, from exec to READY, and of the last one\n"
    "each step of rpd's and each part of the load.\n"
    "\n"
    "      --diff   what of the last start took longer than its median in the starts before by\n"
    "               more than its spread there: three times the median deviation, at least 2 %\n"
    "               and 0.2 ms\n"
    "\n"
    "Exit codes: 0 done; with --diff: nothing is slower, 1 something is, or nothing is known, 64\n"
    "bad command line.\n";

enum { DIFF = 256, BAR = 30, FEWEST = 3 };

/* ---- showing ----------------------------------------------------------------------------- */

static unsigned permille(uint64_t part, uint64_t all)
{
    return all == 0 ? 0 : part >= all ? 1000 : (unsigned)(part * 1000 / all);
}

static void print_start(const struct start_view *start, uint64_t longest_us)
{
    const time_t at = (time_t)(start->time_ms / 1000);
    char bar[DRAW_BAR_MAX], when[32] = "";
    struct tm local;

    if (localtime_r(&at, &local))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    printf("%-19s  pid %-8d %s %12.3f ms\n", when, (int)start->pid,
           draw_bar(permille(start_view_whole(start), longest_us), BAR, bar),
           (double)start_view_whole(start) / 1e3);
}

static void print_starts(const struct starts_view *starts)
{
    const struct start_view *last = &starts->list[starts->count - 1];
    uint64_t longest_us = 0;
    char bar[DRAW_BAR_MAX];

    for (size_t i = 0; i < starts->count; i++)
        if (start_view_whole(&starts->list[i]) > longest_us)
            longest_us = start_view_whole(&starts->list[i]);
    for (size_t i = 0; i < starts->count; i++)
        print_start(&starts->list[i], longest_us);
    printf("\nthe last one:\n");
    for (size_t i = 0; i < last->count; i++)
        if (strcmp(last->items[i].name, "all ready") != 0)
            printf("  %-32s %s %12.3f ms\n", last->items[i].name,
                   draw_bar(permille(last->items[i].us, start_view_whole(last)), BAR, bar),
                   (double)last->items[i].us / 1e3);
}

/* ---- comparing ---------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

    return (one > other) - (one < other);
}

static uint64_t median(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Whether it was slower than in the starts before: then it is said. */
static bool is_slower(const struct starts_view *starts, const struct start_item *item)
{
    uint64_t values[STARTS_VIEW_MOST], median_us, spread_us;
    size_t count = 0;

    for (size_t i = 0; i + 1 < starts->count; i++) {
        const struct start_item *before = start_view_find(&starts->list[i], item->name);

        if (before)
            values[count++] = before->us;
    }
    if (count < FEWEST)
        return false;
    median_us = median(values, count);
    for (size_t i = 0; i < count; i++)
        values[i] = values[i] > median_us ? values[i] - median_us : median_us - values[i];
    spread_us = 3 * median(values, count);
    if (spread_us < median_us / 50)
        spread_us = median_us / 50;
    if (spread_us < 200)
        spread_us = 200;
    if (item->us <= median_us + spread_us)
        return false;
    printf("%s: %.3f ms, its median of %zu starts is %.3f ms, its spread %.3f ms\n", item->name,
           (double)item->us / 1e3, count, (double)median_us / 1e3, (double)spread_us / 1e3);
    return true;
}

static int print_diff(const struct starts_view *starts)
{
    const struct start_view *last = &starts->list[starts->count - 1];
    bool any = false;

    if (starts->count <= FEWEST) {
        rpdctl_say("timeline: %zu starts are known, and %d are needed to compare", starts->count,
                   FEWEST + 1);
        return RPDCTL_NO;
    }
    for (size_t i = 0; i < last->count; i++)
        any |= is_slower(starts, &last->items[i]);
    if (!any)
        printf("nothing is slower than in the %zu starts before\n", starts->count - 1);
    return any ? RPDCTL_NO : 0;
}

/* ---- the command ---------------------------------------------------------------------------- */

static int take(void *arg, int option, char **argv)
{
    (void)option;
    (void)argv;
    *(bool *)arg = true;
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"diff", no_argument, NULL, DIFF}, {NULL, 0, NULL, 0}};
    const char *service;
    struct starts_view starts = {0};
    bool diff = false;
    int code = rpdctl_take_options(argc, argv, ":", options, take, &diff), runtime_dirfd, found;

    if (!code)
        code = rpdctl_take_service(argc, argv, &service);
    if (code)
        return code;
    found = rpdctl_find_runtime(&runtime_dirfd);
    if (found < 0)
        return RPDCTL_NO;
    if (found == 0 && starts_view_read(runtime_dirfd, service, &starts) < 0) {
        rpdctl_say("timeline: out of memory");
        code = RPDCTL_NO;
    } else if (starts.count == 0) {
        rpdctl_say("timeline: %s: its history knows no start that became ready", service);
        code = RPDCTL_NO;
    } else if (diff) {
        code = print_diff(&starts);
    } else {
        print_starts(&starts);
    }
    starts_view_finish(&starts);
    if (found == 0)
        close(runtime_dirfd);
    return code;
}

const struct rpdctl_command rpdctl_timeline = {
    .name = "timeline",
    .summary = "how long its starts took, and what became slower",
    .help = help,
    .run = run,
};
