/* Control of cold_files.c in a daemon by a test: a file that both have mapped. */
#ifndef TESTS_SUPPORT_COLD_FILES_H
#define TESTS_SUPPORT_COLD_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cold_control {
    atomic_int evicts;              /* once: evicts all pages when the daemon looks or sends next */
    atomic_int evicts_all_the_time; /* at each sendfile() */
    atomic_int loop_waits, worker_reads;
};

#endif
