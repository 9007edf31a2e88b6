/* What the programs that measure in rounds share: their command line, and the
 * median. */
#ifndef TESTS_BENCH_ROUNDS_H
#define TESTS_BENCH_ROUNDS_H

#include <stdbool.h>

struct rounds {
    long count, least, most; /* count: the default, until the command line says otherwise */
    bool is_check;           /* judge, and exit 1 if it is too much */
    long planted_us;         /* a delay that the check must find; 0: none */
};

/* "PROGRAM [--runs N] [--planted-us N] [--check] [--json FILE]". Where that is not understood it
 * says how the program is called, and exits with 64. */
void rounds_parse(struct rounds *rounds, const char *program, int argc, char **argv);

/* temp_dir_make() where files are in memory, as those of a run-time directory usually are; on disk
 * if there is no such place. */
const char *rounds_temp_dir_in_memory(void);

/* Sorts the values. 0 if there are none. */
double median(double *values, long count);

#endif
