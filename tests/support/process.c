/* Black-box tests: start real daemons, watch them, talk to them, end them. */
#include "process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

enum { OUT, ERR, STREAMS };
enum { POLL_PIDFD = STREAMS, POLL_NOTIFY, POLLS };

struct stream {
    int fd; /* -1: ended */
    char *data;
    size_t size, room;
};

struct process {
    pid_t pid;
    int pidfd;
    int notify_fd; /* -1: none, or ended */
    bool notify;
    bool bound;
    int64_t bound_ns;
    bool exited;
    int status;
    struct stream streams[STREAMS];
    char name[64];
    struct process *next;
};

struct text {
    struct text *next;
    char data[];
};

struct temp_dir {
    struct temp_dir *next;
    const char *path;
};

/* What is to be cleaned up by this process, and no fork of it, at its end. */
static struct {
    pthread_mutex_t mutex;
    pid_t owner;
    struct process *processes;
    struct temp_dir *dirs;
    struct text *texts;
} registry = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- Cleaning up ------------------------------------------------------ */

static void remove_tree(const char *path);

static void clean_up(void)
{
    if (registry.owner != getpid())
        return;
    for (struct process *p = registry.processes; p; p = p->next) {
        if (p->exited)
            continue;
        pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
        waitpid(p->pid, NULL, 0);
        p->exited = true;
    }
    while (registry.dirs) {
        struct temp_dir *dir = registry.dirs;
        registry.dirs = dir->next;
        remove_tree(dir->path);
        free(dir);
    }
}

static void registry_lock(void)
{
    pthread_mutex_lock(&registry.mutex);
    if (registry.owner == getpid())
        return;
    /* First use, or in a fork of a test: what the parent made is the parent's. */
    const bool again = registry.owner != 0;
    registry.owner = getpid();
    registry.processes = NULL;
    registry.dirs = NULL;
    if (!again)
        atexit(clean_up);
}

static void registry_unlock(void)
{
    pthread_mutex_unlock(&registry.mutex);
}

void test_die(const char *format, ...)
{
    va_list args;

    fputs("test support: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    clean_up();
    abort();
}

static void *check_memory(void *memory)
{
    if (!memory)
        test_die("out of memory");
    return memory;
}

/* ---- Text and paths --------------------------------------------------- */

static char *text_room(size_t size)
{
    struct text *text = check_memory(malloc(sizeof *text + size));

    registry_lock();
    text->next = registry.texts;
    registry.texts = text;
    registry_unlock();
    return text->data;
}

const char *textf(const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    const int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0)
        test_die("textf: bad format: %s", format);
    char *data = text_room((size_t)size + 1);
    vsnprintf(data, (size_t)size + 1, format, again);
    va_end(again);
    return data;
}

const char *temp_dir_make(void)
{
    const char *base = getenv("TMPDIR");
    if (!base || strlen(base) > 40)
        base = "/tmp";

    char path[64];
    snprintf(path, sizeof path, "%s/rpd-XXXXXX", base);
    if (!mkdtemp(path))
        test_die("mkdtemp: %s: %s", path, strerror(errno));
    struct temp_dir *dir = check_memory(malloc(sizeof *dir));
    dir->path = textf("%s", path);

    registry_lock();
    dir->next = registry.dirs;
    registry.dirs = dir;
    registry_unlock();
    return dir->path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    if (type == FTW_DNR)
        chmod(path, 0700);
    else
        remove(path);
    return 0;
}

static void remove_tree(const char *path)
{
    /* Each further pass goes one level deeper into directories that a test
     * made unreadable. */
    for (int pass = 0; pass < 8 && access(path, F_OK) == 0; pass++)
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void temp_dir_remove(const char *path)
{
    registry_lock();
    for (struct temp_dir **at = &registry.dirs; *at; at = &(*at)->next) {
        if (strcmp((*at)->path, path) != 0)
            continue;
        struct temp_dir *found = *at;
        *at = found->next;
        remove_tree(path);
        free(found);
        break;
    }
    registry_unlock();
}

static const char *build_dir(void)
{
    const char *build = getenv("RPD_BUILD");

#ifdef RPD_BUILD_DIR
    if (!build)
        build = RPD_BUILD_DIR;
#endif
    return build;
}

const char *build_path(const char *relative)
{
    const char *build = build_dir();

    if (!build)
        test_die("RPD_BUILD is not set; set it to the build directory");
    return textf("%s/%s", build, relative);
}

bool is_sanitized(void)
{
    return strstr(build_path(""), "asan") || strstr(build_path(""), "tsan");
}

const char *beside_path(const char *name)
{
    char path[4096];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);

    if (size <= 0)
        test_die("readlink: /proc/self/exe: %s", strerror(errno));
    path[size] = '\0';
    return textf("%.*s/%s", (int)(strrchr(path, '/') - path), path, name);
}

