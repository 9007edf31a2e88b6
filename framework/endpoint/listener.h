/* Listeners: from an endpoint to a socket that clients can connect to, and
 * back again.
 *
 *   NEW ──bind──► BOUND ──publish──► PUBLIC ──withdraw──► WITHDRAWN ──close──► CLOSED
 *                   │  (a unix path listens      │
 *                   │   under a private name)    └─ heal: bind, publish again
 *                   └─ TCP, abstract and adopted sockets are public at once
 *
 * There are three ways to get one. owned: rpd binds. own: the backend's bind does,
 * on a thread of its own. adopted: it is inherited by LISTEN_FDS. The same function
 * checks the result of each. */
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

/* Kept: the keeper of this process holds it, with its path, claim and queue. */
enum listener_way { LISTENER_OWNED, LISTENER_OWN, LISTENER_ADOPTED, LISTENER_KEPT };

struct rpd_listener {
    struct rpd_endpoint endpoint;
    char text[ENDPOINT_TEXT_MAX]; /* with the port that the kernel gave */
    enum listener_state state;
    enum listener_way way;
    int fd;
    int keepalive_s;  /* TCP; 0: the kernel does not probe whether clients are alive */
    bool unreachable; /* its path is lost, and it cannot be recreated */
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

/* [start] NEW → BOUND, or PUBLIC if there is no path. The claim must be held. */
int listener_bind_owned(struct rpd_listener *listener, struct error *error);
int listener_bind_own(struct rpd_listener *listener, const struct listener_bind *bind,
                      struct error *error);
int listener_adopt(struct rpd_listener *listener, int take_fd, struct error *error);

/* [start] If the endpoint accepts any port, takes the port that the first has received.
 * Returns whether it did. */
bool listener_follow(struct rpd_listener *listener, const struct rpd_listener *first);

/* [start] NEW → PUBLIC: from the keeper, which has checked it; way: KEPT or ADOPTED. */
void listener_keep(struct rpd_listener *listener, int take_fd, enum listener_way way);

/* [start] BOUND → PUBLIC, in the runner: the keeper now holds the listener and owns its path. */
void listener_give_away(struct rpd_listener *listener);

/* [start] NEW → BOUND, in the keeper: takes the socket that the runner's backend has bound, at a
 * private name of the runner. NULL: it is no path. Its way becomes OWN. */
int listener_take_own(struct rpd_listener *listener, int take_fd, const char *private_name,
                      struct error *error);

/* [start] BOUND → PUBLIC. */
int listener_publish(struct rpd_listener *listener, struct error *error);

/* [start] Removes the files that killed starts left beside the path. */
void listener_sweep(const struct rpd_listener *listener);

/* [loop] PUBLIC → WITHDRAWN: new clients cannot find it; queued clients can still be
 * accepted. TCP and adopted sockets cannot be withdrawn. */
void listener_withdraw(struct rpd_listener *listener);

/* [loop] WITHDRAWN → PUBLIC: the exit was cancelled. */
void listener_restore(struct rpd_listener *listener);

/* [loop] Restores a listener whose path was removed or replaced, or whose socket a plugin has
 * closed; fd is then -1. 0: nothing was wrong. 1: it is public again, on a new socket. The old
 * socket is in ret_old_fd; the caller accepts its queued clients before closing it. -1: another
 * process has the path, or the listener cannot be recreated; error is set. */
int listener_heal(struct rpd_listener *listener, int *ret_old_fd, struct error *error);

/* [loop] Exchanges its backlog, and mode and group of a unix path, with those of the endpoint,
 * which must name the same address; so a second call undoes the first. Of an adopted socket, only
 * the backlog: the path is its maker's. On failure all is as it was. */
int listener_exchange(struct rpd_listener *listener, struct rpd_endpoint *wanted,
                      struct error *error);

/* [loop] Of clients that come from now on. */
void listener_change_keepalive(struct rpd_listener *listener, int keepalive_s);

/* [loop] Protects its files from cleaners of unused files. */
void listener_touch(const struct rpd_listener *listener);

/* From any state to CLOSED. */
void listener_close(struct rpd_listener *listener);

#endif
