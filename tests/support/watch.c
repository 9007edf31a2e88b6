/* Watching and ending started processes. See process.h. */
#include "inside.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
            stream->data = support_check_memory(realloc(stream->data, stream->room));
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
    struct pollfd *fds = support_check_memory(calloc(count * POLLS + 1, sizeof *fds));
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
    const char *text; /* lines that contain this; NULL: bound, or the end */
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
    const int64_t deadline = now_ns() + support_deadline_ns();

    for (;;) {
        if (reached(p, goal))
            return 0;
        const bool over = p->exited;
        const int64_t left = deadline - now_ns();
        /* Once more after the end: a child of the process may hold the pipe. */
        if (!process_poll(&p, 1, over ? 0 : left) && over) {
            errno = ESRCH;
            return -1;
        }
        if (left <= 0 && !reached(p, goal))
            break;
    }
    fprintf(stderr, "test support: %s (pid %d): no %s in %lld s; its stderr:\n%s\n", p->name,
            (int)p->pid, what, (long long)(support_deadline_ns() / NS_PER_S), process_stderr(p));
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
    support_registry_lock();
    for (struct process **at = &support_registry.processes; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            break;
        }
    }
    support_registry_unlock();
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
