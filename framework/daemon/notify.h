/* What the process that started us learns: systemd's sd_notify protocol on $NOTIFY_SOCKET, its
 * watchdog
 * ($WATCHDOG_USEC), and a newline on --notify-fd in the way of s6. Functions here are [start] or
 * [loop].
 *
 * Nothing here waits for the manager but notify_finish(). What it has no room for is kept and
 * sent with the next message, or by notify_again(), until it arrives: that we are ready, or stop,
 * at all; of status and time-out the last word. */
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
    bool told;    /* READY=1 is said, and has been sent or will be */
    /* What is still to be sent: */
    bool owes_ready, owes_stopping, owes_status;
    uint64_t extend_us; /* 0: nothing */
    char status[NOTIFY_STATUS_MAX];
    /* The manager's watchdog: */
    uint64_t watchdog_us, pinged_us; /* 0: it has none */
};

/* take_ready_fd: -1, or what --notify-fd names. Takes NOTIFY_SOCKET, WATCHDOG_USEC and
 * WATCHDOG_PID out of the environment: a plugin's children must not speak for us. */
void notify_init(struct notify *notify, int take_ready_fd);

/* READY=1, and the newline, the first time it is called. */
void notify_ready(struct notify *notify);

void notify_status(struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The manager's time-out for what is under way begins anew, with this length. */
void notify_extend(struct notify *notify, uint64_t patience_us);
void notify_stopping(struct notify *notify);

/* [loop] The loop turns: what is owed is sent, if there is room now, and the watchdog hears
 * three times in its period. */
void notify_turn(struct notify *notify, uint64_t now_us);

/* [loop] Until when the manager needs nothing from us, half of its watchdog's period at most; 0:
 * something is owed now. */
uint64_t notify_rests_until_us(const struct notify *notify);

/* Waits that long for the manager to take what must arrive. */
void notify_finish(struct notify *notify, int patience_ms);

#endif
