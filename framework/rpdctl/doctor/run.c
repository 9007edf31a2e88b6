/* rpdctl doctor: a program's words. See doctor_run(). */
#include "base/clock.h"
#include "rpdctl/doctor/doctor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_US = 10 * 1000000, ROOM = 65536 };

extern char **environ;

/* -1: it cannot be run. */
static pid_t spawn(const char *const argv[], int to, bool takes_stderr)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    int failed;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return -1;
    failed = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) ||
             posix_spawn_file_actions_addopen(&actions,
                                              takes_stderr ? STDOUT_FILENO : STDERR_FILENO,
                                              "/dev/null", O_WRONLY, 0) ||
             posix_spawn_file_actions_adddup2(&actions, to,
                                              takes_stderr ? STDERR_FILENO : STDOUT_FILENO) ||
             posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ) != 0;
    posix_spawn_file_actions_destroy(&actions);
    return failed ? -1 : pid;
}

/* What does not fit is read, and dropped. */
static void read_all(int fd, char *text, uint64_t deadline_us)
{
    struct pollfd words = {.fd = fd, .events = POLLIN};
    static char rest[4096];
    size_t used = 0;

    while (poll(&words, 1, clock_ms_until(deadline_us)) > 0) {
        const bool fits = used < ROOM - 1;
        const ssize_t got = read(fd, fits ? text + used : rest,
                                 fits ? ROOM - 1 - used : sizeof rest);

        if (got <= 0)
            break;
        used += fits ? (size_t)got : 0;
    }
    text[used] = '\0';
}

static int wait_for(pid_t pid, uint64_t deadline_us)
{
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_us() >= deadline_us)
            kill(pid, SIGKILL);
        poll(NULL, 0, 2);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *doctor_run(const char *const argv[], bool takes_stderr, int *ret_code)
{
    const uint64_t deadline_us = clock_us() + PATIENCE_US;
    char *text = malloc(ROOM);
    int words[2];
    pid_t pid;

    *ret_code = -1;
    if (!text || pipe2(words, O_CLOEXEC) < 0) {
        free(text);
        return NULL;
    }
    pid = spawn(argv, words[1], takes_stderr);
    close(words[1]);
    if (pid > 0) {
        read_all(words[0], text, deadline_us);
        *ret_code = wait_for(pid, deadline_us);
    }
    close(words[0]);
    if (pid > 0)
        return text;
    free(text);
    return NULL;
}
