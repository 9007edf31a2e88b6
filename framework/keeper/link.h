/* A runner's link to its keeper: what the keeper gives the runner at its start, what the runner
 * reports, and what the keeper tells the runner while it serves. See channel.h for the messages. */
#ifndef FRAMEWORK_LINK_H
#define FRAMEWORK_LINK_H

#include "base/error.h"
#include "keeper/channel.h"
#include "keeper/runner.h"
#include "service/service.h"

struct link_events {
    void (*stop)(void *arg);
    void (*ask_idle)(void *arg);
    void (*lost)(void *arg); /* the keeper is gone; this process soon will be */
    /* Another configuration; copy_fd: its file, -1: none. 0, or the exit code after the errors were
     * written to errors_fd, a line each. */
    int (*change)(void *arg, int copy_fd, int errors_fd);
};

struct link {
    int fd; /* -1: there is no keeper */
    struct rpd_service *services;
    size_t service_count;
    uint64_t started_us, bound_us, watchdog_us;
    unsigned generation;
    int runtime_dirfd, notices_fd; /* -1: taken, or not given */
    struct runner_board *board;
    uint64_t received[RUNNER_BOARD_MAX]; /* clients, so far */
    int *locks;                          /* copies: held until this process ends */
    size_t lock_count, next_lock;
    struct event *readable;
    const struct link_events *events;
    void *arg;
};

void link_init(struct link *link, int fd);

/* [start] Takes what the keeper gives, after the services are resolved. 70 if no keeper answers. */
int link_take_setup(struct link *link, struct error *error);

/* [start] Gives the keeper what the backends' own binds have made, and reports that this runner
 * could serve. Then takes the state pages, or the message that the start is over: *ret_stop. */
int link_prepared(struct link *link, bool *ret_stop, struct error *error);

/* [loop] From now on this process listens to the keeper. 0, or -1 without memory. */
int link_start(struct link *link, struct event_base *base, const struct link_events *events,
               void *arg);
void link_stop(struct link *link);

/* [start] Frees the memory; the locks stay held. */
void link_finish(struct link *link);

/* [loop] Reports. */
void link_tell_phase(const struct link *link, const struct rpd_service *service,
                     enum rpd_phase phase, int stop_code);
void link_tell_idle(const struct link *link, bool is_idle);

/* [loop] A client that was passed is about to be admitted. */
void link_admits(struct link *link, const struct rpd_service *service);

#endif