void file_write(const char *path, const void *data, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0)
        test_die("write: %s: %s", path, strerror(errno));
}

const char *file_read(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;

    char *data = NULL;
    size_t size = 0;
    ssize_t got;
    do {
        data = check_memory(realloc(data, size + 4096));
        got = read(fd, data + size, 4095);
        size += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    const int error = errno;
    close(fd);
    data[size] = '\0';
    const char *text = got < 0 ? NULL : textf("%s", data);
    free(data);
    errno = error;
    return text;
}

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t deadline_ns(void)
{
    const char *seconds = getenv("RPD_TEST_DEADLINE_S");
    const long value = seconds ? strtol(seconds, NULL, 10) : 0;

    return (value > 0 && value <= 3600 ? value : 20) * NS_PER_S;
}

/* ---- Starting --------------------------------------------------------- */

static bool same_name(const char *variable, const char *entry)
{
    const size_t size = strcspn(entry, "=");

    return strncmp(variable, entry, size) == 0 && variable[size] == '=';
}

/* The environment of the child. listen_pid, if not NULL, is "LISTEN_PID=" with
 * room for the number, which only the child knows. */
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
    char **result = check_memory(calloc(inherited + standard_count + own + 1, sizeof *result));
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
    char **result = check_memory(calloc(count + 6, sizeof *result));
    memcpy(result, options->argv, count * sizeof *result);
    if (with_keeper() && strcmp(result[0], "rpd") == 0) {
        memmove(result + 2, result + 1, (count++ - 1) * sizeof *result);
        result[1] = (char *)"--keeper";
    }
    if (!strchr(result[0], '/') && build_dir() && is_program(build_path(result[0])))
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

    /* Out of the way first, then each to its place. */
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
    struct process *p = check_memory(calloc(1, sizeof *p));
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

    registry_lock();
    p->next = registry.processes;
    registry.processes = p;
    registry_unlock();
    return p;
}

/* ---- Watching --------------------------------------------------------- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void stream_take(struct stream *stream)
{
    while (stream->fd >= 0) {
        if (stream->room - stream->size < 1024) {
            stream->room = stream->room ? stream->room * 2 : 2048;
            stream->data = check_memory(realloc(stream->data, stream->room));
            stream->data[stream->size] = '\0';
        }
        const ssize_t got = read(stream->fd, stream->data + stream->size,
                                 stream->room - stream->size - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0)
            close_fd(&stream->fd);
        else
            stream->size += (size_t)got;
        stream->data[stream->size] = '\0';
    }
}

static void notify_take(struct process *p)
{
    char bytes[16];

    while (p->notify_fd >= 0) {
        const ssize_t got = read(p->notify_fd, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0) {
            close_fd(&p->notify_fd);
        } else if (!p->bound && memchr(bytes, '\n', (size_t)got)) {
            p->bound = true;
            p->bound_ns = now_ns();
        }
    }
}

static void process_watch(const struct process *p, struct pollfd *fds)
{
    for (int i = 0; i < POLLS; i++)
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    if (!p)
        return;
    fds[OUT].fd = p->streams[OUT].fd;
    fds[ERR].fd = p->streams[ERR].fd;
    fds[POLL_PIDFD].fd = p->exited ? -1 : p->pidfd;
    fds[POLL_NOTIFY].fd = p->notify_fd;
}

static void process_take(struct process *p, const struct pollfd *fds)
{
    const bool ended = fds[POLL_PIDFD].revents != 0;

    if (ended) {
        if (waitpid(p->pid, &p->status, 0) != p->pid)
            test_die("waitpid: %s %d: %s", p->name, (int)p->pid, strerror(errno));
        p->exited = true;
    }
    for (int i = 0; i < STREAMS; i++) {
        if (ended || fds[i].revents)
            stream_take(&p->streams[i]);
    }
    if (ended || fds[POLL_NOTIFY].revents)
        notify_take(p);
}

bool process_poll(struct process *const *list, size_t count, int64_t timeout_ns)
{
    struct pollfd *fds = check_memory(calloc(count * POLLS + 1, sizeof *fds));
    if (timeout_ns < 0)
        timeout_ns = 0;
    const struct timespec timeout = {timeout_ns / NS_PER_S, timeout_ns % NS_PER_S};

    for (size_t i = 0; i < count; i++)
        process_watch(list[i], fds + i * POLLS);
    const int ready = ppoll(fds, count * POLLS, &timeout, NULL);
    if (ready < 0 && errno != EINTR)
        test_die("poll: %s", strerror(errno));
    for (size_t i = 0; ready > 0 && i < count; i++) {
        if (list[i])
            process_take(list[i], fds + i * POLLS);
    }
    free(fds);
    return ready > 0;
}

static size_t count_lines(const struct process *p, const char *text)
{
    const struct stream *err = &p->streams[ERR];
    const size_t text_size = strlen(text);
    size_t count = 0;

    for (size_t at = 0; at < err->size;) {
        const char *line = err->data + at;
        const char *end = memchr(line, '\n', err->size - at);
        if (!end && err->fd >= 0)
            break;
        const size_t size = end ? (size_t)(end - line) : err->size - at;
        if (memmem(line, size, text, text_size))
            count++;
        at += size + 1;
    }
    return count;
}

static bool is_bound(const struct process *p)
{
    return p->notify ? p->bound : count_lines(p, ": bound ") > 0;
}

struct goal {
    const char *text; /* lines with this; NULL: bound, or the end */
    size_t count;
    bool exit;
};

