/* Trusted directories. See directory.h. */
#include "base/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int directory_check(const struct stat *status, const char *path, const char *step,
                    struct error *error)
{
    const mode_t mode = status->st_mode;
    const bool sticky = mode & S_ISVTX;

    if (status->st_uid != 0 && status->st_uid != geteuid())
        return error_set(error, EXIT_SECURITY, step, path,
                         "the directory belongs to user %u, who could replace what is in it; use "
                         "a directory of your own, or: chown %u '%s'",
                         status->st_uid, geteuid(), path);
    if ((mode & S_IWOTH) && !sticky)
        return error_set(error, EXIT_SECURITY, step, path,
                         "everybody can write to the directory (mode %04o); chmod o-w '%s'",
                         mode & 07777u, path);
    if ((mode & S_IWGRP) && !sticky && status->st_gid != getegid())
        return error_set(error, EXIT_SECURITY, step, path,
                         "group %u can write to the directory (mode %04o); chmod g-w '%s'",
                         status->st_gid, mode & 07777u, path);
    return 0;
}

int directory_open(const char *path, const char *step, enum exit_code missing_code,
                   struct error *error)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_set(error, error_is_shortage(errno) ? EXIT_SYSTEM : missing_code, step, path,
                         "cannot open the directory: %s; %s", strerror(errno),
                         errno == ENOENT ? "make it first"
                                         : error_remedy(errno, "use another directory"));
    if (fstat(fd, &status) < 0 || directory_check(&status, path, step, error) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int directory_runtime_path(char ret_path[RUNTIME_PATH_MAX], struct error *error)
{
    const char *chosen = getenv("RPD_RUNTIME_DIR");
    const char *session = getenv("XDG_RUNTIME_DIR");
    int length;

    if (chosen && *chosen)
        length = snprintf(ret_path, RUNTIME_PATH_MAX, "%s", chosen);
    else if (geteuid() == 0)
        length = snprintf(ret_path, RUNTIME_PATH_MAX, "/run/rpd");
    else if (session && *session)
        length = snprintf(ret_path, RUNTIME_PATH_MAX, "%s/rpd", session);
    else
        length = snprintf(ret_path, RUNTIME_PATH_MAX, "/tmp/rpd-%u", geteuid());
    if (length >= RUNTIME_PATH_MAX || ret_path[0] != '/')
        return error_set(error, EXIT_CONFIG, "claim", "RPD_RUNTIME_DIR",
                         "the run-time directory must be an absolute path");
    while (length > 1 && ret_path[length - 1] == '/')
        ret_path[--length] = '\0';
    return 0;
}

static int cannot_open(const char *path, struct error *error)
{
    return error_set(error, error_is_shortage(errno) ? EXIT_SYSTEM : EXIT_RECORD, "claim", path,
                     "cannot open the run-time directory: %s; %s", strerror(errno),
                     error_remedy(errno, "set RPD_RUNTIME_DIR"));
}

/* A directory of somebody else's under /tmp would let them see and replace
 * records, so here even root's or a sticky one does not do. */
static int check_runtime(int fd, const char *path, struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0 || status.st_uid != geteuid())
        return error_set(error, EXIT_SECURITY, "claim", path,
                         "the run-time directory belongs to somebody else; set RPD_RUNTIME_DIR");
    return directory_check(&status, path, "claim", error);
}

int directory_find_runtime(char ret_path[RUNTIME_PATH_MAX], int *ret_fd, struct error *error)
{
    *ret_fd = -1;
    if (directory_runtime_path(ret_path, error) < 0)
        return -1;
    *ret_fd = open(ret_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*ret_fd < 0)
        return errno == ENOENT ? 1 : cannot_open(ret_path, error);
    if (check_runtime(*ret_fd, ret_path, error) == 0)
        return 0;
    close(*ret_fd);
    *ret_fd = -1;
    return -1;
}

int directory_open_runtime(char ret_path[RUNTIME_PATH_MAX], struct error *error)
{
    int fd, found;

    if (directory_runtime_path(ret_path, error) < 0)
        return -1;
    if (mkdir(ret_path, 0700) < 0 && errno != EEXIST)
        return error_set(error, EXIT_RECORD, "claim", ret_path,
                         "cannot make the run-time directory: %s; %s", strerror(errno),
                         error_remedy(errno, "set RPD_RUNTIME_DIR"));
    found = directory_find_runtime(ret_path, &fd, error);
    return found > 0 ? cannot_open(ret_path, error) : fd;
}
