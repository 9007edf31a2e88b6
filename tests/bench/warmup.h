/* The parts of tests/bench/warmup: six measurements, and the functions that collect and judge their
 * figures. */
#ifndef TESTS_BENCH_WARMUP_H
#define TESTS_BENCH_WARMUP_H

#include <rpd/state.h>

#include <stddef.h>

struct process;

struct plan {
    size_t clients;  /* of the crowd */
    double load_s;   /* how long the crowd waits */
    long requests;   /* of the one client that asks meanwhile */
    long keys;       /* that redis-server loads */
    size_t idle;     /* connections */
    size_t burst;    /* clients that connect at once */
    size_t senders;  /* clients that send without end */
    long asked;      /* of the one client beside them */
    double rest_s;   /* without a client */
    long planted_us; /* how long rpd is stopped at the beginning of a burst, to test the check
                      * itself */
};

enum figure {
    CROWD_REFUSED,
    CROWD_EAGAIN,
    CROWD_RESET,
    CROWD_UNANSWERED,
    CROWD_MEMORY,
    CROWD_STALL,
    COLD_P99,
    IDLE_UNANSWERED,
    IDLE_MEMORY,
    IDLE_P99,
    BURST_REFUSED,
    BURST_EAGAIN,
    BURST_SLOWNESS,
    BURST_CPU,
    FAIR_UNANSWERED,
    FAIR_ECHO_P99,
    FAIR_ECHO_WORK,
    FAIR_HELLO_P99,
    FAIR_HELLO_WORK,
    FAIR_KV_P99,
    FAIR_KV_WORK,
    REST_WAKES,
    FIGURES
};

/* Adds the figure of one run. */
void figure_add(enum figure figure, double value);

void measure_crowd(const struct plan *plan);
void measure_cold(const struct plan *plan);
void measure_idle(const struct plan *plan);
void measure_burst(const struct plan *plan);
void measure_fair(const struct plan *plan);
void measure_rest(const struct plan *plan);

/* ---- for all of them ------------------------------------------------------ */

/* Waits until the process is bound; ends in test_die() if it is not. */
void wait_bound(struct process *process);

/* The state page of a service in this run-time directory. */
struct rpd_state_page page_of(const char *runtime_dir, const char *service);

/* VmRSS of /proc/PID/status, in bytes. */
double rss_bytes(const struct process *process);

#endif
