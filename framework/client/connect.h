/* Connecting to an endpoint as a record has it. libc only. */
#ifndef FRAMEWORK_CLIENT_CONNECT_H
#define FRAMEWORK_CLIENT_CONNECT_H

#include <stdint.h>

/* [any] unix:/path, unix:@abstract, tcp:1.2.3.4:5, tcp:[::1]:5. Where the backlog is
 * full the kernel wakes us when there is room. A blocking socket; -1 and errno: ETIMEDOUT,
 * EINVAL for a text that is no endpoint, or what connect() says. deadline_us: of
 * CLOCK_MONOTONIC; UINT64_MAX: none. */
int client_connect(const char *endpoint, uint64_t deadline_us);

/* [any] The same without a wait: the socket does not block. *ret_cause is 0: connected;
 * EINPROGRESS: it will be writable, and client_connect_cause() then says how it went; EAGAIN: the
 * backlog is full, try again in a while (there is no socket then), or what connect() says. */
int client_connect_start(const char *endpoint, int *ret_cause);
int client_connect_cause(int fd);

#endif
