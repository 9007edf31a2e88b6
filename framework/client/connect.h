/* Connects to an endpoint, in the form that a record has. libc only. */
#ifndef FRAMEWORK_CLIENT_CONNECT_H
#define FRAMEWORK_CLIENT_CONNECT_H

#include <stdint.h>

/* [any] unix:/path, unix:@abstract, tcp:1.2.3.4:5, tcp:[::1]:5. If the backlog is full, the kernel
 * wakes us when there is room. Returns a blocking socket; or -1 and errno: ETIMEDOUT, EINVAL for a
 * text that is no endpoint, or what connect() says. deadline_us: of CLOCK_MONOTONIC; UINT64_MAX:
 * none. */
int client_connect(const char *endpoint, uint64_t deadline_us);

/* [any] Connects without waiting: the socket is non-blocking. *ret_cause is 0 if it is connected.
 * EINPROGRESS: wait until it is writable, then client_connect_cause() returns the result. EAGAIN:
 * the backlog is full and there is no socket; try again a little later. Any other value is the
 * errno of connect(). */
int client_connect_start(const char *endpoint, int *ret_cause);
int client_connect_cause(int fd);

#endif
