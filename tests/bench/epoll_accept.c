/* The smallest daemon that takes many clients: it accepts them with accept4(), watches with epoll
 * for those that leave, and does nothing else. tests/bench/warmup compares accepting at rpd with
 * it.
 *
 *     epoll_accept PATH BACKLOG --notify-fd N */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EVENTS = 64 };

static int listen_at(const char *path, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    return listen(fd, backlog) == 0 ? fd : -1;
}

static int watch(int epoll_fd, int fd, uint32_t what)
{
    struct epoll_event event = {.events = what, .data.fd = fd};

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int accept_all(int epoll_fd, int listener)
{
    int client;

    while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        if (watch(epoll_fd, client, EPOLLRDHUP | EPOLLET) != 0)
            return -1;
    return errno == EAGAIN ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];

    if (argc != 5)
        return 64;
    const int listener = listen_at(argv[1], atoi(argv[2]));
    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    const int notify_fd = atoi(argv[4]);
    if (listener < 0 || watch(epoll_fd, listener, EPOLLIN) != 0 || write(notify_fd, "\n", 1) != 1) {
        perror("epoll_accept");
        return 71;
    }
    close(notify_fd);
    for (int count; (count = epoll_wait(epoll_fd, events, EVENTS, -1)) >= 0;)
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd != listener)
                close(events[i].data.fd);
            else if (accept_all(epoll_fd, listener) != 0) {
                perror("epoll_accept: accept");
                return 71;
            }
        }
    perror("epoll_accept: epoll_wait");
    return 71;
}
