/* The kit's daemons. See rpdctl/kit.h; its clients are in rpdctl/client.c. */
#include "rpdctl/kit.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "library/libjansson.h"
#include "observe/state_view.h"
#include "rpdctl/descriptor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    NOTIFY_FD = 3,
    BOUND_MS = 10000,
    LOADING_MS = 5000,
    READY_MS = 20000,
    STOP_MS = 5000,
    GONE_MS = 1000, /* between its last descriptor and its end */
    LOOK_MS = 2,
    DRAIN_S = 3
};

/* ---- verdicts ------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 0))) static void tell(struct kit *kit, const char *format,
                                                       va_list arguments)
{
    vsnprintf(kit->text, sizeof kit->text, format, arguments);
}

#define TELL_AND_RETURN(verdict)                                                                   \
    va_list arguments;                                                                             \
    va_start(arguments, format);                                                                   \
    tell(kit, format, arguments);                                                                  \
    va_end(arguments);                                                                             \
    return verdict

enum verdict kit_passed(struct kit *kit, const char *format, ...)
{
    TELL_AND_RETURN(PASSED);
}

enum verdict kit_passes(struct kit *kit)
{
    kit->text[0] = '\0';
    return PASSED;
}

enum verdict kit_failed(struct kit *kit, const char *format, ...)
{
    TELL_AND_RETURN(FAILED);
}

enum verdict kit_skipped(struct kit *kit, const char *format, ...)
{
    TELL_AND_RETURN(SKIPPED);
}

bool kit_has(const struct kit *kit, const char *callback)
{
    return descriptor_has(kit->descriptor, callback);
}

void kit_sleep_ms(unsigned milliseconds)
{
    nanosleep(&(const struct timespec){.tv_sec = milliseconds / 1000,
                                       .tv_nsec = milliseconds % 1000 * 1000000L},
              NULL);
}

/* ---- starting ------------------------------------------------------------------------- */

static json_t *make_config(const struct stage *stage, const struct stage_options *options)
{
    struct kit *kit = stage->kit;
    json_t *listen = json_array();
    json_t *service = json_pack("{ss ss}", "name", "check", "plugin",
                                descriptor_text(kit->descriptor, "file"));
    char endpoint[sizeof stage->socket + 8];

    snprintf(endpoint, sizeof endpoint, "unix:%s", stage->socket);
    json_array_append_new(listen, json_string(options->listen[0] ? options->listen[0] : endpoint));
    if (options->listen[1])
        json_array_append_new(listen, json_string(options->listen[1]));
    json_object_set_new(service, "listen", listen);
    if (options->warmup)
        json_object_set_new(service, "warmup", json_string(options->warmup));
    if (options->on_load_failure)
        json_object_set_new(service, "on_load_failure", json_string(options->on_load_failure));
    if (options->seal)
        json_object_set_new(service, "seal", json_string(options->seal));
    json_object_set_new(service, "options", json_pack("O", kit->options));
    return json_pack("{si s[o]}", "drain_s", DRAIN_S, "services", service);
}

