/* What a benchmark has measured, as JSON: for tests/bench/plot, and to compare runs with.
 *
 *     {"program": "start", "date": "2026-01-31", "kernel": "6.1.0", "processors": 2, "figures": [
 *     {"of": "rpd hello", "what": "median", "unit": "us", "value": 812.5},
 *     ...
 *     ]}
 */
#ifndef TESTS_BENCH_JSON_FIGURES_H
#define TESTS_BENCH_JSON_FIGURES_H

#include <stdbool.h>

/* --json FILE: what follows is kept for that file. Without it the other two do nothing. */
void json_figures_to(const char *path);

/* The texts live until the end; they need no escapes in JSON. */
void json_figure(const char *of, const char *what, const char *unit, double value);

/* Writes the file; ends in test_die() where it cannot. */
void json_figures_end(const char *program);

#endif
