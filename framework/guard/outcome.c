/* Outcomes. See outcome.h. */
#include "guard/outcome.h"

#include "base/fork_guard.h"
#include "base/log.h"
#include "guard/symbol.h"

#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_SIZE = PIPE_BUF, /* what a pipe takes whole */
    NOTE_SIZE = 1024,     /* an error's line */
    EARLIER_SIZE = 2048
};

/* The list only grows at its head; readers follow it without a lock. */
struct history {
    struct history *next;
    const char *service; /* "": that is kept elsewhere */
    const char *of;      /* whose that is */
    atomic_int fd;       /* -1: its end is noted */
};

static struct {
    /* The watchdog's thread may end the process while a start goes on. */
    _Atomic(pid_t) process; /* 0: there is nothing to write to */
    _Atomic(unsigned long long) start_time;
    atomic_int start_fd;
    bool keeps_start_fd; /* a runner's */
    _Atomic(struct history *) histories;
    char note[NOTE_SIZE];
    char earlier[EARLIER_SIZE]; /* lines of the start fd */
    size_t earlier_size;
} outcome = {.start_fd = -1};

/* ---- lines ------------------------------------------------------------------- */

/* Text of any length; control characters become '?'. */
static void add_text(struct text_builder *line, const char *text)
{
    while (*text)
        text += text_add(line, text);
}

static void add_number(struct text_builder *line, int64_t number)
{
    text_add_decimal(line, number);
    text_add(line, " ");
}

/* The rest of a line of the history is the whole line of the start fd. */
static void add_who(struct text_builder *line)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    add_number(line, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    add_number(line, outcome.process);
    add_number(line, (int64_t)outcome.start_time);
}

static const char *without_prefix(const char *text)
{
    static const char prefix[] = "rpd: ";

    return strncmp(text, prefix, sizeof prefix - 1) == 0 ? text + sizeof prefix - 1 : text;
}

static void add_end(struct text_builder *line, int code, const char *text)
{
    text = without_prefix(text ? text : outcome.note);
    text_add(line, "ended ");
    add_number(line, code);
    add_text(line, *text ? text : "-");
}

static void write_line(int fd, struct text_builder *line)
{
    line->bytes[line->used] = '\n'; /* in place of the NUL */
    if (write(fd, line->bytes, line->used + 1) < 0) {
        /* There is no reader, or no room, and no other way to report it. */
    }
    line->bytes[line->used] = '\0';
}

/* ---- where to ---------------------------------------------------------------- */

/* A launcher that does not read is not waited for. The descriptor that was used, or
 * -1; it is open. */
static int tell_launcher(struct text_builder *line)
{
    const int fd = atomic_exchange(&outcome.start_fd, -1);
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    if (fd >= 0 && poll(&room, 1, 0) > 0)
        write_line(fd, line);
    return fd;
}

static bool is_this_process(void)
{
    return outcome.process != 0 && outcome.process == getpid();
}

void outcome_set_start_fd(int fd)
{
    fork_guard_remove(atomic_exchange(&outcome.start_fd, fd));
    if (fd < 0)
        return;
    outcome.process = getpid();
    fork_guard_add(fd);
}

void outcome_keep_start_fd(void)
{
    outcome.keeps_start_fd = true;
}

int outcome_start_fd(void)
{
    return atomic_load(&outcome.start_fd);
}

int outcome_add_history(int take_fd, const char *service, unsigned long long start_time)
{
    struct history *history = malloc(sizeof *history);

    if (!history) {
        close(take_fd);
        return -1;
    }
    outcome.process = getpid();
    outcome.start_time = start_time;
    atomic_init(&history->fd, take_fd);
    history->service = history->of = service;
    history->next = atomic_load(&outcome.histories);
    atomic_store(&outcome.histories, history);
    fork_guard_add(take_fd);
    return 0;
}

int outcome_add_kept_history(int take_fd, const char *service, unsigned long long start_time)
{
    if (outcome_add_history(take_fd, "", start_time) < 0)
        return -1;
    atomic_load(&outcome.histories)->of = service;
    return 0;
}

static struct history *history_of(const char *service)
{
    struct history *history = atomic_load(&outcome.histories);

    while (history && strcmp(history->service, service) != 0)
        history = history->next;
    return history;
}

int outcome_history(const char *service)
{
    const struct history *history = history_of(service);

    return history ? atomic_load(&history->fd) : -1;
}

