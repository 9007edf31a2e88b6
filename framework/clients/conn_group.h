/* What connections share: those of one loop, and those of one service. See conn.h. */
#ifndef FRAMEWORK_CONN_GROUP_H
#define FRAMEWORK_CONN_GROUP_H

#include "clients/conn_clock.h"
#include "clients/conn_memory.h"
#include "clients/conn_turns.h"
#include "clients/linger.h"
#include "clients/log_rate.h"
#include "clients/places.h"
#include "config/config.h"
#include "guard/foreign.h"

#include <rpd/backend.h>

#include <sys/queue.h>

struct event_base;
struct jobs;

/* What all connections of one loop share. */
struct conn_loop {
    struct event_base *base;
    char *input;             /* CONN_BLOCK bytes, for what is being read */
    char *output;            /* CONN_BLOCK bytes, for what a callback writes */
    size_t output_size;      /* belongs to corked */
    struct rpd_conn *corked; /* whose callback runs */
    struct conn_turns turns;
    const struct rpd_conn *offered; /* whose on_data runs */
    size_t offered_size;            /* of the input that it was called with */
    bool withheld;                  /* its slice was over, and on_data was shown no more input */
    bool shown;                     /* since the last resume it was shown all the input */
    struct linger_list lingerers;
};

/* What a client is closed for. */
enum conn_limit {
    CONN_LIMIT_FIRST_BYTE,
    CONN_LIMIT_REQUEST,
    CONN_LIMIT_IDLE,
    CONN_LIMIT_WRITE_STALL,
    CONN_LIMIT_OUTPUT,
    CONN_LIMIT_INPUT,
    CONN_LIMIT_BUFFERS,      /* it held most when all together held too much */
    CONN_LIMIT_PEER_BUFFERS, /* likewise of its peer's */
    CONN_LIMITS,
    CONN_LIMIT_MEMORY = CONN_LIMITS /* there was none: counted by the places */
};

/* The connections of one service. */
struct conn_group {
    struct conn_loop *loop;
    const struct config_limits *limits;
    struct places *places;
    struct jobs *jobs;
    struct rpd_service *service;
    const struct rpd_backend *backend;
    uint64_t *const *metrics;
    struct foreign_owner owner;
    void *state; /* what callbacks are given */
    bool draining;
    bool awaits_first;  /* while it drains: a client that has sent nothing yet may still do so */
    bool has_no_future; /* its load has failed: a client that waits for the state waits in vain */
    size_t count;
    size_t bodies; /* that are being received */
    TAILQ_HEAD(conn_list, rpd_conn) conns;
    size_t output_high, output_low; /* from the one on a client is not read, until the other */
    struct conn_memory memory;      /* what they hold in buffers */
    TAILQ_HEAD(starved_list, rpd_conn) starved; /* not read while that is near its bound */
    size_t starved_count, unwoken; /* how many there are; how many of them to look at again */
    size_t request_progress;       /* as many more bytes of a request start its clock anew */
    struct conn_clocks clocks;
    uint64_t file_waited_us; /* when a file last made the loop wait; 0: never (conn_disk.c) */
    uint64_t cut;            /* closed by a limit so far */
    /* For the metrics, which show them with each pulse: a request would take 1 % more instructions
     * if it added to them. */
    uint64_t received, sent; /* bytes */
    uint64_t on_data_calls;
    struct log_count cuts[CONN_LIMITS];
    void (*emptied)(struct rpd_service *service); /* the last one has closed */
};

#endif
