/* The control socket: FIRSTSERVICE.control in the run-time directory. There a program of the same
 * user asks for the state of the whole daemon, and is notified when its services change
 * (control/reply.h). The loop answers: a client that gets an answer knows that the loop turns.
 *
 * It is not a service: its clients are not seen by any plugin, nor counted by any service's limits.
 * They are few, and trusted: the same user, and root (control/client.h). */
#ifndef FRAMEWORK_CONTROL_H
#define FRAMEWORK_CONTROL_H

#include "base/directory.h"
#include "base/error.h"
#include "clients/accept_client.h"
#include "control/client.h"
#include "control/spares.h"
#include "guard/residue.h"
#include "library/libevent.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct control {
    int dirfd;               /* the run-time directory; not ours */
    const char *runtime_dir; /* its path; not ours */
    char name[NAME_MAX + 1];
    char path[RUNTIME_PATH_MAX + NAME_MAX + 1]; /* absolute */
    int fd;                                     /* listens; -1: there is none */
    struct residue *residue;
    struct event_base *base; /* NULL: not on the loop, either not yet or no longer */
    struct event readable, resume;
    struct accept_errors errors;
    bool is_refused;      /* accept() fails, and that was logged */
    struct spares spares; /* to accept clients when descriptors have run out */
    uint64_t heal_due_us; /* when to try again to make a missing socket; 0: none is missing */
    struct control_clients clients;
};

/* [start] After this, control_close() and control_finish() may be called. */
void control_init(struct control *control);

/* [start] Makes the socket; clients can connect, and wait. Its path may be longer than a socket
 * address. Returns 0; or 73, or 71 if memory or descriptors have run out. */
int control_open(struct control *control, int runtime_dirfd, const char *runtime_dir,
                 const char *service, struct error *error);

/* [start] Removes what killed starts have left beside it. */
void control_sweep(const struct control *control);

/* [start] Serves clients on the loop until control_stop(). Output that is unsent then is lost, but
 * no client is closed. Returns 0, or -1 if out of memory. */
int control_start(struct control *control, struct event_base *base,
                  const struct control_subject *subject);
void control_stop(struct control *control);

/* [loop] In a keeper: its runner has answered a request, with one line; or has ended. */
void control_answer(struct control *control, uint64_t number, char *take_line);
void control_lose_answers(struct control *control);

/* [loop] Notifies the watchers. */
void control_tell(struct control *control, const struct rpd_service *service, enum rpd_phase phase);

/* [loop] Answers those that wait for this reload. */
void control_reloaded(struct control *control, unsigned long ticket,
                      const struct control_reload_end *end);

/* [loop] Something happened to a file of this name (NULL: unknown). Makes the socket
 * again if it was removed. */
void control_heal(struct control *control, const char *file_name);

/* [loop] Protects the socket from cleaners of unused files. */
void control_touch(const struct control *control);

/* [loop] The run-time directory has been replaced: makes the socket in the new one. */
void control_move(struct control *control);

/* [loop] Tries again to make a missing socket, if that is due. */
void control_heal_again(struct control *control, uint64_t now_us);

/* [loop] Whether it only waits for clients, or is not on the loop. */
bool control_may_rest(const struct control *control);

/* [start] Removes the socket. */
void control_close(struct control *control);

/* [start] Closes the clients, because the process is about to end. */
void control_finish(struct control *control);

#endif
