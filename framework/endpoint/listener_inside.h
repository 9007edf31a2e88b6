/* A listener from inside: what listener.c, own_bind.c and check_socket.c share. */
#ifndef FRAMEWORK_LISTENER_INSIDE_H
#define FRAMEWORK_LISTENER_INSIDE_H

#include "endpoint/listener.h"

/* The step of each error. */
#define LISTENER_STEP "bind"

/* ---- listener.c ------------------------------------------------------------ */

/* Refuses what stands at the public name of a path, unless it is the socket of a dead process. */
int listener_check_public_name(const struct rpd_listener *listener, struct error *error);

/* What is bound: the private name of a path, or the address itself. */
struct rpd_endpoint listener_endpoint_to_bind(struct rpd_listener *listener);

/* Takes what was bound to this endpoint; on failure nothing of it is left. */
int listener_accept_bound(struct rpd_listener *listener, const struct rpd_endpoint *wanted,
                          const struct rpd_bound *bound, struct error *error);

/* ---- check_socket.c -------------------------------------------------------- */

/* The same for all three ways; code: whose fault it is. Sets the listener's text. */
int listener_check_socket(struct rpd_listener *listener, const struct rpd_endpoint *wanted,
                          enum exit_code code, struct error *error);

/* Non-blocking, closed on exec; for TCP without delay, and with keepalive. */
int listener_make_usable(const struct rpd_listener *listener, struct error *error);

#endif
