/* Black-box tests: starting daemons and other programs. See process.h. */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool same_name(const char *variable, const char *entry)
{
    const size_t size = strcspn(entry, "=");

    return strncmp(variable, entry, size) == 0 && variable[size] == '=';
}

/* The environment of the child. listen_pid, if not NULL, is "LISTEN_PID=" with room for the pid,
 * which only the child knows. */
static char **make_environment(const struct process_options *options, char *listen_pid)
{
    const char *standard[8] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"};
    size_t standard_count = 4;
    if (options->runtime_dir)
        standard[standard_count++] = textf("RPD_RUNTIME_DIR=%s", options->runtime_dir);
    if (listen_pid) {
        standard[standard_count++] = textf("LISTEN_FDS=%zu", options->listen_count);
        standard[standard_count++] = listen_pid;
    }

    size_t inherited = 0, own = 0;
    while (environ[inherited])
        inherited++;
    while (options->env && options->env[own])
        own++;
    char **result = support_check_memory(
        calloc(inherited + standard_count + own + 1, sizeof *result));
    size_t count = 0;
    for (size_t i = 0; i < inherited; i++)
        result[count++] = environ[i];
    for (size_t i = 0; i < standard_count + own; i++) {
        const char *entry = i < standard_count ? standard[i] : options->env[i - standard_count];
        for (size_t k = 0; k < count;) {
            if (same_name(result[k], entry))
                result[k] = result[--count];
            else
                k++;
        }
        if (strchr(entry, '='))
            result[count++] = (char *)entry;
    }
    result[count] = NULL;
    return result;
}

static bool is_program(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

bool with_keeper(void)
{
    const char *wanted = getenv("RPD_TEST_KEEPER");

    return wanted && strcmp(wanted, "1") == 0;
}

static char **make_arguments(const struct process_options *options)
{
    size_t count = 0;
    while (options->argv[count])
        count++;
    char **result = support_check_memory(calloc(count + 6, sizeof *result));
    memcpy(result, options->argv, count * sizeof *result);
    if (with_keeper() && strcmp(result[0], "rpd") == 0) {
        memmove(result + 2, result + 1, (count++ - 1) * sizeof *result);
        result[1] = (char *)"--keeper";
    }
    if (!strchr(result[0], '/') && support_build_dir() && is_program(build_path(result[0])))
        result[0] = (char *)build_path(result[0]);
    if (options->notify) {
        result[count++] = (char *)"--notify-fd";
        result[count++] = (char *)textf("%zu", 3 + options->listen_count);
    }
    if (options->start_fd != 0) {
        memmove(result + 3, result + 1, (count - 1) * sizeof *result);
        result[1] = (char *)"--start-fd";
        result[2] = (char *)textf("%zu", 3 + options->listen_count + options->notify);
    }
    return result;
}

static void child_fail(const char *what, const char *object)
{
    char line[512];
    const int size = snprintf(line, sizeof line, "test support: %s: %s: errno %d\n", what, object,
                              errno);

    if (write(2, line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1) < 0)
        _exit(126);
    _exit(127);
}

/* In the child, between fork and exec: async-signal-safe calls only. */
static void child_run(const struct process_options *options, pid_t parent, char **argv, char **envp,
                      char *listen_pid, const int *ends)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    char byte;
    if (options->gate_fd != 0 && read(options->gate_fd, &byte, 1) != 1)
        child_fail("read", "gate");

    /* Moves all descriptors out of the way first, then each to its place. */
    int high[STREAMS + 1 + 1];
    for (int i = 0; i <= STREAMS; i++)
        high[i] = ends[i] < 0 ? -1 : fcntl(ends[i], F_DUPFD_CLOEXEC, 32);
    high[STREAMS + 1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(high[STREAMS + 1], 0);
    dup2(high[OUT], 1);
    dup2(high[ERR], 2);
    int target = 3;
    int listeners[16];
    for (size_t i = 0; i < options->listen_count; i++)
        listeners[i] = fcntl(options->listen_fds[i], F_DUPFD_CLOEXEC, 32);
    const int start = options->start_fd != 0 ? fcntl(options->start_fd, F_DUPFD_CLOEXEC, 32) : -1;
    close_range(3, 31, 0);
    for (size_t i = 0; i < options->listen_count; i++)
        dup2(listeners[i], target++);
    if (high[STREAMS] >= 0)
        dup2(high[STREAMS], target++);
    if (start >= 0)
        dup2(start, target++);
    close_range((unsigned)target, ~0U, 0);

    if (listen_pid) {
        char digits[16], *at = digits + sizeof digits;
        *--at = '\0';
        for (pid_t pid = getpid(); pid > 0; pid /= 10)
            *--at = (char)('0' + pid % 10);
        memcpy(strchr(listen_pid, '=') + 1, at, (size_t)(digits + sizeof digits - at));
    }
    if (options->directory && chdir(options->directory) != 0)
        child_fail("chdir", options->directory);
    execvpe(argv[0], argv, envp);
    child_fail("exec", argv[0]);
}

struct process *process_start(const struct process_options *options)
{
    struct process *p = support_check_memory(calloc(1, sizeof *p));
    char listen_pid[32] = "LISTEN_PID=";
    if (options->listen_count > 16)
        test_die("process_start: at most 16 listeners");
    char *pid_entry = options->listen_count > 0 ? listen_pid : NULL;
    char **argv = make_arguments(options), **envp = make_environment(options, pid_entry);

    int ends[STREAMS + 1], ours[STREAMS + 1];
    for (int i = 0; i <= STREAMS; i++) {
        int pair[2] = {-1, -1};
        if ((i < STREAMS || options->notify) && pipe2(pair, O_CLOEXEC) != 0)
            test_die("pipe: %s", strerror(errno));
        ours[i] = pair[0];
        ends[i] = pair[1];
        if (ours[i] >= 0)
            fcntl(ours[i], F_SETFL, O_NONBLOCK);
    }

    const pid_t parent = getpid();
    p->pid = fork();
    if (p->pid == 0)
        child_run(options, parent, argv, envp, pid_entry, ends);
    if (p->pid < 0)
        test_die("fork: %s", strerror(errno));
    p->pidfd = pidfd_open(p->pid, 0);
    if (p->pidfd < 0)
        test_die("pidfd_open: %s", strerror(errno));

    for (int i = 0; i <= STREAMS; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
    p->streams[OUT].fd = ours[OUT];
    p->streams[ERR].fd = ours[ERR];
    p->notify_fd = ours[STREAMS];
    p->notify = options->notify;
    const char *slash = strrchr(argv[0], '/');
    snprintf(p->name, sizeof p->name, "%s", slash ? slash + 1 : argv[0]);
    free(argv);
    free(envp);

    support_registry_lock();
    p->next = support_registry.processes;
    support_registry.processes = p;
    support_registry_unlock();
    return p;
}
