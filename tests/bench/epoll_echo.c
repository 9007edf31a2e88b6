/* A good echo server written by hand: one thread, level-triggered epoll, one buffer, written at
 * once. tests/bench/echo compares rpd with it. It takes the same arguments: epoll_echo [anything]
 * -l unix:PATH [--notify-fd N] */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
    int fd;
    bool writing; /* EPOLLOUT instead of EPOLLIN: output waits */
    char *rest;
    size_t done, size;
};

static int epoll_fd;
static char buffer[65536];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "epoll_echo: %s: %s\n", what, strerror(errno));
    exit(71);
}

static void drop(struct client *client)
{
    close(client->fd);
    free(client->rest);
    free(client);
}

static void watch(struct client *client, bool writing)
{
    struct epoll_event event = {.events = writing ? EPOLLOUT : EPOLLIN, .data.ptr = client};

    client->writing = writing;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client->fd, &event) != 0)
        fail("epoll_ctl");
}

static void on_writable(struct client *client)
{
    const ssize_t sent = send(client->fd, client->rest + client->done, client->size - client->done,
                              MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop(client);
        return;
    }
    client->done += sent > 0 ? (size_t)sent : 0;
    if (client->done < client->size)
        return;
    free(client->rest);
    client->rest = NULL;
    watch(client, false);
}

static void on_readable(struct client *client)
{
    const ssize_t got = read(client->fd, buffer, sizeof buffer);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(client);
        return;
    }
    ssize_t sent = send(client->fd, buffer, (size_t)got, MSG_NOSIGNAL);
    if (sent == got)
        return;
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop(client);
        return;
    }
    if (sent < 0)
        sent = 0;
    client->done = 0;
    client->size = (size_t)(got - sent);
    client->rest = malloc(client->size);
    if (!client->rest)
        fail("malloc");
    memcpy(client->rest, buffer + sent, client->size);
    watch(client, true);
}

static void on_accept(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *client = calloc(1, sizeof *client);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        if (!client)
            fail("calloc");
        client->fd = fd;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
            fail("epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        fail("accept");
}

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void begin_waiting_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        fail("pthread_create");
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = NULL;
    int notify_fd = -1;
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "-l") == 0 && strncmp(argv[i + 1], "unix:", 5) == 0)
            path = argv[++i] + 5;
        else if (strcmp(argv[i], "--notify-fd") == 0)
            notify_fd = atoi(argv[++i]);
    }
    if (strcmp(argv[argc - 1], "--thread") == 0)
        begin_waiting_thread();
    if (!path || strlen(path) >= sizeof address.sun_path)
        return 64;
    memcpy(address.sun_path, path, strlen(path) + 1);

    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, SOMAXCONN) != 0)
        fail(path);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event first = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &first) != 0)
        fail("epoll");
    if (notify_fd >= 0) {
        if (write(notify_fd, "\n", 1) != 1)
            fail("notify-fd");
        close(notify_fd);
    }

    for (;;) {
        struct epoll_event events[64];
        const int count = epoll_wait(epoll_fd, events, 64, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!client)
                on_accept(listener);
            else if (client->writing)
                on_writable(client);
            else
                on_readable(client);
        }
    }
}
