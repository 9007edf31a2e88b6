/* Connections on the loop: the data path. The backend's side is rpd/conn.h.
 *
 * Plain events with read and gathered writes. All connections of a loop share
 * one input and one output block: bytes stay there while a callback runs, and
 * only what is left over is copied to the connection itself, so that an idle
 * one owns no buffer. */
#ifndef FRAMEWORK_CONN_H
#define FRAMEWORK_CONN_H

#include "clients/conn_clock.h"
#include "clients/linger.h"
#include "clients/log_rate.h"
#include "clients/places.h"
#include "config/config.h"

#include <rpd/backend.h>

#include <sys/queue.h>

struct event_base;

/* What all connections of one loop share. */
struct conn_loop {
    struct event_base *base;
    char *input;             /* CONN_BLOCK bytes, for what is being read */
    char *output;            /* CONN_BLOCK bytes, for what a callback writes */
    size_t output_size;      /* belongs to corked */
    struct rpd_conn *corked; /* whose callback runs */
    struct linger_list lingerers;
};

int conn_loop_init(struct conn_loop *loop, struct event_base *base);
void conn_loop_finish(struct conn_loop *loop);

/* What a client is closed for. */
enum conn_limit {
    CONN_LIMIT_FIRST_BYTE,
    CONN_LIMIT_REQUEST,
    CONN_LIMIT_IDLE,
    CONN_LIMIT_WRITE_STALL,
    CONN_LIMIT_OUTPUT,
    CONN_LIMIT_INPUT,
    CONN_LIMITS
};

/* The connections of one service. */
struct conn_group {
    struct conn_loop *loop;
    const struct config_limits *limits;
    struct places *places;
    struct rpd_service *service;
    const struct rpd_backend *backend;
    const char *service_name, *plugin; /* for the crash line */
    void *state;                       /* what callbacks are given */
    bool draining;
    size_t count;
    TAILQ_HEAD(conn_list, rpd_conn) conns;
    size_t output_high, output_low; /* from the one on a client is not read, until the other */
    struct conn_clocks clocks;
    uint64_t cut; /* closed by a limit so far */
    struct log_count cuts[CONN_LIMITS];
    void (*emptied)(struct rpd_service *service); /* the last one has closed */
};

/* What is above state is the owner's to set before. */
void conn_group_init(struct conn_group *group, struct conn_loop *loop);

/* All connections are closed. */
void conn_group_finish(struct conn_group *group);

/* [loop] Takes a client in, which has a place: on_connect, then on_data as bytes
 * come. Closes it where there is no memory. */
void conn_open(struct conn_group *group, int take_fd);

/* [loop] Takes a client in only to give it the busy answer. */
void conn_refuse(struct conn_group *group, int take_fd);

/* [loop] Whatever has been asked is still answered; idle ones are closed now,
 * the others as soon as they are idle. */
void conn_group_drain(struct conn_group *group);

/* [loop] Closes all. */
void conn_group_abort(struct conn_group *group);

#endif
