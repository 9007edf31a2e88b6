/* Log lines of a process that was forked while other threads held locks. */
#include "base/log.h"
#include "base/output.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FORKS = 300, DEADLINE_MS = 20000 };

static atomic_bool ends;

/* The C library holds its lock of the time zone nearly all the time. */
static void *hold_zone(void *unused)
{
    const time_t now = time(NULL);
    struct tm local;

    while (!atomic_load(&ends))
        localtime_r(&now, &local);
    return unused;
}

static bool ends_in_time(pid_t pid, int *status)
{
    for (int ms = 0; ms < DEADLINE_MS; ms++) {
        if (waitpid(pid, status, WNOHANG) == pid)
            return true;
        usleep(1000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, status, 0);
    return false;
}

Test(log_locks, a_forked_child_waits_for_no_lock, .timeout = 120)
{
    char path[] = "/tmp/rpd-log-XXXXXX";
    const int file = mkstemp(path);
    pthread_t thread;
    int status;

    cr_assert(file >= 0 && dup2(file, STDERR_FILENO) == STDERR_FILENO && unlink(path) == 0);
    output_begin(); /* a file: lines begin with the local time */
    log_configure(RPD_LOG_INFO, LOG_TEXT, 0);
    cr_assert_eq(pthread_create(&thread, NULL, hold_zone, NULL), 0);
    for (int i = 0; i < FORKS; i++) {
        const pid_t pid = fork();
        if (pid == 0) {
            log_line(RPD_LOG_INFO, NULL, "a line of a child");
            _exit(0);
        }
        cr_assert(pid > 0 && ends_in_time(pid, &status), "the child of fork %d hangs", i);
        cr_assert_eq(status, 0);
    }
    atomic_store(&ends, true);
    pthread_join(thread, NULL);
}
