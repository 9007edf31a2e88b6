/* Histories. See history.h. */
#include "publish/history.h"

#include "base/directory.h"
#include "publish/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE = 0644 };

/* One that another user made, when the directory was open to others, is replaced. */
static int open_believed(int dirfd, const char *name)
{
    const int flags = O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    struct stat status;
    const int fd = openat(dirfd, name, flags, MODE);

    if (fd < 0 || fstat(fd, &status) < 0 || directory_believes(dirfd, status.st_uid))
        return fd;
    close(fd);
    return unlinkat(dirfd, name, 0) == 0 ? openat(dirfd, name, flags | O_EXCL, MODE) : -1;
}

static int open_file(int dirfd, const char *name, struct stat *ret_status)
{
    const int fd = open_believed(dirfd, name);

    if (fd < 0)
        return -1;
    if (fstat(fd, ret_status) == 0 && S_ISREG(ret_status->st_mode))
        return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

/* The whole lines within the last bytes: at most room, which is one more than
 * are kept, as a line may begin just there. */
static const char *last_lines(int fd, off_t size, char *text, size_t room, size_t *ret_size)
{
    const ssize_t got = pread(fd, text, room, size - (off_t)room);
    const char *newline = got > 0 ? memchr(text, '\n', (size_t)got) : NULL;
    const char *begin = newline ? newline + 1 : text + (got > 0 ? got : 0);

    *ret_size = (size_t)(text + (got > 0 ? got : 0) - begin);
    return got > 0 ? begin : NULL;
}

/* A reader has the old one meanwhile, or the new one. It shall stay, so
 * it is no residue once it has its name. */
static int cut(int dirfd, const char *name, int fd, off_t size)
{
    char text[HISTORY_KEPT + 1];
    struct whole_file file = {0};
    size_t kept;
    const char *lines = last_lines(fd, size, text, sizeof text, &kept);
    const int fresh = lines ? whole_file_create(&file, dirfd, name) : -1;
    const bool written = fresh >= 0 && write(fresh, lines, kept) == (ssize_t)kept;

    if (fresh >= 0)
        close(fresh);
    if (!written) {
        whole_file_remove(&file);
        return -1;
    }
    residue_forget(file.residue);
    return whole_file_show(&file);
}

/* A write that met a full disk may have left half a line. */
static void end_last_line(int fd, off_t size)
{
    char last = '\n';

    if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n' && write(fd, "\n", 1) < 0) {
        /* it is as full as it was */
    }
}

int history_open(int runtime_dirfd, const char *service)
{
    char name[NAME_MAX + 1];
    struct stat status;
    int fd;

    snprintf(name, sizeof name, "%s.history", service);
    fd = open_file(runtime_dirfd, name, &status);
    /* One that cannot be cut is good for some lines more. */
    if (fd >= 0 && status.st_size > HISTORY_MAX &&
        cut(runtime_dirfd, name, fd, status.st_size) == 0) {
        close(fd);
        fd = open_file(runtime_dirfd, name, &status);
    }
    if (fd < 0)
        return -1;
    if ((status.st_mode & 07777) != MODE && fchmod(fd, MODE) < 0) {
        close(fd);
        return -1;
    }
    end_last_line(fd, status.st_size);
    return fd;
}

static const char *last_line(const char *text, size_t size)
{
    const char *at = size > 0 ? text + size - 1 : text;

    while (at > text && at[-1] != '\n')
        at--;
    return at;
}

/* The last line that says that a process was bound, and what follows it; or the last line. */
static const char *last_start(const char *text, size_t size)
{
    static const char bound[] = " bound 0 -\n";
    const char *at = last_line(text, size);

    for (const char *line = at;; line = last_line(text, (size_t)(line - text))) {
        if (memmem(line, strcspn(line, "\n") + 1, bound, sizeof bound - 1))
            return line;
        if (line == text)
            return at;
    }
}

static bool ends_with(int fd, const char *line, size_t size)
{
    char last[HISTORY_KEPT + 1];
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_size >= (off_t)size &&
           pread(fd, last, size, status.st_size - (off_t)size) == (ssize_t)size &&
           memcmp(last, line, size) == 0;
}

/* What cannot be written is lost: it informs only. */
static void carry(int from_fd, off_t from_size, int to_fd, bool whole)
{
    char text[HISTORY_KEPT + 1];
    size_t size = 0;
    const size_t room = (size_t)from_size < sizeof text ? (size_t)from_size : sizeof text;
    const char *lines = text;

    if (room == (size_t)from_size)
        size = (size_t)(room > 0 ? pread(from_fd, text, room, 0) : 0);
    else
        lines = last_lines(from_fd, from_size, text, room, &size);
    if (!lines || size == 0 || size > room || lines[size - 1] != '\n')
        return;
    if (!whole) {
        const char *const last = last_start(lines, size);

        size -= (size_t)(last - lines);
        lines = last;
        if (ends_with(to_fd, lines, size))
            return; /* it has been here before */
    }
    if (write(to_fd, lines, size) < 0) {
        /* it is full here, too */
    }
}

int history_move(int from_fd, int runtime_dirfd, const char *service)
{
    const int fd = history_open(runtime_dirfd, service);
    struct stat from, to;

    if (fd >= 0 && from_fd >= 0 && fstat(from_fd, &from) == 0 && fstat(fd, &to) == 0)
        carry(from_fd, from.st_size, fd, to.st_size == 0);
    return fd;
}

int history_note_end(int runtime_dirfd, const char *service, const struct history_end *end)
{
    char name[NAME_MAX + 1];
    struct stat status;
    int fd, failed;

    snprintf(name, sizeof name, "%s.history", service);
    fd = open_file(runtime_dirfd, name, &status);
    if (fd < 0)
        return -1;
    failed = dprintf(fd, "%llu %d %llu ended %d %s\n", end->time_ms, (int)end->pid, end->start_time,
                     end->code, *end->text ? end->text : "-") < 0;
    close(fd);
    return failed ? -1 : 0;
}

void history_sweep(int runtime_dirfd, const char *service)
{
    struct whole_file file = {.dirfd = runtime_dirfd};

    snprintf(file.name, sizeof file.name, "%s.history", service);
    whole_file_sweep(&file);
}