/* An end that is being noted on another thread has taken the old one: it is then left open. */
void outcome_replace_history(const char *service, int take_fd)
{
    struct history *history = history_of(service);
    int old_fd = history ? atomic_load(&history->fd) : -1;

    if (old_fd < 0 || !atomic_compare_exchange_strong(&history->fd, &old_fd, take_fd)) {
        close(take_fd);
        return;
    }
    fork_guard_add(take_fd);
    fork_guard_close(old_fd);
}

/* ---- what happens -------------------------------------------------------------- */

static void write_histories(struct text_builder *line)
{
    for (struct history *history = atomic_load(&outcome.histories); history;
         history = history->next)
        write_line(atomic_load(&history->fd), line);
}

void outcome_generation(unsigned number, const char *what)
{
    char bytes[LINE_SIZE];
    struct text_builder line;

    text_init(&line, bytes, sizeof bytes);
    add_who(&line);
    text_add(&line, "generation ");
    text_add_decimal(&line, number);
    text_add(&line, " ");
    text_add(&line, what);
    write_histories(&line);
}

void outcome_bound(void)
{
    char bytes[LINE_SIZE];
    struct text_builder line;
    int start_fd;

    text_init(&line, bytes, sizeof bytes);
    add_who(&line);
    text_add(&line, "bound 0 -");
    write_histories(&line);
    if (outcome.keeps_start_fd)
        return;
    text_init(&line, bytes, sizeof bytes);
    text_add(&line, "bound");
    start_fd = tell_launcher(&line);
    fork_guard_close(start_fd);
}

void outcome_timed(const char *service, const char *text)
{
    char bytes[LINE_SIZE];
    struct text_builder line;

    text_init(&line, bytes, sizeof bytes);
    add_who(&line);
    text_add(&line, "timed 0 ");
    add_text(&line, text);
    for (struct history *history = atomic_load(&outcome.histories); history;
         history = history->next) {
        const int fd = atomic_load(&history->fd);

        if (fd >= 0 && strcmp(history->of, service) == 0)
            write_line(fd, &line);
    }
}

/* The note before is no longer the last. One that does not fit is left out: it is on
 * stderr, as all are. */
static void keep_note(void)
{
    char bytes[NOTE_SIZE + 16];
    struct text_builder line;

    if (!*outcome.note)
        return;
    text_init(&line, bytes, sizeof bytes);
    text_add(&line, "said ");
    add_text(&line, without_prefix(outcome.note));
    line.bytes[line.used++] = '\n'; /* in place of the NUL */
    if (line.used > sizeof outcome.earlier - outcome.earlier_size)
        return;
    memcpy(outcome.earlier + outcome.earlier_size, line.bytes, line.used);
    outcome.earlier_size += line.used;
}

void outcome_note(const char *text)
{
    const size_t size = strnlen(text, NOTE_SIZE - 1);

    keep_note();
    memcpy(outcome.note, text, size);
    outcome.note[size] = '\0';
}

int outcome_report(const struct error *error)
{
    log_line(RPD_LOG_ERROR, NULL, "%s", error->text);
    outcome_note(error->text);
    return (int)error->code;
}

static void tell_earlier(int start_fd)
{
    struct pollfd room = {.fd = start_fd, .events = POLLOUT};

    if (start_fd >= 0 && outcome.earlier_size > 0 && poll(&room, 1, 0) > 0 &&
        write(start_fd, outcome.earlier, outcome.earlier_size) < 0) {
        /* As for the line before. */
    }
}

/* A second caller finds no descriptor. The descriptors are left open, because the
 * process ends, and other threads may be anywhere. */
void outcome_ended(int code, const char *text)
{
    char bytes[LINE_SIZE];
    struct text_builder line;
    int start_fd;

    if (!is_this_process())
        return;
    text_init(&line, bytes, sizeof bytes);
    add_who(&line);
    add_end(&line, code, text);
    for (struct history *history = atomic_load(&outcome.histories); history;
         history = history->next) {
        const int fd = atomic_exchange(&history->fd, -1);

        if (fd >= 0)
            write_line(fd, &line);
    }
    text_init(&line, bytes, sizeof bytes);
    add_end(&line, code, text);
    start_fd = tell_launcher(&line);
    tell_earlier(start_fd);
}
