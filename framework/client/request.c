/* A request of a client, step by step. See request.h. */
#include "client/request.h"

#include "base/clock.h"
#include "base/directory.h"

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

/* ---- errors ------------------------------------------------------------------------- */

int client_fail(struct client_request *request, int code, const char *format, ...)
{
    va_list arguments;

    request->error->code = code;
    va_start(arguments, format);
    vsnprintf(request->error->text, sizeof request->error->text, format, arguments);
    va_end(arguments);
    return -1;
}

int client_time_out(struct client_request *request, const char *what)
{
    return client_fail(request, RPD_CLIENT_TIMED_OUT, "client: %s: timed out while %s",
                       request->service, what);
}

/* ---- looking -------------------------------------------------------------------------- */

int client_open_directory(struct client_request *request)
{
    char path[RUNTIME_PATH_MAX];
    struct error error;

    if (request->dirfd >= 0 &&
        (directory_runtime_path(path, &error) < 0 || !directory_is_at(path, request->dirfd))) {
        close(request->dirfd); /* another directory has taken its place */
        request->dirfd = -1;
    }
    if (request->dirfd >= 0 || directory_find_runtime(path, &request->dirfd, &error) >= 0)
        return 0;
    return client_fail(request, (int)error.code, "%s", error.text);
}

/* Whether the service is bound and not about to end. Call instance_finish() in either case. */
bool client_lives(struct client_request *request, struct instance *ret)
{
    memset(ret, 0, sizeof *ret);
    if (client_open_directory(request) < 0 || request->dirfd < 0)
        return false;
    instance_look(request->dirfd, request->service, ret);
    return ret->verdict != STATE_DEAD && ret->has_record && *ret->page.magic &&
           ret->page.phase > RPD_PHASE_STARTING && ret->page.phase < RPD_PHASE_DRAINING;
}

/* ---- rpdctl ensure ---------------------------------------------------------------------- */

/* As from a shell: no signal is blocked or ignored, and rpdctl gets none of our streams. */
static int spawn(const char *program, char *const *arguments, struct client_child *ret)
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
    /* This one first: if the caller has no standard streams, the pipe has the number of one. */
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

int client_words_read(struct client_words *words, int fd)
{
    ssize_t got;

    if (words->used == words->room - 1) { /* the first half of a very long text is dropped */
        memmove(words->text, words->text + words->room / 2, words->used - words->room / 2);
        words->used -= words->room / 2;
    }
    do
        got = read(fd, words->text + words->used, words->room - 1 - words->used);
    while (got < 0 && errno == EINTR);
    words->used += got > 0 ? (size_t)got : 0;
    return got > 0 ? 1 : got == 0 || errno != EAGAIN ? 0 : -1;
}

void client_words_end(struct client_words *words)
{
    const char *last;

    while (words->used > 0 && words->text[words->used - 1] == '\n')
        words->used--;
    words->text[words->used] = '\0';
    last = strrchr(words->text, '\n');
    if (last)
        memmove(words->text, last + 1, strlen(last));
}

/* The exit code; -1 if there is none to read: the caller ignores SIGCHLD, or waits for all
 * children. */
int client_wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int client_run_rpdctl(struct client_request *request, struct client_child *ret)
{
    char name[] = "rpdctl", command[] = "ensure", file[] = "-c", limit[] = "--timeout";
    char timeout[32];
    const char *configured = getenv("RPDCTL");
    const char *program = configured && *configured ? configured : "rpdctl";
    char *arguments[] = {name, command, file, (char *)(uintptr_t)request->config, NULL, NULL, NULL};
    const uint64_t now_us = clock_us();
    int failed;

    if (getauxval(AT_SECURE))
        return client_fail(
            request, 77,
            "client: %s: is not running, and a set-uid program does not start it; start it "
            "first",
            request->service);
    if (request->deadline_us != UINT64_MAX) {
        if (now_us >= request->deadline_us)
            return client_time_out(request, "looking for it");
        snprintf(timeout, sizeof timeout, "%.3f",
                 (double)(request->deadline_us - now_us + 999) / 1e6);
        arguments[4] = limit;
        arguments[5] = timeout;
    }
    failed = spawn(program, arguments, ret);
    if (failed)
        return client_fail(request, 71,
                           "client: %s: cannot be run: %s; install rpdctl, or set RPDCTL", program,
                           strerror(failed));
    return 0;
}

int client_judge(struct client_request *request, int code)
{
    request->error->code = code > 0 ? code : 70;
    return code == 0 ? 0 : code > 0 ? -1 : CLIENT_CODE_UNKNOWN;
}

int client_is_not_there(struct client_request *request, int ran)
{
    if (ran < 0 || (ran == CLIENT_CODE_UNKNOWN && *request->error->text)) {
        errno = 0;
        return -1;
    }
    client_fail(
        request, RPD_CLIENT_NOT_RUNNING,
        "client: %s: is still not there after rpdctl ensure %s; does that file have this service?",
        request->service, request->config);
    errno = ENOENT;
    return -1;
}

bool client_is_worth_another_try(int cause)
{
    return cause == ENOENT || cause == ECONNREFUSED || cause == ECONNRESET;
}
