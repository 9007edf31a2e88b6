/* LISTEN_FDS. See adopt.h. */
#include "endpoint/adopt.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FIRST_FD = 3,
    SOCKETS_MAX = 1024,
    TURNED_AWAY_MAX = 65536, /* of one listener: others may connect as fast as we accept */
    SEEN_OFF_READS = 16
};

struct adopted {
    int fd; /* -1: taken */
    char name[256];
};

static long number_in(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    long number = text ? strtol(text, &end, 10) : -1;

    return text && *text && !*end ? number : -1;
}

static void read_names(struct adoption *adoption)
{
    const char *names = getenv("LISTEN_FDNAMES");

    for (size_t i = 0; names && i < adoption->count; i++) {
        const size_t length = strcspn(names, ":");

        snprintf(adoption->sockets[i].name, sizeof adoption->sockets[i].name, "%.*s", (int)length,
                 names);
        names = names[length] ? names + length + 1 : NULL;
    }
}

/* Not an error: under a wrapper it may be meant for the wrapper. */
static void warn_of_others(long count)
{
    if (getenv("LISTEN_FDS") && count > 0)
        log_line(
            RPD_LOG_WARNING, NULL,
            "LISTEN_FDS=%ld is for process %s (LISTEN_PID), not for this one (%d): no listener "
            "is taken over; a wrapper starts rpd by exec, so that it keeps its pid",
            count, getenv("LISTEN_PID") ? getenv("LISTEN_PID") : "no process", (int)getpid());
}

int adoption_begin(struct adoption *adoption, struct error *error)
{
    const long count = number_in("LISTEN_FDS");
    const bool ours = number_in("LISTEN_PID") == getpid() && count > 0;

    *adoption = (struct adoption){0};
    if (!ours)
        warn_of_others(count);
    if (ours && count > SOCKETS_MAX)
        return error_set(error, EXIT_CONFIG, "bind", "LISTEN_FDS",
                         "%ld sockets are too many; pass fewer", count);
    if (ours) {
        adoption->sockets = calloc((size_t)count, sizeof *adoption->sockets);
        if (!adoption->sockets)
            return error_set(error, EXIT_SYSTEM, "bind", "LISTEN_FDS", "out of memory");
        adoption->count = (size_t)count;
        for (size_t i = 0; i < adoption->count; i++)
            adoption->sockets[i].fd = FIRST_FD + (int)i;
        read_names(adoption);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return 0;
}

static bool matches(const struct adopted *adopted, const struct rpd_endpoint *endpoint,
                    const char *name)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    return adopted->fd >= 0 && (!name || strcmp(adopted->name, name) == 0) &&
           getsockname(adopted->fd, (struct sockaddr *)&address, &length) == 0 &&
           endpoint_is(endpoint, (struct sockaddr *)&address, length);
}

int adoption_take(struct adoption *adoption, const struct rpd_endpoint *endpoint, const char *name)
{
    for (size_t i = 0; i < adoption->count; i++) {
        struct adopted *adopted = &adoption->sockets[i];
        const int fd = adopted->fd;

        if (!matches(adopted, endpoint, name))
            continue;
        adopted->fd = -1;
        return fd;
    }
    return -1;
}

int adoption_end(const struct adoption *adoption, struct error *error)
{
    for (size_t i = 0; i < adoption->count; i++) {
        const struct adopted *adopted = &adoption->sockets[i];
        struct sockaddr_storage address = {0};
        socklen_t length = sizeof address;
        char object[64], text[ENDPOINT_TEXT_MAX] = "not a socket";

        if (adopted->fd < 0)
            continue;
        if (getsockname(adopted->fd, (struct sockaddr *)&address, &length) == 0)
            endpoint_format((struct sockaddr *)&address, length, text);
        snprintf(object, sizeof object, "inherited descriptor %d", adopted->fd);
        return error_set(error, EXIT_CONFIG, "bind", object,
                         "no service listens on %s; add it to a service's \"listen\", or take it "
                         "out of the socket unit",
                         text);
    }
    return 0;
}

bool adoption_is_hopeless(int code)
{
    static const enum exit_code codes[] = {EXIT_COMMAND_LINE, EXIT_PLUGIN,  EXIT_MISSING_FILE,
                                           EXIT_RECORD,       EXIT_RUNNING, EXIT_SECURITY,
                                           EXIT_CONFIG};

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (code == (int)codes[i])
            return true;
    return false;
}

/* What the client has sent is read, or it would get a reset in place of an end of file. */
static void see_off(int fd)
{
    char bytes[4096];

    shutdown(fd, SHUT_WR);
    for (int reads = 0; reads < SEEN_OFF_READS; reads++)
        if (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0)
            break;
    close(fd);
}

void adoption_turn_away(int listener_fd)
{
    const int flags = fcntl(listener_fd, F_GETFL);

    /* It may block, as a process that shares it may be quicker. */
    if (flags < 0 || fcntl(listener_fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return;
    for (int i = 0; i < TURNED_AWAY_MAX; i++) {
        const int fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            return;
        if (fd >= 0)
            see_off(fd);
    }
}

void adoption_turn_all_away(const struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->count; i++)
        if (adoption->sockets[i].fd >= 0)
            adoption_turn_away(adoption->sockets[i].fd);
}

void adoption_turn_away_early(void)
{
    struct adoption adoption;
    struct error error;

    if (adoption_begin(&adoption, &error) < 0)
        return;
    adoption_turn_all_away(&adoption);
    adoption_finish(&adoption);
}

void adoption_finish(struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->count; i++)
        if (adoption->sockets[i].fd >= 0)
            close(adoption->sockets[i].fd);
    free(adoption->sockets);
    *adoption = (struct adoption){0};
}
