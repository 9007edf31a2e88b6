/* Lines to stderr. See output.h.
 *
 * stderr's own descriptor is not changed: the shell that started rpd shares its O_NONBLOCK flag. A
 * pipe is opened a second time. */
#include "base/output.h"

#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* A second, non-blocking description of the same pipe; -1: none. */
static atomic_int output_pipe = -1;

/* Set before other threads exist: */
static bool is_journal;              /* lines begin with their priority */
static atomic_bool is_file;          /* and text lines with the time, if... */
static atomic_bool puts_time = true; /* ...this is so */
static bool is_native;               /* lines are the journal's datagrams */
static const char *file_path;        /* of our own log; NULL: it is none */
static char *own_path;

/* The offset of local time, in seconds east of Greenwich. A signal handler must not call
 * localtime_r(). */
static atomic_long zone_offset_s;
static atomic_bool keeps_zone;

/* ---- where lines go ---------------------------------------------------------- */

/* systemd names the socket that it made stderr. A process that has redirected stderr since then
 * gets no priorities. */
static bool is_the_journal(const struct stat *status)
{
    const char *text = getenv("JOURNAL_STREAM");
    char own[48];

    snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)status->st_dev,
             (unsigned long long)status->st_ino);
    return text && strcmp(text, own) == 0;
}

void output_begin(void)
{
    struct stat status;

    if (fstat(STDERR_FILENO, &status) != 0)
        return;
    is_file = S_ISREG(status.st_mode);
    is_journal = is_the_journal(&status);
}

void output_put_time(bool puts)
{
    atomic_store(&puts_time, puts);
}

/* ---- other places ------------------------------------------------------------ */

static int open_file(void)
{
    const int fd = log_file_open(file_path, false);
    const int put = fd < 0 ? -1 : dup2(fd, STDERR_FILENO);
    const int cause = errno;

    if (fd >= 0)
        close(fd);
    errno = cause;
    return put < 0 ? -1 : 0;
}

int output_to_file(const char *path, bool is_open)
{
    free(own_path);
    file_path = own_path = strdup(path); /* the configuration may change */
    is_journal = false;
    atomic_store(&is_file, true);
    if (is_open || open_file() == 0)
        return 0;
    file_path = NULL;
    return -1;
}

bool output_to_journal(bool is_asked)
{
    is_native = (is_asked || is_journal) && journal_open();
    return is_native;
}

void output_reopen(void)
{
    if (file_path)
        open_file();
}

/* Only one thread looks at a time. */
void output_look(void)
{
    enum { EVERY_MS = 200 };
    static _Atomic uint64_t looked_ms;
    struct timespec now;
    uint64_t before, now_ms;

    if (!file_path)
        return;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    before = atomic_load(&looked_ms);
    if (now_ms - before < EVERY_MS || !atomic_compare_exchange_strong(&looked_ms, &before, now_ms))
        return;
    if (!log_file_is_at(STDERR_FILENO, file_path))
        open_file();
}

const char *output_place(void)
{
    return is_native ? "journal" : file_path ? file_path : "stderr";
}

