/* Logs of daemons. See daemon_log.h. */
#include "rpdctl/ensure/daemon_log.h"

#include "base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int daemon_log_default_path(char path[PATH_MAX], const char *service)
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

static int open_nowhere(struct error *error)
{
    const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    return fd >= 0 ? fd
                   : error_set(error, EXIT_SYSTEM, "start", "/dev/null", "cannot open it: %s",
                               strerror(errno));
}

int daemon_log_open(const char *configured, const char *service, char ret_path[PATH_MAX],
                    struct error *error)
{
    char path[PATH_MAX];
    int fd = -1;

    *ret_path = '\0';
    if (configured && strcmp(configured, "none") == 0)
        return open_nowhere(error);
    if (configured) {
        fd = log_file_open(configured, true);
        snprintf(ret_path, PATH_MAX, "%s", configured);
        return fd >= 0 ? fd
                       : error_set(error, EXIT_RECORD, "start", configured,
                                   "cannot open the log: %s; change log.file, or make its "
                                   "directory",
                                   strerror(errno));
    }
    if (daemon_log_default_path(path, service) == 0) {
        make_directories(path);
        fd = log_file_open(path, true);
        if (fd >= 0)
            memcpy(ret_path, path, sizeof path);
    }
    return fd >= 0 ? fd : open_nowhere(error);
}
