/* Code shared by the programs that measure in rounds: their command line, and the median. */
#ifndef TESTS_BENCH_ROUNDS_H
#define TESTS_BENCH_ROUNDS_H

#include <stdbool.h>

struct rounds {
    long count, least, most; /* count: the default if the command line does not set it */
    bool is_check;           /* judge, and exit 1 if a figure is too large */
    long planted_us;         /* a delay that the check must detect; 0: none */
};

/* Parses "PROGRAM [--runs N] [--planted-us N] [--check] [--json FILE]". On a mistake it prints the
 * usage and exits with 64. */
void rounds_parse(struct rounds *rounds, const char *program, int argc, char **argv);

/* Like temp_dir_make(), but in memory, like most run-time directories; on disk if no such place
 * exists. */
const char *rounds_temp_dir_in_memory(void);

/* Sorts the values and returns the median; 0 if there are none. */
double median(double *values, long count);

#endif
