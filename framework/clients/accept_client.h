/* Accepting one client, whatever error the kernel, a firewall or a sandbox returns. */
#ifndef FRAMEWORK_ACCEPT_CLIENT_H
#define FRAMEWORK_ACCEPT_CLIENT_H

#include <stdbool.h>
#include <sys/socket.h>

/* What is known of a listener's errors. Starts as all zeros. */
struct accept_errors {
    unsigned in_a_row;
    bool has_no_accept4; /* a sandbox denies it: accept() and fcntl() do its work */
};

/* [loop] A client's descriptor, non-blocking and close-on-exec. -1 and errno. */
int accept_client(struct accept_errors *errors, int fd, struct sockaddr *ret_peer,
                  socklen_t *ret_size);

/* [loop] Whether that error concerned a client that left while it was queued: the next client may
 * be fine. False for an error that comes again and again: it concerns the listener, or the
 * process. */
bool accept_can_go_on(const struct accept_errors *errors, int error_number);

#endif
