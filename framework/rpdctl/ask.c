/* Asking over the control socket. See ask.h. */
#include "rpdctl/ask.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 1 << 20, TICK_MS = 10, TRIES = 500 };

/* Its queue may be full for a moment. */
static bool connect_to(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    for (int i = 0; i < TRIES; i++) {
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
            return true;
        if (errno != EAGAIN && errno != EINTR)
            return false;
        poll(NULL, 0, TICK_MS);
    }
    return false;
}

static char *read_line(int fd)
{
    char *text = malloc(ANSWER_MAX), *end = NULL;
    size_t used = 0;
    ssize_t got = text ? 1 : 0;

    while (got > 0 && used < ANSWER_MAX && !end) {
        do
            got = read(fd, text + used, ANSWER_MAX - used);
        while (got < 0 && errno == EINTR);
        if (got > 0) {
            end = memchr(text + used, '\n', (size_t)got);
            used += (size_t)got;
        }
    }
    if (!end) {
        free(text);
        return NULL;
    }
    *end = '\0';
    return text;
}

char *rpdctl_ask(const char *control_path, const char *line)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const size_t size = strlen(line);
    char *answer = NULL;

    if (fd < 0)
        return NULL;
    if (connect_to(fd, control_path) && send(fd, line, size, MSG_NOSIGNAL) == (ssize_t)size)
        answer = read_line(fd);
    close(fd);
    return answer;
}
