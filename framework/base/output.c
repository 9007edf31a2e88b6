/* Lines to stderr. See output.h.
 *
 * stderr's own descriptor is left as it is: whether it blocks is a property that
 * it shares with the shell that started us. A pipe is opened a second time. */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A description of the same pipe that does not block; -1: none. */
static atomic_int output_pipe = -1;

void output_open(void)
{
    struct stat status;

    if (fstat(STDERR_FILENO, &status) == 0 && S_ISFIFO(status.st_mode))
        atomic_store(&output_pipe,
                     open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
}

bool output_write(const char *line, size_t size)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    const int pipe = atomic_load(&output_pipe);
    const int saved = errno;
    ssize_t written;

    if (pipe >= 0) {
        written = write(pipe, line, size);
    } else {
        written = send(STDERR_FILENO, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written < 0 && errno == ENOTSOCK && poll(&room, 1, 0) != 0)
            written = write(STDERR_FILENO, line, size);
    }
    errno = saved;
    return written >= 0;
}
