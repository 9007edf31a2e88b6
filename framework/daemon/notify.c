/* sd_notify and the notification descriptor. See notify.h. */
#include "daemon/notify.h"

#include "base/clock.h"
#include "base/safe_text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_MAX = NOTIFY_STATUS_MAX + 128, REST_MS = 10 };

/* ---- the manager's socket ------------------------------------------------------- */

static bool take_address(struct notify *notify, const char *path)
{
    const size_t length = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || length >= sizeof notify->address.sun_path)
        return false;
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, path, length);
    if (path[0] == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

static bool connect_to_manager(const struct notify *notify)
{
    return connect(notify->socket, (const struct sockaddr *)&notify->address,
                   notify->address_length) == 0;
}

static void open_socket(struct notify *notify, const char *path)
{
    if (!take_address(notify, path))
        return;
    notify->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->socket >= 0 && !connect_to_manager(notify)) {
        close(notify->socket);
        notify->socket = -1;
    }
}

/* A number of microseconds, if it is meant for this process. */
static uint64_t watchdog_period_us(void)
{
    const char *pid = getenv("WATCHDOG_PID"), *period = getenv("WATCHDOG_USEC");
    char *end;
    unsigned long long us;

    if (!period || *period < '0' || *period > '9' || (pid && strtol(pid, NULL, 10) != getpid()))
        return 0;
    errno = 0;
    us = strtoull(period, &end, 10);
    return *end || errno ? 0 : us;
}

void notify_init(struct notify *notify, int take_ready_fd)
{
    const char *path = getenv("NOTIFY_SOCKET");

    *notify = (struct notify){.socket = -1, .ready_fd = take_ready_fd};
    if (path)
        open_socket(notify, path);
    notify->watchdog_us = watchdog_period_us();
    if (path)
        unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
}

void notify_init_runner(struct notify *notify, int take_socket, uint64_t watchdog_us)
{
    *notify = (struct notify){.socket = take_socket, .ready_fd = -1, .watchdog_us = watchdog_us};
}

/* ---- messages ---------------------------------------------------------------------- */

/* True: the message has arrived, or never will. A manager that was started anew listens on the same
 * path with another socket. */
static bool send_message(const struct notify *notify, const char *message)
{
    ssize_t sent = send(notify->socket, message, strlen(message), MSG_NOSIGNAL);

    if (sent < 0 && (errno == ECONNREFUSED || errno == ENOTCONN) && connect_to_manager(notify))
        sent = send(notify->socket, message, strlen(message), MSG_NOSIGNAL);
    return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM &&
                         errno != ECONNREFUSED && errno != ENOTCONN && errno != ENOENT);
}

static bool owes_anything(const struct notify *notify)
{
    return notify->reloading_us > 0 || notify->owes_ready || notify->owes_stopping ||
           notify->owes_status || notify->extend_us > 0;
}

/* Sends all in one message, so that the notices arrive in the order in which they arose. */
static void send_owed(struct notify *notify)
{
    char message[MESSAGE_MAX], extend[64] = "", reloading[64] = "";
    size_t length;

    if (notify->socket < 0 || !owes_anything(notify))
        return;
    if (notify->extend_us > 0)
        snprintf(extend, sizeof extend, "EXTEND_TIMEOUT_USEC=%llu\n",
                 (unsigned long long)notify->extend_us);
    if (notify->reloading_us > 0)
        snprintf(reloading, sizeof reloading, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
                 (unsigned long long)notify->reloading_us);
    snprintf(message, sizeof message, "%s%s%s%s%s%s", reloading,
             notify->owes_ready ? "READY=1\n" : "", notify->owes_stopping ? "STOPPING=1\n" : "",
             extend, notify->owes_status ? "STATUS=" : "",
             notify->owes_status ? notify->status : "");
    length = strlen(message);
    if (message[length - 1] == '\n')
        message[length - 1] = '\0';
    if (!send_message(notify, message))
        return;
    notify->owes_ready = notify->owes_stopping = notify->owes_status = false;
    notify->extend_us = notify->reloading_us = 0;
}

static void write_ready_fd(struct notify *notify)
{
    struct pollfd room = {.fd = notify->ready_fd, .events = POLLOUT};

    if (notify->ready_fd < 0)
        return;
    /* A full pipe holds enough already. */
    if (poll(&room, 1, 0) > 0 && write(notify->ready_fd, "\n", 1) < 0) {
        /* the reader has gone */
    }
    close(notify->ready_fd);
    notify->ready_fd = -1;
}

