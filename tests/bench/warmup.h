/* The parts of tests/bench/warmup: six measurements, and where their figures
 * go to be judged. */
#ifndef TESTS_BENCH_WARMUP_H
#define TESTS_BENCH_WARMUP_H

#include <rpd/state.h>

#include <stddef.h>

struct process;

struct plan {
    size_t clients;  /* of the crowd */
    double load_s;   /* that the crowd waits for */
    long requests;   /* of the one client that asks meanwhile */
    long keys;       /* that redis-server loads */
    size_t idle;     /* connections */
    size_t burst;    /* clients that come at once */
    size_t senders;  /* that send without end */
    long asked;      /* of one client beside them */
    double rest_s;   /* of doing nothing */
    long planted_us; /* that rpd is stopped at the beginning of a burst: for the check of the check
                      */
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

/* One run's. */
void figure_add(enum figure figure, double value);

void measure_crowd(const struct plan *plan);
void measure_cold(const struct plan *plan);
void measure_idle(const struct plan *plan);
void measure_burst(const struct plan *plan);
void measure_fair(const struct plan *plan);
void measure_rest(const struct plan *plan);

/* ---- for all of them ------------------------------------------------------ */

/* Waits until it is bound; ends in test_die() if it is not. */
void wait_bound(struct process *process);

/* A service's state page, whose run-time directory that is. */
struct rpd_state_page page_of(const char *runtime_dir, const char *service);

/* VmRSS of /proc/PID/status, in bytes. */
double rss_bytes(const struct process *process);

#endif
