/* Rounds. See rounds.h. */
#include "rounds.h"

#include "../support/process.h"
#include "json_figures.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool take(struct rounds *rounds, int argc, char **argv)
{
    static const struct option options[] = {{"runs", required_argument, NULL, 'r'},
                                            {"check", no_argument, NULL, 'c'},
                                            {"json", required_argument, NULL, 'j'},
                                            {"planted-us", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'r')
            rounds->count = strtol(optarg, NULL, 10);
        else if (option == 'p')
            rounds->planted_us = strtol(optarg, NULL, 10);
        else if (option == 'c')
            rounds->is_check = true;
        else if (option == 'j')
            json_figures_to(optarg);
        else
            return false;
    }
    return optind == argc && rounds->count >= rounds->least && rounds->count <= rounds->most;
}

void rounds_parse(struct rounds *rounds, const char *program, int argc, char **argv)
{
    if (take(rounds, argc, argv))
        return;
    fprintf(stderr, "usage: %s [--runs N, %ld to %ld] [--planted-us N] [--check] [--json FILE]\n",
            program, rounds->least, rounds->most);
    exit(64);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double median(double *values, long count)
{
    if (count == 0)
        return 0;
    qsort(values, (size_t)count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

const char *rounds_temp_dir_in_memory(void)
{
    const char *before = getenv("TMPDIR") ? textf("%s", getenv("TMPDIR")) : "/tmp";
    const char *dir;

    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    dir = temp_dir_make();
    setenv("TMPDIR", before, 1);
    return dir;
}
