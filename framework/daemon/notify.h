/* Telling whoever started us: systemd's sd_notify protocol on $NOTIFY_SOCKET,
 * and a newline on --notify-fd in the way of s6. Functions here are [start] or
 * [loop]; what cannot be delivered is not worth stopping for. */
#ifndef FRAMEWORK_NOTIFY_H
#define FRAMEWORK_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct notify {
    int socket;   /* to systemd, or -1 */
    int ready_fd; /* -1: not given, or used */
    bool told;    /* READY=1 has been sent */
};

/* take_ready_fd: -1, or what --notify-fd names. Takes NOTIFY_SOCKET out of the
 * environment: a plugin's children must not speak for us. */
void notify_init(struct notify *notify, int take_ready_fd);

/* READY=1, and the newline, the first time it is called. */
void notify_ready(struct notify *notify);

void notify_status(struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The manager's time-out for what is under way begins anew, with this length. */
void notify_extend(const struct notify *notify, uint64_t patience_us);
void notify_stopping(struct notify *notify);
void notify_finish(struct notify *notify);

#endif
