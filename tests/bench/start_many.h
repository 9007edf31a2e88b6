/* Many services in one process: a part of tests/bench/start. */
#ifndef TESTS_BENCH_START_MANY_H
#define TESTS_BENCH_START_MANY_H

#include <stdbool.h>

/* Starts and stops this many services of echo, prints what each costs, and judges it. */
bool measure_many(long services);

#endif
