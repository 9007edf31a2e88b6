/* One start, to the first connect. See start_run.h. */
#include "start_run.h"

#include "../support/process.h"
#include "processors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIVE_UP_NS INT64_C(60000000000)

/* The child uses this process's memory until it calls exec. */
static __attribute__((noinline)) pid_t spawn(const char *const *argv, int null_fd, int log_fd,
                                             long planted_us)
{
    const pid_t parent = getpid();
    const pid_t pid = vfork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        processors_use_servers();
        if (getppid() != parent || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 ||
            dup2(log_fd, 2) < 0)
            _exit(126);
        if (planted_us > 0)
            usleep((useconds_t)planted_us);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* The same tight loop for all programs. Returns when the connect succeeded; -1 if never. */
static int64_t connect_when_there(const char *path, pid_t pid, int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);

    const int64_t give_up = now_ns() + GIVE_UP_NS;
    for (unsigned attempt = 1;; attempt++) {
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
            return now_ns();
        if (attempt % 1024 == 0 && (has_ended(pid) || now_ns() > give_up))
            return -1;
        sched_yield();
    }
}

static void end(pid_t pid)
{
    const int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0)
        test_die("pidfd_open: %s", strerror(errno));
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};

    pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
    if (poll(&ended, 1, 10000) == 0) {
        fprintf(stderr, "start: pid %d did not end by SIGTERM: killed\n", (int)pid);
        pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    }
    waitpid(pid, NULL, 0);
    close(pidfd);
}

double start_run(const char *const *argv, const char *dir, const char *path, const char *log,
                 long planted_us)
{
    const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (null_fd < 0 || log_fd < 0 || fd < 0)
        test_die("open: %s", strerror(errno));
    setenv("RPD_RUNTIME_DIR", dir, 1);
    unlink(path);

    const int64_t begin = now_ns();
    const pid_t pid = spawn(argv, null_fd, log_fd, planted_us);
    if (pid < 0)
        test_die("vfork: %s", strerror(errno));
    const int64_t connected = connect_when_there(path, pid, fd);
    end(pid);
    close(fd);
    close(log_fd);
    close(null_fd);
    return connected < 0 ? -1 : (double)(connected - begin) / 1000;
}
