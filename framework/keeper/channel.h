/* The messages between a keeper and a runner, over a socketpair of type SOCK_SEQPACKET. Each
 * message arrives whole and in order, and may carry descriptors.
 *
 *   keeper                                   runner
 *     SETUP, LOCKS, SERVICE..., PLACE..., LISTENER..., READ ───►  takes what it is given, loads its
 * code ◄─── LISTENER..., WARMUP..., PREPARED   (listeners of its backends' own bind) PAGE...,
 * METRICS..., GO ───►             serves ◄─── PHASE                      a service enters a phase
 *     CLIENTS ───►   ◄─── TOOK, ADMITTED       clients of the waiting room
 *     ACCEPT ───►                              the runner accepts by itself
 *     CEASE ───►   ◄─── CEASED                 the next generation will
 *     CHANGE ───►   ◄─── CHANGED               live changes of the configuration
 *     PAGE, METRICS, LISTENER ───►             made again, or somewhere else
 *     ASK_IDLE ───►   ◄─── IDLE
 *     REOPEN, LEVEL ───►                       the log
 *     ASK ───►   ◄─── ANSWER                   what a client of the control socket wants to know
 *     STOP ───►                                drains, and ends
 *
 * Both ends run the same program, so no other version has to understand a message. */
#ifndef FRAMEWORK_CHANNEL_H
#define FRAMEWORK_CHANNEL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum channel_kind {
    CHANNEL_SETUP = 1, /* numbers: enum channel_setup; run-time directory, notices, board */
    CHANNEL_RUNTIME,   /* the run-time directory has changed */
    CHANNEL_LOCKS,     /* copies; count: 1 if the copies sent before are of no more use */
    CHANNEL_PLACE,     /* of an endpoint that the runner binds: directory, lock */
    CHANNEL_LISTENER,  /* count: enum listener_way; text: the private name of a path */
    CHANNEL_SERVICE,   /* text: the name of the service that has this number */
    CHANNEL_READ,      /* the setup is complete */
    CHANNEL_WARMUP,    /* count: enum rpd_warmup; numbers[0]: it takes other options; a copy of the
                          page of metrics */
    CHANNEL_PREPARED,
    CHANNEL_PAGE,
    CHANNEL_METRICS,
    CHANNEL_GO,
    CHANNEL_PHASE,   /* count: enum rpd_phase; numbers[0]: degraded; [1]: code of the stop */
    CHANNEL_CLIENTS, /* count: how many descriptors were sent */
    CHANNEL_TOOK,    /* count: how many of them arrived */
    CHANNEL_ADMITTED,
    CHANNEL_ACCEPT,
    CHANNEL_CEASE,   /* accepts no more, until the next ACCEPT */
    CHANNEL_CEASED,  /* it does not */
    CHANNEL_CHANGE,  /* another configuration, all of it live: a copy of it, or none */
    CHANNEL_CHANGED, /* count: 0, or the exit code; then the text of the errors in a file */
    CHANNEL_ASK_IDLE,
    CHANNEL_IDLE,   /* count: whether it is */
    CHANNEL_REOPEN, /* the log */
    CHANNEL_LEVEL,  /* of the log of a service; count: enum rpd_log_level */
    CHANNEL_ASK,    /* numbers[0]: of the request of a client of the control socket; a text */
    CHANNEL_ANSWER, /* numbers[0]: the same; a text */
    CHANNEL_STOP    /* count: whether another generation serves */
};

/* What numbers[] of CHANNEL_SETUP mean. */
enum channel_setup {
    SETUP_STARTED_US, /* the keeper; 0: that is not when this runner's start began */
    SETUP_BOUND_US,
    SETUP_WATCHDOG_US,
    SETUP_GENERATION,
    SETUP_NUMBERS
};

/* SCM_RIGHTS takes no more than this (SCM_MAX_FD). */
enum { CHANNEL_FDS_MAX = 253 };

struct channel_message {
    uint32_t kind;
    uint32_t service, attachment; /* which one, by its number */
    uint32_t count;
    uint64_t numbers[SETUP_NUMBERS];
    char text[NAME_MAX + 1];
};

/* [any] Sends a message; the descriptors stay the caller's. Waits for room, at most patience_ms. 0,
 * or -1 and errno. */
int channel_send(int fd, const struct channel_message *message, const int *fds, size_t fd_count,
                 int patience_ms);

/* [any] Receives a message, without waiting. ret_fds has room for CHANNEL_FDS_MAX descriptors. 1: a
 * message came, and its *ret_count descriptors are the caller's (close-on-exec); 0: the other end
 * is closed; -1 and errno, EAGAIN if there is no message. Descriptors for which there was no room
 * are lost, as the count shows. */
int channel_receive(int fd, struct channel_message *ret, int *ret_fds, size_t *ret_count);

/* [loop] Sends a message with a text of any size, in a file of memory. 0, or -1 and errno. */
int channel_send_text(int fd, const struct channel_message *message, const char *text, size_t size);

/* [loop] That text, to be freed; NULL and errno. */
char *channel_read_text(int take_fd);

/* [any] Waits for a message. */
int channel_await(int fd, struct channel_message *ret, int *ret_fds, size_t *ret_count);

#endif