static bool reached(const struct process *p, const struct goal *goal)
{
    if (goal->exit)
        return p->exited;
    return goal->text ? count_lines(p, goal->text) >= goal->count : is_bound(p);
}

static int process_wait(struct process *p, const struct goal *goal, const char *what)
{
    const int64_t deadline = now_ns() + deadline_ns();

    for (;;) {
        if (reached(p, goal))
            return 0;
        const bool over = p->exited;
        const int64_t left = deadline - now_ns();
        /* Once more after the end: a child of its own may hold the pipe. */
        if (!process_poll(&p, 1, over ? 0 : left) && over) {
            errno = ESRCH;
            return -1;
        }
        if (left <= 0 && !reached(p, goal))
            break;
    }
    fprintf(stderr, "test support: %s (pid %d): no %s in %lld s; its stderr:\n%s\n", p->name,
            (int)p->pid, what, (long long)(deadline_ns() / NS_PER_S), process_stderr(p));
    errno = ETIMEDOUT;
    return -1;
}

int process_wait_bound(struct process *p)
{
    return process_wait(p, &(struct goal){0}, "bound");
}

int process_wait_lines(struct process *p, const char *text, size_t count)
{
    return process_wait(p, &(struct goal){.text = text, .count = count},
                        textf("%zu lines with \"%s\"", count, text));
}

int process_wait_line(struct process *p, const char *text)
{
    return process_wait_lines(p, text, 1);
}

int process_wait_exit(struct process *p)
{
    return process_wait(p, &(struct goal){.exit = true}, "end") == 0 ? p->status : -1;
}

int process_signal(struct process *p, int signal_number)
{
    if (p->exited) {
        errno = ESRCH;
        return -1;
    }
    return pidfd_send_signal(p->pidfd, signal_number, NULL, 0);
}

int process_stop(struct process *p)
{
    process_signal(p, SIGTERM);
    const int status = process_wait_exit(p);
    if (status == -1) {
        process_signal(p, SIGKILL);
        process_wait_exit(p);
    }
    return status;
}

int process_code(int status)
{
    if (status == -1)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void process_free(struct process *p)
{
    if (!p)
        return;
    registry_lock();
    for (struct process **at = &registry.processes; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    registry_unlock();
    if (!p->exited) {
        pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
        waitpid(p->pid, NULL, 0);
    }
    close_fd(&p->pidfd);
    close_fd(&p->notify_fd);
    for (int i = 0; i < STREAMS; i++) {
        close_fd(&p->streams[i].fd);
        free(p->streams[i].data);
    }
    free(p);
}

pid_t process_pid(const struct process *p)
{
    return p->pid;
}

bool process_bound(const struct process *p)
{
    return p->bound;
}

int64_t process_bound_ns(const struct process *p)
{
    return p->bound_ns;
}

bool process_exited(const struct process *p, int *ret_wait_status)
{
    if (p->exited && ret_wait_status)
        *ret_wait_status = p->status;
    return p->exited;
}

static const char *text_so_far(const struct process *p, int which)
{
    struct stream *stream = (struct stream *)(uintptr_t)&p->streams[which];

    stream_take(stream);
    return stream->data ? stream->data : "";
}

const char *process_stderr(const struct process *p)
{
    return text_so_far(p, ERR);
}

const char *process_stdout(const struct process *p)
{
    return text_so_far(p, OUT);
}

bool process_alive(const struct process *p)
{
    struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};

    return !p->exited && poll(&fd, 1, 0) == 0;
}

const char *process_endpoint(const struct process *p, const char *prefix)
{
    static const char mark[] = ": bound ";

    for (const char *at = process_stderr(p); (at = strstr(at, mark));) {
        at += sizeof mark - 1;
        const char *end = strchr(at, '\n');
        while (end && at < end) {
            const size_t size = strcspn(at, " \n");
            if (strncmp(at, prefix, strlen(prefix)) == 0)
                return textf("%.*s", (int)size, at);
            at += size + 1;
        }
    }
    return NULL;
}

/* ---- Clients ---------------------------------------------------------- */

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
};

