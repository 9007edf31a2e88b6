/* librpd-client. See rpd/client.h. It is built from this, client_*.c, and what observers know of a
 * service: libc and nothing else. */
#include <rpd/client.h>

#include "base/clock.h"
#include "base/directory.h"
#include "client/connect.h"
#include "observe/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct request {
    const char *config, *service;
    uint64_t deadline_us; /* of CLOCK_MONOTONIC; UINT64_MAX: none */
    int dirfd;            /* the run-time directory; -1: it is not there yet */
    struct rpd_client_error *error;
};

/* ---- errors ------------------------------------------------------------------------- */

static RPD_PRINTF(3, 4) int fail(struct request *request, int code, const char *format, ...)
{
    va_list arguments;

    request->error->code = code;
    va_start(arguments, format);
    vsnprintf(request->error->text, sizeof request->error->text, format, arguments);
    va_end(arguments);
    return -1;
}

static int time_out(struct request *request, const char *what)
{
    return fail(request, RPD_CLIENT_TIMED_OUT, "client: %s: timed out while %s", request->service,
                what);
}

/* ---- looking -------------------------------------------------------------------------- */

/* Only one of our own: in another's, anybody could say that it lives, and where. */
static void open_directory(struct request *request)
{
    char path[RUNTIME_PATH_MAX];
    struct error error;

    if (request->dirfd < 0)
        directory_find_runtime(path, &request->dirfd, &error);
}

/* Bound, and not on its way out. instance_finish() is due. */
static bool lives(struct request *request, struct instance *ret)
{
    memset(ret, 0, sizeof *ret);
    open_directory(request);
    if (request->dirfd < 0)
        return false;
    instance_look(request->dirfd, request->service, ret);
    return ret->verdict != STATE_DEAD && ret->has_record && *ret->page.magic &&
           ret->page.phase > RPD_PHASE_STARTING && ret->page.phase < RPD_PHASE_DRAINING;
}

/* ---- rpdctl ensure ---------------------------------------------------------------------- */

struct child {
    pid_t pid;
    int errors; /* what it says on stderr */
};

/* As from a shell: with no signal blocked or ignored, and no stream of ours. */
static int spawn(const char *program, char *const *arguments, struct child *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int pipe_fds[2], failed;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return errno;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&files);
    /* (First this one: where a caller has no standard streams the pipe is one of them.) */
    posix_spawn_file_actions_adddup2(&files, pipe_fds[1], STDERR_FILENO);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    failed = posix_spawnp(&ret->pid, program, &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    close(pipe_fds[1]);
    ret->errors = pipe_fds[0];
    if (failed)
        close(pipe_fds[0]);
    return failed;
}

