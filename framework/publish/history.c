/* Histories. See history.h. */
#include "publish/history.h"

#include "publish/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE = 0644 };

static int open_file(int dirfd, const char *name, struct stat *ret_status)
{
    const int fd = openat(dirfd, name,
                          O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, MODE);

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

/* Whoever reads it meanwhile has the old one, or the new one. It shall stay, so
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
    /* (One that cannot be cut is good for some lines more.) */
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
