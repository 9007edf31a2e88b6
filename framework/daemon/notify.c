/* sd_notify and the notification descriptor. See notify.h. */
#include "daemon/notify.h"

#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to_manager(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t length = strlen(path);
    int fd;

    if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void notify_init(struct notify *notify, int take_ready_fd)
{
    const char *path = getenv("NOTIFY_SOCKET");

    notify->ready_fd = take_ready_fd;
    notify->told = false;
    notify->socket = path ? connect_to_manager(path) : -1;
    if (path)
        unsetenv("NOTIFY_SOCKET");
}

static void tell_manager(const struct notify *notify, const char *message)
{
    if (notify->socket >= 0)
        send(notify->socket, message, strlen(message), MSG_NOSIGNAL);
}

void notify_ready(struct notify *notify)
{
    struct pollfd room = {.fd = notify->ready_fd, .events = POLLOUT};

    if (notify->told)
        return;
    notify->told = true;
    tell_manager(notify, "READY=1");
    if (notify->ready_fd < 0)
        return;
    /* (A pipe that is full has been told enough.) */
    if (poll(&room, 1, 0) > 0 && write(notify->ready_fd, "\n", 1) < 0) {
        /* the reader has gone */
    }
    close(notify->ready_fd);
    notify->ready_fd = -1;
}

void notify_status(struct notify *notify, const char *format, ...)
{
    char message[512] = "STATUS=";
    va_list arguments;

    if (notify->socket < 0)
        return;
    va_start(arguments, format);
    vsnprintf(message + 7, sizeof message - 7, format, arguments);
    va_end(arguments);
    tell_manager(notify, message);
}

void notify_extend(const struct notify *notify, uint64_t patience_us)
{
    char message[64];

    snprintf(message, sizeof message, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)patience_us);
    tell_manager(notify, message);
}

void notify_stopping(struct notify *notify)
{
    tell_manager(notify, "STOPPING=1");
}

void notify_finish(struct notify *notify)
{
    if (notify->socket >= 0)
        close(notify->socket);
    if (notify->ready_fd >= 0)
        close(notify->ready_fd);
    notify->socket = notify->ready_fd = -1;
}
