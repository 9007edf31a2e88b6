/* The control socket's clients: each asks in lines, is answered, and may watch. They
 * are trusted, but may be broken: requests, answers and time are bounded. All of it is [loop],
 * but for init and finish, which are [start]. */
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
    struct spares *spares; /* filled up when one has gone; not ours */
    /* Set by the owner before the first client: */
    struct event_base *base;
    struct control_subject subject;
    uint64_t asked; /* how many requests a runner was asked */
};

void control_clients_init(struct control_clients *clients, struct spares *spares);

/* take_fd: connected, non-blocking, close-on-exec. */
void control_clients_add(struct control_clients *clients, int take_fd);

/* Tells those that watch. */
void control_clients_tell(struct control_clients *clients, const struct rpd_service *service,
                          enum rpd_phase phase);

/* In a keeper: the runner's answer to the request of this number. */
void control_clients_answer(struct control_clients *clients, uint64_t number, char *take_line);

/* In a keeper: the runner that was asked has ended. */
void control_clients_lose_answers(struct control_clients *clients);

/* What is not sent yet is lost, but no client is closed. */
void control_clients_take_off_loop(struct control_clients *clients);

/* Closes them. */
void control_clients_finish(struct control_clients *clients);

#endif
