/* Logs of daemons. See daemon_log.h. */
#include "rpdctl/ensure/daemon_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_MAX_BYTES = 1024 * 1024 };

/* 0, or -1 if there is no such place. */
static int default_path(char path[PATH_MAX], const char *service)
{
    const char *state = getenv("XDG_STATE_HOME"),
               *base = state && *state == '/' ? state : getenv("HOME");
    const char *below = base == state ? "" : "/.local/state";

    return base && *base == '/' &&
                   snprintf(path, PATH_MAX, "%s%s/rpd/%s.log", base, below, service) < PATH_MAX
               ? 0
               : -1;
}

static void make_directories(const char *path)
{
    char directory[PATH_MAX];

    snprintf(directory, sizeof directory, "%s", path);
    for (char *slash = strchr(directory + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(directory, 0700); /* a failure is reported when the file is opened */
        *slash = '/';
    }
}

static void put_aside_if_long(const char *path)
{
    char aside[PATH_MAX];
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > LOG_MAX_BYTES &&
        snprintf(aside, sizeof aside, "%s.old", path) < (int)sizeof aside)
        rename(path, aside);
}

/* Non-blocking: a pipe without a reader would hold up the caller. */
static int open_log(const char *path)
{
    put_aside_if_long(path);
    return open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600);
}

static int open_nowhere(struct error *error)
{
    const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    return fd >= 0 ? fd
                   : error_set(error, EXIT_SYSTEM, "start", "/dev/null", "cannot open it: %s",
                               strerror(errno));
}

int daemon_log_open(const char *configured, const char *service, struct error *error)
{
    char path[PATH_MAX];
    int fd = -1;

    if (configured && strcmp(configured, "none") == 0)
        return open_nowhere(error);
    if (configured) {
        fd = open_log(configured);
        return fd >= 0 ? fd
                       : error_set(error, EXIT_RECORD, "start", configured,
                                   "cannot open the log: %s; change log.file, or make its "
                                   "directory",
                                   strerror(errno));
    }
    if (default_path(path, service) == 0) {
        make_directories(path);
        fd = open_log(path);
    }
    return fd >= 0 ? fd : open_nowhere(error);
}
