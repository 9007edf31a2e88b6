/* Listeners: from an endpoint to a socket that clients can connect to, and
 * back again.
 *
 *   NEW ──bind──► BOUND ──publish──► PUBLIC ──withdraw──► WITHDRAWN ──close──► CLOSED
 *                   │  (a unix path listens      │
 *                   │   under a private name)    └─ heal: bind, publish again
 *                   └─ TCP, abstract and adopted sockets are public at once
 *
 * Three ways to get one: owned (rpd binds), own (the backend's bind does, on a
 * thread of its own), adopted (inherited by LISTEN_FDS). What comes of each is
 * checked by the same function. */
#ifndef FRAMEWORK_LISTENER_H
#define FRAMEWORK_LISTENER_H

#include "base/error.h"
#include "config/config.h"
#include "endpoint/claim.h"
#include "endpoint/endpoint.h"
#include "guard/foreign.h"
#include "guard/residue.h"

#include <rpd/service.h>

enum listener_state {
    LISTENER_NEW,
    LISTENER_BOUND,
    LISTENER_PUBLIC,
    LISTENER_WITHDRAWN,
    LISTENER_CLOSED
};

enum listener_way { LISTENER_OWNED, LISTENER_OWN, LISTENER_ADOPTED };

struct rpd_listener {
    struct rpd_endpoint endpoint;
    char text[ENDPOINT_TEXT_MAX]; /* with the port that the kernel gave */
    enum listener_state state;
    enum listener_way way;
    int fd;
    int keepalive_s;  /* TCP; 0: the kernel does not ask clients whether they are there */
    bool unreachable; /* its path is lost, and it cannot be made again */
    /* A unix path that is not adopted: */
    struct claim claim;
    char private_name[NAME_MAX + 1];
    dev_t device;
    ino_t inode;
    struct residue *residue;
};

/* A backend's own bind. */
struct listener_bind {
    rpd_bind_fn bind;
    enum config_seal seal;      /* as seal_prepare() has returned it */
    struct foreign_owner owner; /* named in errors, too */
};

bool listener_needs_claim(const struct rpd_listener *listener);

/* [start] NEW → BOUND, or PUBLIC where there is no path. The claim is held. */
int listener_bind_owned(struct rpd_listener *listener, struct error *error);
int listener_bind_own(struct rpd_listener *listener, const struct listener_bind *bind,
                      struct error *error);
int listener_adopt(struct rpd_listener *listener, int take_fd, struct error *error);

/* [start] Where the endpoint takes any port: it takes the one that the first has got.
 * Returns whether that was so. */
bool listener_follow(struct rpd_listener *listener, const struct rpd_listener *first);

/* [start] BOUND → PUBLIC. */
int listener_publish(struct rpd_listener *listener, struct error *error);

/* [start] Removes what killed starts left beside the path. */
void listener_sweep(const struct rpd_listener *listener);

/* [loop] PUBLIC → WITHDRAWN: no new client finds it; those that are queued can
 * still be accepted. TCP and adopted sockets cannot be withdrawn. */
void listener_withdraw(struct rpd_listener *listener);

/* [loop] WITHDRAWN → PUBLIC: the exit was called off. */
void listener_restore(struct rpd_listener *listener);

/* [loop] Its path has gone or been replaced, or its socket was closed by a plugin (fd is -1). 0:
 * nothing was wrong. 1: it is public again, on a new socket; the old one is in ret_old_fd, whose
 * queued clients the caller accepts before closing it. -1: another has it, or it cannot be made
 * again: error. */
int listener_heal(struct rpd_listener *listener, int *ret_old_fd, struct error *error);

/* [loop] Keeps its files from cleaners of unused files. */
void listener_touch(const struct rpd_listener *listener);

/* From any state to CLOSED. */
void listener_close(struct rpd_listener *listener);

#endif
