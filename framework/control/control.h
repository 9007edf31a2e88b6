/* The control socket: FIRSTSERVICE.control in the run-time directory, where a
 * program of the same user asks the whole daemon how it is, and hears when its
 * services change (control/reply.h). It is answered on the loop: a client that gets an
 * answer knows that the loop turns.
 *
 * It is no service: no plugin's code sees its clients, and no limit of a service
 * counts them. They are few, and trusted: the same user, and root (control/client.h). */
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
    struct event_base *base; /* NULL: not on the loop (yet, or any more) */
    struct event readable, resume;
    struct accept_errors errors;
    bool is_refused;      /* accept() says so, and it was logged */
    struct spares spares; /* to accept where descriptors ran out */
    uint64_t heal_due_us; /* it could not be made again, and is tried again; 0: no */
    struct control_clients clients;
};

/* [start] control_close() and control_finish() are legal from now on. */
void control_init(struct control *control);

/* [start] Makes the socket; clients can connect, and wait. Their path may be longer
 * than a socket address. 73, or 71 for want of memory or descriptors. */
int control_open(struct control *control, int runtime_dirfd, const char *runtime_dir,
                 const char *service, struct error *error);

/* [start] Removes what killed starts left beside it. */
void control_sweep(const struct control *control);

/* [start] Serves on the loop, until it is stopped: what is not sent then is lost, but
 * no client is closed. 0, or -1 without memory. */
int control_start(struct control *control, struct event_base *base,
                  const struct control_subject *subject);
void control_stop(struct control *control);

/* [loop] In a keeper: what its runner answers to a request, a line; and that it has ended. */
void control_answer(struct control *control, uint64_t number, char *take_line);
void control_lose_answers(struct control *control);

/* [loop] Tells watchers. */
void control_tell(struct control *control, const struct rpd_service *service, enum rpd_phase phase);

/* [loop] Something happened to a file of this name (NULL: unknown). Makes the socket
 * again if it was removed. */
void control_heal(struct control *control, const char *file_name);

/* [loop] Keeps the socket from cleaners of unused files. */
void control_touch(const struct control *control);

/* [loop] The run-time directory is another one now: makes the socket there. */
void control_move(struct control *control);

/* [loop] Tries again, if it could not be made and that is due. */
void control_heal_again(struct control *control, uint64_t now_us);

/* [loop] It has nothing to do but to wait for clients, or is not on the loop. */
bool control_may_rest(const struct control *control);

/* [start] Removes the socket. */
void control_close(struct control *control);

/* [start] Closes the clients: the process ends now. */
void control_finish(struct control *control);

#endif
