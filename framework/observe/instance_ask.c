/* Asking an instance whose loop rests. See instance_ask.h. */
#include "observe/instance_ask.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TICK_MS = 10 };

/* False: it cannot be connected to now. */
static bool connect_to(int fd, const struct sockaddr_un *address, uint64_t deadline_us)
{
    while (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
        /* Its queue is full: others ask it, too. */
        if (errno != EAGAIN || clock_us() >= deadline_us)
            return false;
        poll(NULL, 0, TICK_MS);
    }
    return true;
}

/* Its end is an answer, too. */
static bool hears(int fd, uint64_t deadline_us)
{
    struct pollfd answer = {.fd = fd, .events = POLLIN};
    int ready;

    do
        ready = poll(&answer, 1, clock_ms_until(deadline_us));
    while (ready < 0 && errno == EINTR);
    return ready != 0;
}

static bool is_stuck(const struct sockaddr_un *address)
{
    static const char request[] = "{\"v\":1,\"id\":1,\"do\":\"ping\"}\n";
    const uint64_t deadline_us = clock_us() + RPD_STATE_STALL_US;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stuck = false;

    if (fd < 0)
        return false;
    if (!connect_to(fd, address, deadline_us))
        stuck = errno == EAGAIN;
    else if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1)
        stuck = !hears(fd, deadline_us);
    close(fd);
    return stuck;
}

void instance_ask(struct instance *instance)
{
    const char *path = instance->has_record ? instance->record.control : NULL;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (instance->verdict != STATE_ALIVE || instance->page.turned_us != RPD_STATE_RESTS || !path ||
        *path != '/' || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (is_stuck(&address))
        instance->verdict = STATE_STALLED;
}
