/* The control socket's clients: each sends requests as lines, gets answers, and may watch. They are
 * trusted, but may be broken: requests, answers and time are bounded. All functions are [loop],
 * except init and finish, which are [start]. */
#ifndef FRAMEWORK_CONTROL_CLIENT_H
#define FRAMEWORK_CONTROL_CLIENT_H

#include "control/reply.h"
#include "control/spares.h"
#include "library/libevent.h"

#include <stddef.h>
#include <sys/queue.h>

struct control_client;

struct control_clients {
    TAILQ_HEAD(control_client_list, control_client) list;
    size_t count;
    struct spares *spares; /* refilled when a client has gone; not ours */
    /* Set by the owner before the first client: */
    struct event_base *base;
    struct control_subject subject;
    uint64_t asked; /* how many requests were passed to a runner */
};

void control_clients_init(struct control_clients *clients, struct spares *spares);

/* take_fd: connected, non-blocking, close-on-exec. */
void control_clients_add(struct control_clients *clients, int take_fd);

/* Sends the new phase to the clients that watch. */
void control_clients_tell(struct control_clients *clients, const struct rpd_service *service,
                          enum rpd_phase phase);

/* Answers those that wait for this reload. */
void control_clients_reloaded(struct control_clients *clients, unsigned long ticket,
                              const struct control_reload_end *end);
/* In a keeper: the runner's answer to the request of this number. */
void control_clients_answer(struct control_clients *clients, uint64_t number, char *take_line);

/* In a keeper: the runner that had requests to answer has ended. */
void control_clients_lose_answers(struct control_clients *clients);

/* Unsent output is lost, but no client is closed. */
void control_clients_take_off_loop(struct control_clients *clients);

/* Closes all clients. */
void control_clients_finish(struct control_clients *clients);

#endif