/* The last line: warnings come before it. */
static void read_last_line(int fd, char *text, size_t room)
{
    size_t used = 0;
    const char *last;
    ssize_t got;

    do {
        /* (Of a very long text the first half goes.) */
        if (used == room - 1) {
            memmove(text, text + room / 2, used - room / 2);
            used -= room / 2;
        }
        got = read(fd, text + used, room - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    } while (got > 0 || (got < 0 && errno == EINTR));
    while (used > 0 && text[used - 1] == '\n')
        used--;
    text[used] = '\0';
    last = strrchr(text, '\n');
    if (last)
        memmove(text, last + 1, strlen(last));
}

/* Its exit code; -1 if that cannot be had: the caller ignores SIGCHLD, or waits for all. */
static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

enum { CODE_UNKNOWN = 1 };

/* 0, -1, or CODE_UNKNOWN with what it said, if it said something. */
static int run_rpdctl(struct request *request)
{
    char name[] = "rpdctl", command[] = "ensure", file[] = "-c", limit[] = "--timeout";
    char timeout[32];
    const char *configured = getenv("RPDCTL");
    const char *program = configured && *configured ? configured : "rpdctl";
    char *arguments[] = {name, command, file, (char *)(uintptr_t)request->config, NULL, NULL, NULL};
    const uint64_t now_us = clock_us();
    struct child child = {.errors = -1};
    int failed, code;

    if (getauxval(AT_SECURE))
        return fail(request, 77,
                    "client: %s: does not run, and a set-uid program does not start it; start it "
                    "first",
                    request->service);
    if (request->deadline_us != UINT64_MAX) {
        if (now_us >= request->deadline_us)
            return time_out(request, "looking for it");
        snprintf(timeout, sizeof timeout, "%.3f",
                 (double)(request->deadline_us - now_us + 999) / 1e6);
        arguments[4] = limit;
        arguments[5] = timeout;
    }
    failed = spawn(program, arguments, &child);
    if (failed)
        return fail(request, 71, "client: %s: cannot be run: %s; install rpdctl, or set RPDCTL",
                    program, strerror(failed));
    read_last_line(child.errors, request->error->text, sizeof request->error->text);
    close(child.errors);
    code = wait_for(child.pid);
    request->error->code = code > 0 ? code : 70;
    return code == 0 ? 0 : code > 0 ? -1 : CODE_UNKNOWN;
}

/* -1; errno is ENOENT if it was made sure, and still is not there: it may come back. */
static int ensure(struct request *request)
{
    struct instance instance;
    bool is_there = lives(request, &instance);
    int ran;

    instance_finish(&instance);
    if (is_there)
        return 0;
    errno = 0;
    if (!request->config)
        return fail(request, RPD_CLIENT_NOT_RUNNING,
                    "client: %s: does not run; start it, or name its configuration",
                    request->service);
    ran = run_rpdctl(request);
    is_there = ran >= 0 && lives(request, &instance);
    if (ran >= 0)
        instance_finish(&instance);
    if (is_there)
        return 0;
    if (ran < 0 || (ran == CODE_UNKNOWN && *request->error->text)) {
        errno = 0;
        return -1;
    }
    fail(request, RPD_CLIENT_NOT_RUNNING,
         "client: %s: is not there once %s runs; has that a service of this name?",
         request->service, request->config);
    errno = ENOENT;
    return -1;
}

/* ---- connecting --------------------------------------------------------------------------- */

/* Unix ones first: they are rights-checked, and cheaper. */
static int connect_to_any(struct request *request, const struct record_view *record)
{
    int fd = -1;

    errno = ENOENT;
    for (int is_unix = 1; is_unix >= 0; is_unix--)
        for (size_t i = 0; fd < 0 && i < record->endpoint_count; i++)
            if ((strncmp(record->endpoints[i], "unix:", 5) == 0) == is_unix)
                fd = client_connect(record->endpoints[i], request->deadline_us);
    return fd;
}

/* It may go between our look and our connect, and come again. */
static int connect_once(struct request *request)
{
    struct instance instance;
    int fd = -1, cause;

    if (ensure(request) < 0)
        return -1;
    lives(request, &instance);
    if (instance.has_record)
        fd = connect_to_any(request, &instance.record);
    else
        errno = ENOENT;
    cause = errno;
    if (fd < 0)
        fail(request, cause == ETIMEDOUT ? RPD_CLIENT_TIMED_OUT : 71,
             "client: %s: cannot connect: %s", request->service, strerror(cause));
    instance_finish(&instance);
    errno = cause;
    return fd;
}

static bool is_worth_another_try(int cause)
{
    return cause == ENOENT || cause == ECONNREFUSED || cause == ECONNRESET;
}

static int connect_until_deadline(struct request *request)
{
    enum { PAUSE_US = 20000, TRIES_MAX = 10 };

    for (int tries = 1;; tries++) {
        int fd;

        errno = 0;
        request->error->code = 0;
        request->error->text[0] = '\0';
        fd = connect_once(request);
        if (fd >= 0 || !is_worth_another_try(errno) || tries == TRIES_MAX ||
            clock_us() + PAUSE_US > request->deadline_us)
            return fd;
        usleep(PAUSE_US);
    }
}

/* ---- the interface -------------------------------------------------------------------------- */

static int run(int (*act)(struct request *request), struct request request,
               struct rpd_client_error *ret_error)
{
    struct rpd_client_error unwanted = {0};
    int result;

    request.error = ret_error ? ret_error : &unwanted;
    *request.error = (struct rpd_client_error){0};
    request.dirfd = -1;
    result = request.service ? act(&request)
                             : fail(&request, 64, "client: service: its name is needed");
    if (request.dirfd >= 0)
        close(request.dirfd);
    return result;
}

int rpd_ensure(const char *config, const char *service, struct rpd_client_error *ret_error)
{
    struct request request = {.config = config, .service = service, .deadline_us = UINT64_MAX};

    return run(ensure, request, ret_error);
}

int rpd_connect(const char *config, const char *service, int timeout_ms,
                struct rpd_client_error *ret_error)
{
    struct request request = {.config = config, .service = service, .deadline_us = UINT64_MAX};

    if (timeout_ms >= 0)
        request.deadline_us = clock_us() + 1000 * (uint64_t)timeout_ms;
    return run(connect_until_deadline, request, ret_error);
}
