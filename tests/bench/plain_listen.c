/* A daemon as it is usually written: it listens, loads for LOAD_S seconds, and only then accepts.
 * Clients wait in the kernel's queue, whose length is listen()'s backlog; clients beyond it are
 * turned away. tests/bench/warmup compares waiting at rpd with it. It answers one line of each
 * client as samples/slow_start.c does, one client after the other, until it is killed.
 *
 *     plain_listen PATH BACKLOG LOAD_S --notify-fd N */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int listen_at(const char *path, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    return listen(fd, backlog) == 0 ? fd : -1;
}

static void sleep_s(double seconds)
{
    const struct timespec time = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&time, NULL);
}

static void answer(int client, double load_s)
{
    char line[128], text[256];
    const ssize_t size = read(client, line, sizeof line);

    if (size > 0 && line[size - 1] == '\n') {
        const int length = snprintf(text, sizeof text, "%.*s: loaded in %g s\n", (int)size - 1,
                                    line, load_s);
        if (send(client, text, (size_t)length, MSG_NOSIGNAL) < 0)
            perror("plain_listen: send");
    }
    close(client);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 64;
    const double load_s = strtod(argv[3], NULL);
    const int listener = listen_at(argv[1], atoi(argv[2]));
    const int notify_fd = atoi(argv[5]);
    if (listener < 0 || write(notify_fd, "\n", 1) != 1) {
        perror("plain_listen");
        return 71;
    }
    close(notify_fd);
    sleep_s(load_s);
    for (int client; (client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
        answer(client, load_s);
    perror("plain_listen: accept");
    return 71;
}
