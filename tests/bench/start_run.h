/* One start of a program: from just before exec to the first connect(2) that succeeds. */
#ifndef TESTS_BENCH_START_RUN_H
#define TESTS_BENCH_START_RUN_H

/* Runs argv, which makes a unix socket at path, with this run-time directory (RPD_RUNTIME_DIR) and
 * its output in a file; then ends it. planted_us: a delay before exec. Returns microseconds; -1 if
 * no client could ever connect. */
double start_run(const char *const *argv, const char *dir, const char *path, const char *log,
                 long planted_us);

#endif