void notify_ready(struct notify *notify)
{
    if (notify->told)
        return;
    notify->told = notify->owes_ready = true;
    send_owed(notify);
    write_ready_fd(notify);
}

/* The text may contain what a plugin reports: a line's end would begin another message to the
 * manager, which also takes no status that is not UTF-8. */
static void make_one_line(char *text)
{
    while (*text) {
        bool is_control;
        const size_t size = safe_text_character(text, &is_control);

        is_control |= size == 1 && (*text & 0x80);
        for (size_t i = 0; is_control && i < size; i++)
            text[i] = '?';
        text += size;
    }
}

void notify_status(struct notify *notify, const char *format, ...)
{
    va_list arguments;

    if (notify->socket < 0)
        return;
    va_start(arguments, format);
    vsnprintf(notify->status, sizeof notify->status, format, arguments);
    va_end(arguments);
    make_one_line(notify->status);
    notify->owes_status = true;
    send_owed(notify);
}

void notify_extend(struct notify *notify, uint64_t patience_us)
{
    notify->extend_us = patience_us;
    send_owed(notify);
}

void notify_stopping(struct notify *notify)
{
    notify->owes_stopping = true;
    send_owed(notify);
}

/* READY=1 ends it, and comes only if the start was complete. */
void notify_reloading(struct notify *notify)
{
    if (!notify->told || notify->owes_ready)
        return;
    notify->reloading_us = clock_us();
    send_owed(notify);
}

void notify_reloaded(struct notify *notify)
{
    if (!notify->told)
        return;
    if (notify->reloading_us > 0) { /* the manager has not heard of it: it need not hear the end */
        notify->reloading_us = 0;
        return;
    }
    notify->owes_ready = true;
    send_owed(notify);
}

/* ---- from time to time --------------------------------------------------------------- */

static void ping(struct notify *notify, uint64_t now_us)
{
    if (notify->socket < 0 || notify->watchdog_us == 0 || notify->relays ||
        now_us - notify->pinged_us < notify->watchdog_us / 3)
        return;
    if (send_message(notify, "WATCHDOG=1"))
        notify->pinged_us = now_us;
}

void notify_turn(struct notify *notify, uint64_t now_us)
{
    send_owed(notify);
    ping(notify, now_us);
}

/* ---- what a runner says ------------------------------------------------------------------ */

static void relay_line(struct notify *notify, char *line)
{
    static const char status[] = "STATUS=", extend[] = "EXTEND_TIMEOUT_USEC=";

    if (strcmp(line, "READY=1") == 0)
        notify_ready(notify);
    else if (strncmp(line, status, sizeof status - 1) == 0)
        notify_status(notify, "%s", line + sizeof status - 1);
    else if (strncmp(line, extend, sizeof extend - 1) == 0 && !notify->told)
        notify_extend(notify, strtoull(line + sizeof extend - 1, NULL, 10));
    else if (strcmp(line, "WATCHDOG=1") == 0 && notify->socket >= 0 && notify->watchdog_us > 0)
        send_message(notify, line);
}

/* The keeper itself reports that it stops. */
void notify_relay(struct notify *notify, const char *text)
{
    char lines[MESSAGE_MAX], *rest = lines;

    snprintf(lines, sizeof lines, "%s", text);
    for (char *line; (line = strsep(&rest, "\n"));)
        relay_line(notify, line);
}

uint64_t notify_rests_until_us(const struct notify *notify)
{
    if (notify->socket < 0)
        return UINT64_MAX;
    if (owes_anything(notify))
        return 0;
    if (notify->relays)
        return UINT64_MAX;
    return notify->watchdog_us > 0 ? notify->pinged_us + notify->watchdog_us / 2 : UINT64_MAX;
}

static void wait_until_taken(struct notify *notify, int patience_ms)
{
    const uint64_t until_us = clock_us() + (uint64_t)patience_ms * 1000;
    struct pollfd room = {.fd = notify->socket, .events = POLLOUT};

    while ((notify->owes_ready || notify->owes_stopping) && clock_us() < until_us) {
        /* Other processes may fill the socket again, or there is no manager any more. */
        if (poll(&room, 1, clock_ms_until(until_us)) > 0)
            poll(NULL, 0, REST_MS);
        send_owed(notify);
    }
}

void notify_finish(struct notify *notify, int patience_ms)
{
    if (notify->socket >= 0) {
        wait_until_taken(notify, patience_ms);
        close(notify->socket);
    }
    if (notify->ready_fd >= 0)
        close(notify->ready_fd);
    notify->socket = notify->ready_fd = -1;
}