static socklen_t parse_unix(const char *path, union address *ret)
{
    const size_t size = strlen(path);

    ret->un.sun_family = AF_UNIX;
    if (size == 0 || size >= sizeof ret->un.sun_path)
        return 0;
    memcpy(ret->un.sun_path, path, size);
    const size_t head = offsetof(struct sockaddr_un, sun_path);
    if (path[0] != '@')
        return (socklen_t)(head + size + 1);
    ret->un.sun_path[0] = '\0';
    return (socklen_t)(head + size);
}

static socklen_t parse_tcp(const char *text, union address *ret)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    if (!colon || colon - text >= (ptrdiff_t)sizeof host)
        return 0;
    const in_port_t port = htons((in_port_t)strtoul(colon + 1, NULL, 10));
    const bool six = text[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - (six ? 2 : 0), text + (six ? 1 : 0));
    if (six) {
        ret->in6.sin6_family = AF_INET6;
        ret->in6.sin6_port = port;
        return inet_pton(AF_INET6, host, &ret->in6.sin6_addr) == 1 ? sizeof ret->in6 : 0;
    }
    ret->in4.sin_family = AF_INET;
    ret->in4.sin_port = port;
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    return inet_pton(AF_INET, host, &ret->in4.sin_addr) == 1 ? sizeof ret->in4 : 0;
}

int connect_to(const char *endpoint)
{
    union address address;
    socklen_t size = 0;

    memset(&address, 0, sizeof address);
    if (strncmp(endpoint, "unix:", 5) == 0)
        size = parse_unix(endpoint + 5, &address);
    else if (strncmp(endpoint, "tcp:", 4) == 0)
        size = parse_tcp(endpoint + 4, &address);
    if (size == 0) {
        errno = EINVAL;
        return -1;
    }
    const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        test_die("socket: %s", strerror(errno));
    const struct timeval deadline = {.tv_sec = deadline_ns() / NS_PER_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
    if (connect(fd, &address.any, size) == 0)
        return fd;
    const int error = errno == EAGAIN || errno == EINPROGRESS ? ETIMEDOUT : errno;
    close(fd);
    errno = error;
    return -1;
}

int send_all(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t sent = send(fd, (const char *)data + done, size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            errno = errno == EAGAIN ? ETIMEDOUT : errno;
            return -1;
        }
        done += (size_t)sent;
    }
    return 0;
}

/* Reads until size bytes, end-of-file, or, byte by byte, the stop byte. */
static ssize_t read_some(int fd, char *buffer, size_t size, int stop)
{
    size_t done = 0;

    while (done < size) {
        const ssize_t got = read(fd, buffer + done, stop < 0 ? size - done : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            errno = errno == EAGAIN ? ETIMEDOUT : errno;
            return -1;
        }
        if (got == 0)
            break;
        done += (size_t)got;
        if (stop >= 0 && (unsigned char)buffer[done - 1] == stop)
            break;
    }
    return (ssize_t)done;
}

ssize_t read_exactly(int fd, void *buffer, size_t size)
{
    return read_some(fd, buffer, size, -1);
}

ssize_t read_line(int fd, char *buffer, size_t size)
{
    const ssize_t got = read_some(fd, buffer, size - 1, '\n');

    buffer[got > 0 ? got : 0] = '\0';
    return got;
}

ssize_t read_to_end(int fd, char *buffer, size_t size)
{
    const ssize_t got = read_some(fd, buffer, size - 1, -1);

    buffer[got > 0 ? got : 0] = '\0';
    return got;
}

pid_t peer_pid(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : -1;
}

/* ---- Of any process --------------------------------------------------- */

int count_fds(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -1;

    int count = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return pid == getpid() ? count - 1 : count;
}

long rss_kib(pid_t pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;

    long rss = -1;
    while (rss < 0 && fgets(line, sizeof line, file))
        sscanf(line, "Rss: %ld kB", &rss);
    fclose(file);
    return rss;
}

int64_t cpu_time_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec time;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return -1;
    return time.tv_sec * NS_PER_S + time.tv_nsec;
}
