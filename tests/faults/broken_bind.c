/* The usual broken way to own a unix path: probe, unlink, bind, listen. The control of
 * tests/faults/race, which must catch it. It takes rpd's arguments: broken_bind [PLUGIN] -l
 * unix:PATH -n NAME [--notify-fd N]; echoes bytes. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_term(int number)
{
    (void)number;
    stopping = 1;
}

static int fail(const char *step, const char *object)
{
    fprintf(stderr, "rpd: %s: %s: %s\n", step, object, strerror(errno));
    return 71;
}

/* Serves one client at a time: the harness has only one. */
static void serve(int listener, const sigset_t *unblocked)
{
    char buffer[4096];

    while (!stopping) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        if (ppoll(&ready, 1, NULL, unblocked) <= 0)
            continue;
        const int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        ssize_t got;
        ready.fd = fd;
        while (!stopping && ppoll(&ready, 1, NULL, unblocked) > 0 &&
               (got = read(fd, buffer, sizeof buffer)) > 0) {
            if (send(fd, buffer, (size_t)got, MSG_NOSIGNAL) != got)
                break;
        }
        close(fd);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct sockaddr *any = (const struct sockaddr *)&address;
    const char *path = NULL, *name = "broken";
    int notify_fd = -1;
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "-l") == 0 && strncmp(argv[i + 1], "unix:", 5) == 0)
            path = argv[++i] + 5;
        else if (strcmp(argv[i], "-n") == 0)
            name = argv[++i];
        else if (strcmp(argv[i], "--notify-fd") == 0)
            notify_fd = atoi(argv[++i]);
    }
    if (!path || strlen(path) >= sizeof address.sun_path)
        return 64;
    memcpy(address.sun_path, path, strlen(path) + 1);

    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    signal(SIGTERM, on_term);

    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe >= 0 && connect(probe, any, sizeof address) == 0) {
        fprintf(stderr, "rpd: bind: %s: another process has it\n", path);
        return 75;
    }
    close(probe);
    unlink(path);
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, any, sizeof address) != 0)
        return errno == EADDRINUSE ? 75 : fail("bind", path);
    if (listen(listener, SOMAXCONN) != 0)
        return fail("listen", path);

    fprintf(stderr, "rpd: %s: bound unix:%s (pid %d, 0 ms)\n", name, path, (int)getpid());
    if (notify_fd >= 0) {
        if (write(notify_fd, "\n", 1) != 1)
            return fail("notify", "notify-fd");
        close(notify_fd);
    }
    serve(listener, &before);
    unlink(path);
    fprintf(stderr, "rpd: %s: stopped\n", name);
    return 0;
}
