/* The figures of a benchmark as JSON, for tests/bench/plot and for comparing runs.
 *
 *     {"program": "start", "date": "2026-01-31", "kernel": "6.1.0", "processors": 2, "figures": [
 *     {"of": "rpd hello", "what": "median", "unit": "us", "value": 812.5},
 *     ...
 *     ]} */
#ifndef TESTS_BENCH_JSON_FIGURES_H
#define TESTS_BENCH_JSON_FIGURES_H

#include <stdbool.h>

/* --json FILE: the figures that follow are kept for this file. Without it the other two functions
 * do nothing. */
void json_figures_to(const char *path);

/* The texts must live until the end of the program, and need no escapes in JSON. */
void json_figure(const char *of, const char *what, const char *unit, double value);

/* Writes the file; ends in test_die() if it cannot. */
void json_figures_end(const char *program);

#endif
