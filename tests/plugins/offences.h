/* Acts that a plugin must not do to its own process, each with its name. */
#ifndef TESTS_PLUGINS_OFFENCES_H
#define TESTS_PLUGINS_OFFENCES_H

#include "acts.h"

#include <rpd/backend.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* The child returns, as if it were the daemon. */
static inline void fork_and_return(void)
{
    const pid_t child = fork();
    char line[64];
    int status = 0;

    if (child <= 0)
        return;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    snprintf(line, sizeof line, "test: the child ended with %d\n", WEXITSTATUS(status));
    say(line);
}

/* Whether the descriptor is what the word means: "tcp"; "unix:" and part of a listener's address;
 * or part of its link in /proc. */
static inline bool is_of(int fd, const char *word)
{
    struct sockaddr_un address = {.sun_family = AF_UNSPEC};
    socklen_t length = sizeof address - 1;
    char path[64], target[512] = "";
    int listens = 0;
    socklen_t size = sizeof listens;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, target, sizeof target - 1) > 0 && strncmp(target, "socket:", 7) != 0)
        return strstr(target, word);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens &&
           getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
           ((address.sun_family == AF_UNIX && strncmp(word, "unix:", 5) == 0 &&
             strstr(address.sun_path, word + 5)) ||
            (address.sun_family == AF_INET && strcmp(word, "tcp") == 0));
}

static inline void close_all_of(const char *word)
{
    for (int fd = 3; fd < 256; fd++)
        if (is_of(fd, word))
            close(fd);
}

static inline void change_signals(void)
{
    sigset_t terminate;

    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &terminate, NULL);
    signal(SIGTERM, SIG_IGN);
}

/* With a connection that does not exist: each call must notice that before it uses it. */
static inline void call_what_is_the_loops(const struct rpd_service *service)
{
    struct rpd_conn *conn = (struct rpd_conn *)(uintptr_t)8;
    struct rpd_service *changed = (struct rpd_service *)(uintptr_t)service;
    struct rpd_span line;
    int wrong = 0;

    for (int twice = 0; twice < 2; twice++) {
        wrong += rpd_conn_write(conn, "x", 1) != -1;
        wrong += rpd_conn_printf(conn, "x") != -1;
        wrong += rpd_conn_input(conn).size != 0;
        wrong += rpd_conn_read_line(conn, &line);
        wrong += rpd_conn_read_frame(conn, RPD_FRAME_U8, 0, &line) != -1 || errno != EPERM;
        wrong += rpd_conn_write_frame(conn, RPD_FRAME_U8, "x", 1) != -1;
        wrong += rpd_job_submit(changed, NULL, NULL, NULL) != -1;
        wrong += !rpd_service_event_base(service);
        rpd_conn_consume(conn, 1);
        rpd_conn_pause(conn);
        rpd_conn_resume(conn);
        rpd_conn_finish(conn);
        rpd_conn_abort(conn);
        rpd_conn_keep(conn);
        rpd_conn_release(conn);
        rpd_conn_set_data(conn, NULL);
        rpd_client_gone(changed, 0);
    }
    say(wrong ? "test: it was not refused\n" : "test: it was refused\n");
}

/* As in a plugin written in C++. */
static inline void throw_something(void)
{
    void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_GLOBAL);
    void *(*allocate)(size_t) = NULL;
    void (*throw)(void *, void *, void (*)(void *)) = NULL;

    if (!library)
        return;
    *(void **)&allocate = dlsym(library, "__cxa_allocate_exception");
    *(void **)&throw = dlsym(library, "__cxa_throw");
    throw(allocate(sizeof(int)), dlsym(library, "_ZTIi"), NULL);
}

/* Only once, because a load is retried. */
static inline void leave_thread(void)
{
    static bool has_left;

    if (has_left)
        return;
    has_left = true;
    pthread_exit(NULL);
}

/* Legal acts that look similar: a child that does not return; signals and descriptors of the
 * plugin's own. */
static inline void do_no_harm(void)
{
    const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t all, before;
    const pid_t child = fork();

    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    if (fd >= 0)
        close(fd);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    signal(SIGUSR1, SIG_IGN);
}

/* False: there is no act with this name. */
static inline bool offend(const struct rpd_service *service, const char *what)
{
    if (strcmp(what, "fork") == 0)
        fork_and_return();
    else if (strcmp(what, "signals") == 0)
        change_signals();
    else if (strcmp(what, "foreign") == 0)
        call_what_is_the_loops(service);
    else if (strcmp(what, "leave") == 0)
        leave_thread();
    else if (strcmp(what, "throw") == 0)
        throw_something();
    else if (strncmp(what, "close:", 6) == 0)
        close_all_of(what + 6);
    else if (strcmp(what, "nothing") == 0)
        do_no_harm();
    else
        return false;
    return true;
}

#endif
