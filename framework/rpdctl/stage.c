/* A stage of the kit while it runs: what it reports, how it ends, what it uses. See
 * rpdctl/kit.h. */
#include "rpdctl/stage_inside.h"

#include "base/clock.h"
#include "observe/state_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BOUND_MS = 10000,
    LOADING_MS = 5000,
    READY_MS = 20000,
    STOP_MS = 10000, /* drain_s, a second, and what a busy machine takes */
    GONE_MS = 1000,  /* between its last descriptor and its end */
    LOOK_MS = 2
};

/* ---- what it says ---------------------------------------------------------------------- */

/* A daemon whose lines go to a file puts the time before each. */
static const char *without_time(const char *line)
{
    const char *end = strchr(line, ' ');

    return end && line[0] >= '0' && line[0] <= '9' && strncmp(end + 1, "rpd: ", 5) == 0 ? end + 1
                                                                                        : line;
}

/* Whether every end writes this line, whatever caused the end. */
static bool is_of_any_end(const char *line)
{
    static const char stopped[] = ": stopped", stopping[] = "rpd: stopping: ";
    const size_t size = strlen(line);

    return strncmp(line, stopping, sizeof stopping - 1) == 0 ||
           (size >= sizeof stopped - 1 && strcmp(line + size - (sizeof stopped - 1), stopped) == 0);
}

const char *stage_last_line(const struct stage *stage, char room[256])
{
    const int fd = openat(stage->dirfd, "log", O_RDONLY | O_CLOEXEC);
    char tail[2048];
    ssize_t size;
    char *line;

    room[0] = '\0';
    if (fd < 0)
        return room;
    lseek(fd, -(off_t)(sizeof tail - 1), SEEK_END); /* Where it is shorter, from its beginning. */
    size = read(fd, tail, sizeof tail - 1);
    close(fd);
    do {
        while (size > 0 && tail[size - 1] == '\n')
            size--;
        tail[size > 0 ? size : 0] = '\0';
        line = strrchr(tail, '\n');
        line = line ? line + 1 : tail;
        snprintf(room, 256, "%.250s", without_time(line));
        size = line - tail;
    } while (size > 0 && is_of_any_end(room));
    return room;
}

