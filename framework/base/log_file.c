/* Log files. See log_file.h. */
#include "base/log_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_MAX_BYTES = 1024 * 1024 };

static void put_aside_if_long(const char *path)
{
    char aside[PATH_MAX];
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > LOG_MAX_BYTES &&
        snprintf(aside, sizeof aside, "%s.old", path) < (int)sizeof aside)
        rename(path, aside);
}

/* Non-blocking, because a pipe without a reader would block us. */
int log_file_open(const char *path, bool puts_aside)
{
    if (puts_aside)
        put_aside_if_long(path);
    return open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600);
}

bool log_file_is_at(int fd, const char *path)
{
    struct stat open_one, named;

    return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 &&
           open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}
