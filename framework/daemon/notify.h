/* Notifies the process that started us: by systemd's sd_notify protocol on $NOTIFY_SOCKET, its
 * watchdog in $WATCHDOG_USEC, and a newline on --notify-fd in the style of s6. Functions here are
 * [start] or [loop].
 *
 * Only notify_finish() waits for the manager. If the manager has no room for a message, the message
 * is kept and sent with the next one, or by notify_again(), until it arrives. This holds for the
 * messages that we are ready and that we stop; of status and time-out, only the latest is kept. */
#ifndef FRAMEWORK_NOTIFY_H
#define FRAMEWORK_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { NOTIFY_STATUS_MAX = 512 };

struct notify {
    int socket; /* to systemd, or -1 */
    struct sockaddr_un address;
    socklen_t address_length;
    int ready_fd; /* -1: not given, or used */
    bool told;    /* READY=1 has been sent, or will be */
    /* What is still to be sent: */
    bool owes_ready, owes_stopping, owes_status;
    uint64_t reloading_us; /* 0: nothing */
    uint64_t extend_us;    /* 0: nothing */
    char status[NOTIFY_STATUS_MAX];
    /* The manager's watchdog: */
    uint64_t watchdog_us, pinged_us; /* 0: it has none */
    bool relays; /* in a keeper: the serving runner reports that its loop turns */
};

/* take_ready_fd: the descriptor that --notify-fd names, or -1. Removes NOTIFY_SOCKET,
 * WATCHDOG_USEC and WATCHDOG_PID from the environment, because a plugin's children must not send
 * notifications in our name. */
void notify_init(struct notify *notify, int take_ready_fd);

/* In a runner: sends to its keeper over a connected socket, and takes ownership of the socket. */
void notify_init_runner(struct notify *notify, int take_socket, uint64_t watchdog_us);

/* [loop] In a keeper: passes on a message of its runner. */
void notify_relay(struct notify *notify, const char *text);

/* Sends READY=1 and the newline the first time it is called. */
void notify_ready(struct notify *notify);

void notify_status(struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Restarts the manager's time-out for the current operation, with this length. */
void notify_extend(struct notify *notify, uint64_t patience_us);
void notify_stopping(struct notify *notify);

/* [loop] Another configuration, or generation, takes over now; and it has. */
void notify_reloading(struct notify *notify);
void notify_reloaded(struct notify *notify);

/* [loop] Call when the loop turns. Sends pending messages if there is room now, and notifies the
 * watchdog three times in its period. */
void notify_turn(struct notify *notify, uint64_t now_us);

/* [loop] The time until which the manager needs nothing from us: at most half of its watchdog's
 * period ahead. 0: a message is pending now. */
uint64_t notify_rests_until_us(const struct notify *notify);

/* Waits up to that long for the manager to take the messages that must arrive. */
void notify_finish(struct notify *notify, int patience_ms);

#endif
