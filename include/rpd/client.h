/* librpd-client: for the command that needs a warm helper. It needs libc and
 * nothing else.
 *
 *     struct rpd_client_error error;
 *     int fd = rpd_connect("/etc/tool/rpd.json", "index", 5000, &error);
 *
 *     if (fd < 0)
 *         fprintf(stderr, "%s\n", error.text);
 *
 * The library finds a living service by its lock, its record and its state page: it starts no
 * process for that, and asks no daemon. It runs `rpdctl ensure` only if a start is needed, and
 * looks for it in $RPDCTL, otherwise in PATH. A service that is warming, or does not respond,
 * lives: it is never killed or replaced on suspicion.
 *
 * Any thread may call these functions, several at once; they leave signals, the
 * environment and other children alone. Link with `pkg-config --libs rpd-client`. */
#ifndef RPD_CLIENT_H
#define RPD_CLIENT_H

#include <rpd/base.h>

RPD_BEGIN

enum {
    RPD_CLIENT_TIMED_OUT = 1,
    RPD_CLIENT_NOT_RUNNING = 2 /* and there is no configuration to start it from */
};

struct rpd_client_error {
    int code;        /* one of the above, or the exit code of rpd (rpd --help has the list) */
    char text[1024]; /* one line, as rpd reported it; without a newline */
};

/* Ensures that the service lives and is bound: then it takes connections, though its state may
 * still be loading. config: the file from which the service is started, with all services in that
 * file; NULL: the library only looks for the service. ret_error may be NULL.
 *
 * Returns 0, or -1. Waits for a start, or for the end of a service that drains: seconds at most, if
 * the plugin keeps its deadlines. */
RPD_API RPD_MUST_CHECK int rpd_ensure(const char *config, const char *service,
                                      struct rpd_client_error *ret_error);

/* Does what rpd_ensure() does, then connects to the first of the service's endpoints that accepts a
 * connection, unix endpoints first. If a backlog is full, the call waits. timeout_ms: for the whole
 * call; -1: none.
 *
 * Returns a blocking, close-on-exec stream socket, which belongs to the caller; or -1. */
RPD_API RPD_MUST_CHECK int rpd_connect(const char *config, const char *service, int timeout_ms,
                                       struct rpd_client_error *ret_error);

/* ---- without waiting -------------------------------------------------------------------
 *
 * For a program with an event loop. It waits until one descriptor is readable, and takes a step
 * each time:
 *
 *     struct rpd_connecting *connecting = rpd_connect_start(config, "index", 5000);
 *
 *     poll for POLLIN on rpd_connect_fd(connecting), then
 *     fd = rpd_connect_step(connecting, &error);
 *     if (fd == RPD_CONNECT_AGAIN)
 *         poll again
 *     else
 *         rpd_connect_free(connecting), and fd is a socket, or -1
 *
 * No step waits for the service, for a start or for a backlog. A step reads files of the run-time
 * directory and, if a start is needed, starts a process. Only one thread at a time may use a struct
 * rpd_connecting. */
struct rpd_connecting;

enum { RPD_CONNECT_AGAIN = -2 };

/* Like rpd_connect(); the texts are copied. Returns NULL and errno if memory or descriptors have
 * run out, or (EINVAL) if service is NULL. */
RPD_API RPD_MUST_CHECK struct rpd_connecting *
rpd_connect_start(const char *config, const char *service, int timeout_ms);

/* The descriptor is readable when a step can be taken: at once for the first step, and when the
 * time-out has passed. It belongs to rpd_connecting. */
RPD_API int rpd_connect_fd(const struct rpd_connecting *connecting);

/* Returns a blocking, close-on-exec stream socket, which belongs to the caller; RPD_CONNECT_AGAIN;
 * or -1, with the error: then, as with a socket, there is no further step. ret_error may be
 * NULL. */
RPD_API RPD_MUST_CHECK int rpd_connect_step(struct rpd_connecting *connecting,
                                            struct rpd_client_error *ret_error);

/* May be called at any time; a start that has begun continues. NULL is allowed. */
RPD_API void rpd_connect_free(struct rpd_connecting *connecting);

RPD_END
#endif