char *stage_log(const struct stage *stage)
{
    enum { LOG_MAX = 256 * 1024 };
    char *log = malloc(LOG_MAX);
    const int fd = log ? openat(stage->dirfd, "log", O_RDONLY | O_CLOEXEC) : -1;
    const ssize_t size = fd < 0 ? -1 : read(fd, log, LOG_MAX - 1);

    if (log)
        log[size > 0 ? size : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return log;
}

/* The last line that reports why a load failed, from its subject on; "": there is none. */
static const char *load_failure(const struct stage *stage, char room[256])
{
    char *log = stage_log(stage), *found = NULL;

    room[0] = '\0';
    for (char *at = log; at && (at = strstr(at, "load failed: ")); at++)
        found = at;
    if (found)
        snprintf(room, 256, "%.*s", (int)strcspn(found, "\n"), found);
    free(log);
    return room;
}

bool stage_reap(struct stage *stage, int options)
{
    if (stage->pid > 0 && waitpid(stage->pid, &stage->status, options) == stage->pid)
        stage->pid = 0;
    return stage->pid == 0;
}

static void describe_end(const struct stage *stage, char room[64])
{
    if (WIFSIGNALED(stage->status))
        snprintf(room, 64, "died of SIG%s", sigabbrev_np(WTERMSIG(stage->status)));
    else
        snprintf(room, 64, "ended with %d", WEXITSTATUS(stage->status));
}

static bool has_ended(struct stage *stage, uint64_t end_us)
{
    struct pollfd end = {.fd = stage->pidfd, .events = POLLIN};
    uint64_t now_us;

    while (!stage_reap(stage, WNOHANG) && (now_us = clock_us()) < end_us) {
        const int left_ms = (int)((end_us - now_us + 999) / 1000);

        /* If a sandbox gives no pidfd, look again and again. */
        poll(&end, 1, stage->pidfd < 0 && left_ms > LOOK_MS ? LOOK_MS : left_ms);
    }
    return stage->pid == 0;
}

static uint64_t in_ms(int ms)
{
    return clock_us() + (uint64_t)ms * 1000u;
}

bool stage_lives(struct stage *stage)
{
    char line[256], end[64];

    if (!stage_reap(stage, WNOHANG))
        return true;
    describe_end(stage, end);
    kit_failed(stage->kit, "rpd %s: %s", end, stage_last_line(stage, line));
    return false;
}

bool stage_stays(struct stage *stage, int ms)
{
    has_ended(stage, in_ms(ms));
    return stage_lives(stage);
}

bool stage_looks_again(struct stage *stage, uint64_t end_us)
{
    return clock_us() < end_us && !has_ended(stage, in_ms(LOOK_MS));
}

bool stage_is_bound(struct stage *stage)
{
    struct pollfd input = {.fd = stage->notify_fd, .events = POLLIN};
    char byte, line[256];

    if (poll(&input, 1, BOUND_MS) == 1) {
        if (read(stage->notify_fd, &byte, 1) == 1) {
            stage->bound_us = clock_us();
            return true;
        }
        has_ended(stage, in_ms(GONE_MS));
    }
    if (stage_lives(stage))
        kit_failed(stage->kit, "not bound within %d s: %s", BOUND_MS / 1000,
                   stage_last_line(stage, line));
    return false;
}

bool stage_page(const struct stage *stage, struct rpd_state_page *ret)
{
    const int run = openat(stage->dirfd, "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool found = run >= 0 && state_view_read(run, "check", ret) == 0;

    if (run >= 0)
        close(run);
    return found;
}

bool stage_reaches(struct stage *stage, enum rpd_phase phase, int within_ms)
{
    const uint64_t end_us = in_ms(within_ms);
    struct rpd_state_page page;

    do
        if (stage_page(stage, &page) && page.phase >= phase)
            return true;
    while (stage_looks_again(stage, end_us));
    return false;
}

bool stage_is_ready(struct stage *stage)
{
    char line[256];

    if (stage_reaches(stage, RPD_PHASE_READY, READY_MS))
        return true;
    if (!stage_lives(stage))
        return false;
    if (*load_failure(stage, line))
        kit_failed(stage->kit, "not ready within %d s: %s; set the options that it needs (-o)",
                   READY_MS / 1000, line);
    else
        kit_failed(stage->kit, "not ready within %d s; set the options that shorten its load (-o)",
                   READY_MS / 1000);
    return false;
}

bool stage_is_loading(struct stage *stage)
{
    const uint64_t end_us = in_ms(LOADING_MS);
    struct rpd_state_page page;

    do
        if (stage_page(stage, &page) && page.part_count > 0 &&
            page.parts[0].state == RPD_PART_LOADING)
            return true;
    while (stage_looks_again(stage, end_us));
    if (stage_lives(stage))
        kit_failed(stage->kit, "no worker has begun to load within %d s", LOADING_MS / 1000);
    return false;
}

struct stage *stage_start_ready(struct kit *kit)
{
    struct stage *stage = stage_start(kit, &(const struct stage_options){0});

    return stage && stage_is_bound(stage) && stage_is_ready(stage) ? stage : NULL;
}

/* ---- its end ---------------------------------------------------------------------------- */

void stage_signal(const struct stage *stage, int signal_number)
{
    if (stage->pid > 0)
        kill(stage->pid, signal_number);
}

bool stage_ends(struct stage *stage, int code, int within_ms)
{
    char line[256], end[64];

    if (!has_ended(stage, in_ms(within_ms))) {
        kit_failed(stage->kit, "it has not ended within %d ms: %s", within_ms,
                   stage_last_line(stage, line));
        return false;
    }
    if (WIFEXITED(stage->status) && WEXITSTATUS(stage->status) == code)
        return stage_leaves_nothing(stage);
    describe_end(stage, end);
    kit_failed(stage->kit, "rpd %s instead of %d: %s", end, code, stage_last_line(stage, line));
    return false;
}

static bool may_stay(const char *name)
{
    const char *ending = strrchr(name, '.');

    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
           (ending && (strcmp(ending, ".lock") == 0 || strcmp(ending, ".history") == 0));
}

bool stage_leaves_nothing(struct stage *stage)
{
    const int run = openat(stage->dirfd, "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = run < 0 ? NULL : fdopendir(run);
    bool empty = true;

    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        if (!may_stay(entry->d_name)) {
            kit_failed(stage->kit,
                       "it left %s in its run-time directory; rpd removes what it "
                       "made: remove what the plugin made",
                       entry->d_name);
            empty = false;
        }
    if (stream)
        closedir(stream);
    return empty;
}

bool stage_stops(struct stage *stage)
{
    stage_signal(stage, SIGTERM);
    return stage_ends(stage, 0, STOP_MS);
}

/* ---- what it uses ------------------------------------------------------------------------- */

int stage_descriptors(const struct stage *stage, int *ret_highest)
{
    char path[64];
    DIR *stream;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", stage->pid);
    stream = opendir(path);
    *ret_highest = 0;
    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        if (entry->d_name[0] != '.') {
            const int number = atoi(entry->d_name); /* NOLINT(cert-err34-c): the kernel's */
            *ret_highest = number > *ret_highest ? number : *ret_highest;
            count++;
        }
    if (!stream)
        return -1;
    closedir(stream);
    return count;
}

long stage_memory_kib(const struct stage *stage)
{
    char path[64], line[256];
    long kib = -1;
    FILE *stream;

    snprintf(path, sizeof path, "/proc/%d/status", stage->pid);
    stream = fopen(path, "re");
    while (stream && fgets(line, sizeof line, stream))
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtol(line + 8, NULL, 10);
    if (stream)
        fclose(stream);
    return kib;
}