static bool write_config(const struct stage *stage, const struct stage_options *options)
{
    const int fd = openat(stage->dirfd, "rpd.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
    json_t *config = make_config(stage, options);
    const bool written = stream && config && json_dumpf(config, stream, 0) == 0;

    if (config)
        json_decref(config);
    return stream && fclose(stream) == 0 && written;
}

/* The kit's own environment, but what belongs to it alone. Of the child: never freed. */
static char **make_environment(const struct stage *stage)
{
    static const char *const own[] = {"RPD_RUNTIME_DIR=", "LISTEN_", "NOTIFY_SOCKET="};
    static char runtime[sizeof stage->dir + 32];
    size_t count = 0, used = 0;
    char **result;

    while (environ[count])
        count++;
    result = calloc(count + 2, sizeof *result);
    if (!result)
        _exit(127);
    for (size_t i = 0; i < count; i++) {
        bool kept = true;

        for (size_t o = 0; o < sizeof own / sizeof *own; o++)
            kept = kept && strncmp(environ[i], own[o], strlen(own[o])) != 0;
        if (kept)
            result[used++] = environ[i];
    }
    snprintf(runtime, sizeof runtime, "%s%s/run", own[0], stage->dir);
    result[used] = runtime;
    return result;
}

/* In the child: what it finds is what a shell would give it. */
static void become_daemon(const struct stage *stage, const char *wrap, int notify_fd)
{
    char config[sizeof stage->dir + 16], number[16];
    char **environment = make_environment(stage);
    const int log = openat(stage->dirfd, "log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* No handler of ours may swallow what a check sends before exec. */
    for (int caught = 1; caught < SIGRTMIN; caught++)
        signal(caught, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    snprintf(config, sizeof config, "%s/rpd.json", stage->dir);
    snprintf(number, sizeof number, "%d", NOTIFY_FD);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    dup2(notify_fd, NOTIFY_FD);
    descriptors_close(NOTIFY_FD + 1, ~0U);
    if (wrap)
        execle(stage->kit->self, "rpdctl", "check-daemon", wrap, "-c", config, "--notify-fd",
               number, (char *)NULL, environment);
    else
        execle(stage->kit->rpd, "rpd", "-c", config, "--notify-fd", number, (char *)NULL,
               environment);
    _exit(127);
}

static bool make_directory(struct stage *stage)
{
    char dir[sizeof stage->dir], runtime[sizeof stage->dir + 8];

    snprintf(dir, sizeof dir, "%s/%zu", stage->kit->dir, (size_t)(stage - stage->kit->stages));
    snprintf(runtime, sizeof runtime, "%s/run", dir);
    snprintf(stage->dir, sizeof stage->dir, "%s", dir);
    snprintf(stage->socket, sizeof stage->socket, "%s/s", runtime);
    if (mkdir(dir, 0700) < 0 || mkdir(runtime, 0700) < 0)
        return false;
    stage->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return stage->dirfd >= 0;
}

struct stage *stage_start(struct kit *kit, const struct stage_options *options)
{
    struct stage *stage = &kit->stages[kit->stage_count];
    sigset_t all, before;
    int ends[2];

    if (kit->stage_count == KIT_STAGES)
        abort(); /* a mistake in a check */
    kit->stage_count++;
    *stage = (struct stage){.kit = kit, .dirfd = -1, .pidfd = -1, .notify_fd = -1};
    if (!make_directory(stage) || !write_config(stage, options) || pipe2(ends, O_CLOEXEC) < 0) {
        kit_failed(kit, "the kit cannot set a stage in %s: %s", kit->dir, strerror(errno));
        return NULL;
    }
    stage->notify_fd = ends[0];
    stage->started_us = clock_us();
    fflush(NULL);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    stage->pid = fork();
    if (stage->pid == 0)
        become_daemon(stage, options->wrap, ends[1]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    stage->pidfd = stage->pid > 0 ? pidfd_open(stage->pid, 0) : -1;
    if (stage->pidfd >= 0 || (stage->pid > 0 && (errno == ENOSYS || errno == EPERM)))
        return stage;
    kit_failed(kit, "the kit cannot start a process: %s", strerror(errno));
    return NULL;
}

/* ---- what it says ---------------------------------------------------------------------- */

/* What every end says, whatever it came from. */
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
    lseek(fd, -(off_t)(sizeof tail - 1), SEEK_END); /* (Where it is shorter, from its beginning.) */
    size = read(fd, tail, sizeof tail - 1);
    close(fd);
    do {
        while (size > 0 && tail[size - 1] == '\n')
            size--;
        tail[size > 0 ? size : 0] = '\0';
        line = strrchr(tail, '\n');
        line = line ? line + 1 : tail;
        snprintf(room, 256, "%.250s", line);
        size = line - tail;
    } while (size > 0 && is_of_any_end(room));
    return room;
}

/* The last line that says why a load failed, from its subject on; "": there is none. */
static const char *load_failure(const struct stage *stage, char room[256])
{
    enum { LOG_MAX = 65536 };
    char *log = malloc(LOG_MAX), *found = NULL;
    const int fd = log ? openat(stage->dirfd, "log", O_RDONLY | O_CLOEXEC) : -1;
    const ssize_t size = fd < 0 ? -1 : read(fd, log, LOG_MAX - 1);

    room[0] = '\0';
    if (log)
        log[size > 0 ? size : 0] = '\0';
    for (char *at = log; at && (at = strstr(at, "load failed: ")); at++)
        found = at;
    if (found)
        snprintf(room, 256, "%.*s", (int)strcspn(found, "\n"), found);
    if (fd >= 0)
        close(fd);
    free(log);
    return room;
}

static bool reap(struct stage *stage, int options)
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

    while (!reap(stage, WNOHANG) && (now_us = clock_us()) < end_us) {
        const int left_ms = (int)((end_us - now_us + 999) / 1000);

        /* (Where a sandbox gives no pidfd, it is looked at again and again.) */
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

    if (!reap(stage, WNOHANG))
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

/* ---- between two checks --------------------------------------------------------------------- */

/* Two levels: DIR, and DIR/run. */
static void remove_files(int dirfd)
{
    DIR *stream = fdopendir(dup(dirfd));

    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd, entry->d_name, 0) == 0 || errno != EISDIR)
            continue;
        const int below = openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (below < 0)
            continue;
        remove_files(below);
        close(below);
        unlinkat(dirfd, entry->d_name, AT_REMOVEDIR);
    }
    if (stream)
        closedir(stream);
}

void kit_clear(struct kit *kit)
{
    for (size_t i = 0; i < kit->client_count; i++)
        close(kit->clients[i]);
    kit->client_count = 0;
    for (size_t i = 0; i < kit->stage_count; i++) {
        struct stage *stage = &kit->stages[i];

        stage_signal(stage, SIGKILL);
        reap(stage, 0);
        if (stage->pidfd >= 0)
            close(stage->pidfd);
        if (stage->notify_fd >= 0)
            close(stage->notify_fd);
        if (stage->dirfd >= 0) {
            remove_files(stage->dirfd);
            close(stage->dirfd);
        }
        rmdir(stage->dir);
    }
    kit->stage_count = 0;
}
