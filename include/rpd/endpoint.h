/* The first part of the contract: bind.
 *
 * Nearly all backends leave their listeners to rpd and do not need this header.
 * A backend that creates its own, because it needs a socket option or a
 * socket that rpd does not create, contains a function of type rpd_bind_fn and
 * names it with RPD_BACKEND_BIND().
 *
 * bind sees an endpoint and nothing else: no service, no options, no state.
 * This is intended: bind cannot wait for something that it cannot access. */
#ifndef RPD_ENDPOINT_H
#define RPD_ENDPOINT_H

#include <rpd/base.h>

RPD_BEGIN

/* Where to listen. The address is resolved; no name has to be looked up. rpd owns the
 * endpoint, which is valid until bind returns. */
struct rpd_endpoint;

/* [start] The socket address to bind, and its length. For a unix path this is
 * a private name beside the public one: rpd renames the socket once it listens, so
 * that no client ever finds a socket that refuses connections. */
RPD_API const struct sockaddr *rpd_endpoint_address(const struct rpd_endpoint *endpoint,
                                                    socklen_t *ret_length);

/* [start] The backlog to pass to listen(2). */
RPD_API int rpd_endpoint_backlog(const struct rpd_endpoint *endpoint);

/* [start] The endpoint as the configuration has it, "unix:/run/x.sock". */
RPD_API const char *rpd_endpoint_text(const struct rpd_endpoint *endpoint);

/* What bind returns: a listener, or one of four errors. Create the result with one
 * of the functions below; do not fill it in yourself. */
enum rpd_bind_outcome {
    RPD_BIND_LISTENING = 1,
    RPD_BIND_INVALID, /* the endpoint makes no sense to this backend: exit 78 */
    RPD_BIND_IN_USE,  /* another process has it: exit 75 */
    RPD_BIND_IO,      /* the system refused, with an errno: exit 71 */
    RPD_BIND_OTHER    /* the backend's own reason: exit 71 */
};

struct rpd_bound {
    enum rpd_bind_outcome outcome;
    int fd;           /* with LISTENING */
    int error_number; /* with IO */
    char message[160];
};

/* [start] Runs on a thread of its own, once for each endpoint, before the
 * event loop exists. Returns a listening stream socket on exactly the address
 * that was asked for, and leaves no other descriptor open. rpd owns the
 * descriptor from then on. The function must take only microseconds: if it exceeds
 * endpoint_deadline_ms, the start ends with exit 76.
 *
 * The kernel seals that thread: it can make sockets, set their options, use
 * memory, and write to stdout and stderr. Any other call (files, other
 * descriptors, connect, threads, programs) fails with EPERM, and the start ends
 * with exit 76. With "seal" of the service the user can choose to have such calls
 * only logged. */
typedef struct rpd_bound (*rpd_bind_fn)(const struct rpd_endpoint *endpoint);

/* [start] take_fd: the listening socket; rpd closes it. */
RPD_API struct rpd_bound rpd_bound_listening(int take_fd);
RPD_API struct rpd_bound rpd_bound_invalid(const char *format, ...) RPD_PRINTF(1, 2);
RPD_API struct rpd_bound rpd_bound_in_use(void);
/* error_number: an errno. EADDRINUSE becomes RPD_BIND_IN_USE. */
RPD_API struct rpd_bound rpd_bound_io(int error_number);
RPD_API struct rpd_bound rpd_bound_other(const char *format, ...) RPD_PRINTF(1, 2);

/* [start] Calls socket, bind and listen in the usual way, as rpd does for a
 * backend without a bind of its own. Use it in a bind that only sets an
 * option on the result. */
RPD_API struct rpd_bound rpd_bind_plainly(const struct rpd_endpoint *endpoint);

RPD_END
#endif
