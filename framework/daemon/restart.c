/* Being started again by a service manager. See restart.h. */
#include "daemon/restart.h"

#include "base/clock.h"
#include "base/log.h"
#include "guard/signals.h"
#include "observe/crash_loop.h"
#include "observe/history_view.h"
#include "publish/history.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES = 32, KILLED = 128 + SIGKILL, LOOK_MS = 100 };

/* The first of several. */
static int open_state_directory(void)
{
    const char *directories = getenv("STATE_DIRECTORY");
    char path[PATH_MAX];

    if (!directories || *directories != '/' || !getenv("RUNTIME_DIRECTORY"))
        return -1;
    if (snprintf(path, sizeof path, "%.*s", (int)strcspn(directories, ":"), directories) >=
        (int)sizeof path)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void copy_tail(int from, int to)
{
    char text[HISTORY_KEPT];
    struct stat status = {0};
    off_t begin;
    ssize_t got;

    fstat(from, &status);
    begin = status.st_size > (off_t)sizeof text ? status.st_size - (off_t)sizeof text : 0;
    got = pread(from, text, sizeof text, begin);
    /* A first line that is not whole is skipped by its readers. */
    if (got > 0 && write(to, text, (size_t)got) < 0) {
        /* it informs only */
    }
}

static bool is_empty(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_size == 0;
}

static void begin_with(int runtime_dirfd, const char *service, int kept)
{
    const int fd = history_open(runtime_dirfd, service);

    if (fd < 0)
        return;
    if (is_empty(fd))
        copy_tail(kept, fd);
    close(fd);
}

/* One that was killed could not say so. We hold the lock: it is gone. */
static void bury_the_silent(int runtime_dirfd, const char *service, int kept_dirfd)
{
    struct history_entry last;
    struct history_end end = {.code = KILLED};
    char text[128];

    if (history_view_read(runtime_dirfd, service, &last, 1) == 0 || last.ended)
        return;
    snprintf(text, sizeof text,
             "start: pid %d: gone without a word: killed, or the machine went down", (int)last.pid);
    end.time_ms = clock_wall_ms();
    end.pid = last.pid;
    end.start_time = last.start_time;
    end.text = text;
    history_note_end(runtime_dirfd, service, &end);
    if (kept_dirfd >= 0)
        history_note_end(kept_dirfd, service, &end);
}

int restart_recall(int runtime_dirfd, const char *service)
{
    const int dirfd = open_state_directory();
    const int kept = dirfd >= 0 ? history_open(dirfd, service) : -1;

    if (kept >= 0)
        begin_with(runtime_dirfd, service, kept);
    bury_the_silent(runtime_dirfd, service, dirfd);
    if (dirfd >= 0)
        close(dirfd);
    return kept;
}

struct restart restart_judge(int runtime_dirfd, const char *service, uint64_t changed_ms)
{
    struct history_entry *entries = calloc(ENTRIES, sizeof *entries);
    struct restart restart = {0};

    if (entries) {
        const int count = history_view_read(runtime_dirfd, service, entries, ENTRIES);
        const struct crash_loop loop = crash_loop_judge(entries, count > 0 ? (size_t)count : 0,
                                                        clock_wall_ms(), changed_ms);
        restart = (struct restart){loop.failures, loop.left_ms};
    }
    free(entries);
    return restart;
}

uint64_t restart_changed_ms(const char *path)
{
    struct stat status;

    if (!path || stat(path, &status) < 0)
        return 0;
    return (uint64_t)status.st_ctim.tv_sec * 1000u + (uint64_t)status.st_ctim.tv_nsec / 1000000u;
}

void restart_wait(const struct restart *restart, struct notify *notify)
{
    enum { SLACK_US = 10 * 1000000 };
    const uint64_t due_us = clock_us() + restart->left_ms * 1000;
    const unsigned long long left_s = (restart->left_ms + 999) / 1000;

    log_line(RPD_LOG_WARNING, NULL,
             "failed %u times in a row: its code runs in %llu s; clients wait", restart->failures,
             left_s);
    notify_status(notify, "failed %u times in a row; waits %llu s", restart->failures, left_s);
    notify_extend(notify, restart->left_ms * 1000 + SLACK_US);
    while (clock_us() < due_us && !signals_stop_requested()) {
        const int left_ms = clock_ms_until(due_us);

        poll(NULL, 0, left_ms < LOOK_MS ? left_ms : LOOK_MS);
    }
}
