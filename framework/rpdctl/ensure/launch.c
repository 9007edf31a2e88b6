/* Starting daemons. See launch.h.
 *
 *     caller ──fork──► starter ──fork, exec──► rpd
 *       ▲  report         │  ▲      --start-fd   │
 *       └─────────────────┘  └───────────────────┘
 */
#include "rpdctl/ensure/launch.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the starter has its descriptors, behind the standard streams. */
enum { STARTER_REPORT = 3, STARTER_LOCK, STARTER_DIR, STARTER_LOG, STARTER_FREE };

/* ---- in the starter's child, until exec ------------------------------------------ */

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What speaks of a caller's service manager is not the daemon's. */
static void clean_environment(void)
{
    static const char *const names[] = {"LISTEN_FDS",    "LISTEN_PID",        "LISTEN_FDNAMES",
                                        "NOTIFY_SOCKET", "WATCHDOG_PID",      "WATCHDOG_USEC",
                                        "INVOCATION_ID", "RUNTIME_DIRECTORY", "JOURNAL_STREAM"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static _Noreturn void become_daemon(const struct launch *launch, int start_fd)
{
    char option[] = "--start-fd", number[16];

    setsid(); /* one of its own: it gets no signal that is meant for ours */
    reset_signals();
    clean_environment();
    snprintf(number, sizeof number, "%d", start_fd);
    /* First: it is to read of mistakes in what follows, too. */
    launch->arguments[1] = option;
    launch->arguments[2] = number;
    fcntl(start_fd, F_SETFD, 0);
    execv(launch->program, launch->arguments);
    dprintf(start_fd, "ended %d start: %s: cannot be run: %s\n", EXIT_SYSTEM, launch->program,
            strerror(errno));
    _exit(EXIT_SYSTEM);
}

/* ---- the starter ------------------------------------------------------------------- */

static bool is_bound(const char *words)
{
    static const char bound[] = "bound\n";

    return strncmp(words, bound, sizeof bound - 1) == 0;
}

/* All that it says: "bound", or until it ends. A child of it may keep the pipe open. */
static void read_words(int fd, int pidfd, char *line, size_t room)
{
    struct pollfd ends[] = {{.fd = fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    size_t used = 0;
    ssize_t got = 1;

    while (got > 0 && used < room - 1 && !is_bound(line)) {
        if (poll(ends, 2, -1) < 0)
            continue;
        if (!ends[0].revents)
            break;
        got = read(fd, line + used, room - 1 - used);
        used += got > 0 ? (size_t)got : 0;
        line[used] = '\0';
    }
}

/* The process is ours to wait for: this is its code, whatever it said before. */
static int wait_for_code(pid_t pid, bool *ret_was_killed)
{
    int status;

    *ret_was_killed = false;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_INTERNAL;
    *ret_was_killed = WIFSIGNALED(status);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void describe_silent_end(struct launch_result *result, bool was_killed)
{
    if (was_killed)
        snprintf(result->text, sizeof result->text,
                 "start: pid %d: killed by signal %d (%s) before it was bound", (int)result->pid,
                 result->code - 128, strsignal(result->code - 128));
    else if (result->code == 0)
        snprintf(result->text, sizeof result->text,
                 "start: pid %d: stopped before it was bound, by a signal; try again",
                 (int)result->pid);
    else
        snprintf(
            result->text, sizeof result->text,
            "start: pid %d: ended with code %d before it was bound, and not by rpd: a plugin, or "
            "a library of it, called _exit(%d); see its log",
            (int)result->pid, result->code, result->code);
}

/* Of "ended CODE TEXT"; NULL: it is none. */
static const char *text_of_end(const char *line, int *ret_code)
{
    static const char ended[] = "ended ";
    char *space;

    if (strncmp(line, ended, sizeof ended - 1) != 0)
        return NULL;
    *ret_code = (int)strtol(line + sizeof ended - 1, &space, 10);
    return *space == ' ' ? space + 1 : NULL;
}

/* What comes behind the last error are those before it. */
static void join_words(const char *last, char *rest, char ret_text[LAUNCH_TEXT_MAX])
{
    static const char said[] = "said ";
    size_t used = 0;

    for (const char *line; (line = strsep(&rest, "\n")) && rest;)
        if (strncmp(line, said, sizeof said - 1) == 0 &&
            used + strlen(line) + strlen(last) < LAUNCH_TEXT_MAX)
            used += (size_t)snprintf(ret_text + used, LAUNCH_TEXT_MAX - used, "%s\n",
                                     line + sizeof said - 1);
    snprintf(ret_text + used, LAUNCH_TEXT_MAX - used, "%s", last);
}

/* A code means what rpd means by it only where rpd has said so. Any _exit() in the
 * process can have any code: it is not rpd's 75, "already running", nor our 1. */
static void judge_end(char *words, bool was_killed, struct launch_result *result)
{
    int told = -1;
    char *rest = words;
    const char *text = text_of_end(strsep(&rest, "\n"), &told);

    if (text && told == result->code && strcmp(text, "-") != 0) {
        join_words(text, rest, result->text);
        return;
    }
    describe_silent_end(result, was_killed);
    if (!was_killed && told != result->code)
        result->code = EXIT_INTERNAL;
}

/* Its plugin may have closed what is not its own: then the end of the pipe is no end. */
static bool lives_on(int pidfd)
{
    enum { LONG_ENOUGH_MS = 1000 }; /* from its last descriptor to its end */
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    return pidfd >= 0 && poll(&end, 1, LONG_ENOUGH_MS) == 0;
}

static void wait_for_outcome(int start_fd, struct launch_result *result)
{
    char line[PIPE_BUF + LAUNCH_TEXT_MAX] = "";
    const int pidfd = pidfd_open(result->pid, 0); /* without it, the pipe's end must do */
    bool was_killed;

    read_words(start_fd, pidfd, line, sizeof line);
    result->outcome = LAUNCH_BOUND;
    if (is_bound(line))
        return;
    result->outcome = LAUNCH_LOST;
    if (!*line && lives_on(pidfd))
        return;
    result->outcome = LAUNCH_ENDED;
    result->code = wait_for_code(result->pid, &was_killed);
    judge_end(line, was_killed, result);
    if (result->code == 0) /* it went without being there */
        result->code = EXIT_INTERNAL;
}

static unsigned long long start_time_of(pid_t pid)
{
    char digits[16];
    struct proc_stat stat;

    snprintf(digits, sizeof digits, "%d", (int)pid);
    return proc_read_stat(digits, &stat) == 0 ? stat.start_time : 0;
}

/* Nothing of the caller's stays open: a process that waits for the end of its output
 * must not wait for us. */
static int keep_descriptors(const struct launch *launch, int report_fd)
{
    const int kept[] = {report_fd, launch->take_lock->fd, launch->dirfd, launch->log_fd};
    int moved[sizeof kept / sizeof *kept], null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if ((moved[i] = fcntl(kept[i], F_DUPFD_CLOEXEC, STARTER_FREE)) < 0)
            return -1;
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(launch->log_fd, STDOUT_FILENO) < 0 ||
        dup2(launch->log_fd, STDERR_FILENO) < 0)
        return -1;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (dup3(moved[i], STARTER_REPORT + (int)i, O_CLOEXEC) < 0)
            return -1;
    descriptors_close(STARTER_FREE, ~0U);
    return 0;
}

static void fail(struct launch_result *result, const char *what)
{
    result->outcome = LAUNCH_ENDED;
    result->code = EXIT_SYSTEM;
    snprintf(result->text, sizeof result->text, "start: %s: %s; raise the limits", what,
             strerror(errno));
}

static void start(const struct launch *launch, struct launch_result *result)
{
    int start_fds[2];

    if (pipe2(start_fds, O_CLOEXEC) < 0) {
        fail(result, "pipe");
        return;
    }
    result->pid = fork();
    if (result->pid == 0)
        become_daemon(launch, start_fds[1]);
    if (result->pid < 0) {
        fail(result, "fork");
        return;
    }
    close(start_fds[1]);
    result->start_time = start_time_of(result->pid);
    wait_for_outcome(start_fds[0], result);
}

static _Noreturn void report(const struct launch *launch, int report_fd, int dirfd,
                             const struct launch_result *result)
{
    if (result->outcome == LAUNCH_ENDED && result->pid > 0)
        launch->failed(launch->arg, dirfd, result);
    _exit(write(report_fd, result, sizeof *result) < 0 ? EXIT_INTERNAL : 0);
}

static _Noreturn void be_starter(const struct launch *launch, int report_fd)
{
    struct launch_result result = {0};

    setsid();
    reset_signals();
    signal(SIGPIPE, SIG_IGN); /* the caller may be gone */
    if (keep_descriptors(launch, report_fd) < 0) {
        fail(&result, "descriptors");
        report(launch, report_fd, launch->dirfd, &result); /* they are where they were */
    }
    if (chdir("/") < 0)
        fail(&result, "/");
    else
        start(launch, &result);
    report(launch, STARTER_REPORT, STARTER_DIR, &result);
}

/* ---- the caller ---------------------------------------------------------------------- */

/* False when the deadline has passed. */
static bool wait_for_report(int fd, uint64_t deadline_us)
{
    struct pollfd report = {.fd = fd, .events = POLLIN};

    for (;;) {
        const int limit = clock_ms_until(deadline_us);
        const int ready = poll(&report, 1, limit);

        if (ready > 0)
            return true;
        if (ready == 0 && limit != INT_MAX)
            return false;
    }
}

static void take_report(int fd, uint64_t deadline_us, struct launch_result *ret)
{
    ssize_t got;

    *ret = (struct launch_result){.outcome = LAUNCH_LATE};
    if (!wait_for_report(fd, deadline_us))
        return;
    do
        got = read(fd, ret, sizeof *ret);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof *ret)
        *ret = (struct launch_result){.outcome = LAUNCH_LOST};
}

int launch_daemon(const struct launch *launch, uint64_t deadline_us, struct launch_result *ret,
                  struct error *error)
{
    int report[2];
    pid_t starter;

    if (pipe2(report, O_CLOEXEC) < 0)
        return error_set(error, EXIT_SYSTEM, "start", "pipe", "%s; raise the limit of descriptors",
                         strerror(errno));
    starter = fork();
    if (starter == 0)
        be_starter(launch, report[1]);
    close(report[1]);
    lock_release(launch->take_lock);
    if (starter < 0) {
        close(report[0]);
        return error_set(error, EXIT_SYSTEM, "start", "fork", "%s; raise the limit of processes",
                         strerror(errno));
    }
    take_report(report[0], deadline_us, ret);
    close(report[0]);
    if (ret->outcome != LAUNCH_LATE)
        while (waitpid(starter, NULL, 0) < 0 && errno == EINTR)
            continue;
    return 0;
}