void output_open(void)
{
    struct stat status;

    if (fstat(STDERR_FILENO, &status) == 0 && S_ISFIFO(status.st_mode))
        atomic_store(&output_pipe,
                     open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
}

/* ---- how lines begin ----------------------------------------------------------- */

void output_note_zone(void)
{
    const time_t now = time(NULL);
    struct tm local;

    if (atomic_load(&is_file) && atomic_load(&puts_time) && !atomic_load(&keeps_zone) &&
        localtime_r(&now, &local))
        atomic_store(&zone_offset_s, local.tm_gmtoff);
}

void output_keep_zone(void)
{
    atomic_store(&keeps_zone, true);
}

static void put_number(char **at, unsigned number, int digits)
{
    for (int i = digits; i-- > 0; number /= 10)
        (*at)[i] = (char)('0' + number % 10);
    *at += digits;
}

/* The calendar date of a day since 1970, without a library. */
static void put_date(char **at, long days)
{
    const long shifted = days + 719468; /* since 1 March of the year 0 */
    const long era = shifted / 146097, of_era = shifted % 146097;
    const long year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const long of_year = of_era - (365 * year + year / 4 - year / 100);
    const long from_march = (5 * of_year + 2) / 153;
    const long month = from_march < 10 ? from_march + 3 : from_march - 9;

    put_number(at, (unsigned)(year + era * 400 + (month <= 2)), 4);
    *(*at)++ = '-';
    put_number(at, (unsigned)month, 2);
    *(*at)++ = '-';
    put_number(at, (unsigned)(of_year - (153 * from_march + 2) / 5 + 1), 2);
}

static void put_time_of_day(char **at, long seconds)
{
    put_number(at, (unsigned)(seconds / 3600), 2);
    *(*at)++ = ':';
    put_number(at, (unsigned)(seconds / 60 % 60), 2);
    *(*at)++ = ':';
    put_number(at, (unsigned)(seconds % 60), 2);
}

/* "2026-01-02T03:04:05.678+01:00 " */
static size_t time_head(char *head)
{
    enum { DAY_S = 86400 };
    const long offset_s = atomic_load(&zone_offset_s);
    const unsigned minutes = (unsigned)(offset_s < 0 ? -offset_s : offset_s) / 60;
    struct timespec now;
    char *at = head;
    long local_s;

    clock_gettime(CLOCK_REALTIME, &now);
    local_s = now.tv_sec + offset_s;
    put_date(&at, local_s / DAY_S);
    *at++ = 'T';
    put_time_of_day(&at, local_s % DAY_S);
    *at++ = '.';
    put_number(&at, (unsigned)(now.tv_nsec / 1000000), 3);
    *at++ = offset_s < 0 ? '-' : '+';
    put_number(&at, minutes / 60, 2);
    *at++ = ':';
    put_number(&at, minutes % 60, 2);
    *at++ = ' ';
    return (size_t)(at - head);
}

size_t output_head(enum output_priority priority, char head[OUTPUT_HEAD_MAX])
{
    if (is_journal) {
        head[0] = '<';
        head[1] = (char)('0' + (int)priority);
        head[2] = '>';
        return 3;
    }
    return atomic_load(&is_file) && atomic_load(&puts_time) ? time_head(head) : 0;
}

/* ---- writing -------------------------------------------------------------------- */

/* The journal records the time, the priority and the sender itself. */
static bool write_native(enum output_priority priority, const char *line, size_t size,
                         const struct journal_fields *fields)
{
    static const char name[] = "rpd: ";
    const size_t skipped = size > sizeof name && memcmp(line, name, sizeof name - 1) == 0
                               ? sizeof name - 1
                               : 0;
    const int saved = errno;
    const bool sent = journal_send((int)priority, line + skipped,
                                   size - skipped - (size > 0 && line[size - 1] == '\n'), fields);

    errno = saved;
    return sent;
}

bool output_write(enum output_priority priority, const char *line, size_t size)
{
    return output_write_with(priority, line, size, NULL);
}

bool output_write_with(enum output_priority priority, const char *line, size_t size,
                       const struct journal_fields *fields)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    char head[OUTPUT_HEAD_MAX];
    struct iovec parts[] = {{.iov_base = head}, {.iov_base = (char *)(uintptr_t)line}};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    const int pipe = atomic_load(&output_pipe);
    const int saved = errno;
    ssize_t written;

    if (is_native && write_native(priority, line, size, fields))
        return true;
    parts[0].iov_len = output_head(priority, head);
    parts[1].iov_len = size;
    if (pipe >= 0) {
        written = writev(pipe, parts, 2);
    } else {
        written = sendmsg(STDERR_FILENO, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written < 0 && errno == ENOTSOCK && poll(&room, 1, 0) != 0)
            written = writev(STDERR_FILENO, parts, 2);
    }
    errno = saved;
    return written >= 0;
}
