/* Figures as JSON. See json_figures.h. */
#include "json_figures.h"

#include "../support/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { FIGURES_MAX = 200 };

static struct {
    const char *path;
    int count;
    struct {
        const char *of, *what, *unit;
        double value;
    } figures[FIGURES_MAX];
} json;

void json_figures_to(const char *path)
{
    json.path = path;
}

void json_figure(const char *of, const char *what, const char *unit, double value)
{
    if (!json.path)
        return;
    if (json.count == FIGURES_MAX)
        test_die("--json: more than %d figures", FIGURES_MAX);
    json.figures[json.count].of = of;
    json.figures[json.count].what = what;
    json.figures[json.count].unit = unit;
    json.figures[json.count++].value = value;
}

static void write_all(FILE *file, const char *program)
{
    struct utsname system;
    char date[16] = "";
    const time_t now = time(NULL);
    struct tm day;

    uname(&system);
    strftime(date, sizeof date, "%F", gmtime_r(&now, &day));
    fprintf(file,
            "{\"program\": \"%s\", \"date\": \"%s\", \"kernel\": \"%s\", \"processors\": %ld, "
            "\"figures\": [\n",
            program, date, system.release, sysconf(_SC_NPROCESSORS_ONLN));
    for (int i = 0; i < json.count; i++)
        fprintf(file, "{\"of\": \"%s\", \"what\": \"%s\", \"unit\": \"%s\", \"value\": %.6g}%s\n",
                json.figures[i].of, json.figures[i].what, json.figures[i].unit,
                json.figures[i].value, i + 1 < json.count ? "," : "");
    fputs("]}\n", file);
}

void json_figures_end(const char *program)
{
    FILE *file = json.path ? fopen(json.path, "we") : NULL;

    if (!json.path)
        return;
    if (!file)
        test_die("--json: %s: %s", json.path, strerror(errno));
    write_all(file, program);
    if (ferror(file) || fclose(file) != 0)
        test_die("--json: cannot write %s", json.path);
}
