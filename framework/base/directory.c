/* Trusted directories. See directory.h. */
#include "base/directory.h"

#include "base/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* 0: root or our user is the owner. */
static int check_owner(uid_t owner, const char *path, const char *step, struct error *error)
{
    if (owner == 0 || owner_is_us(owner))
        return 0;
    if (!owner_is_unmapped(owner))
        return error_set(error, EXIT_SECURITY, step, path,
                         "the directory belongs to user %u, who could replace what is in it; use "
                         "a directory of your own, or: chown %u '%s'",
                         owner, geteuid(), path);
    if (owner_is_the_systems(path))
        return 0;
    return error_set(error, EXIT_SECURITY, step, path, OWNER_UNMAPPED_ADVICE);
}

static bool is_our_group(gid_t group)
{
    return group == getegid() && !owner_group_is_unmapped(group);
}

int directory_check(const struct stat *status, const char *path, const char *step,
                    struct error *error)
{
    const mode_t mode = status->st_mode;
    const bool sticky = mode & S_ISVTX;

    if (check_owner(status->st_uid, path, step, error) < 0)
        return -1;
    if ((mode & S_IWOTH) && !sticky)
        return error_set(error, EXIT_SECURITY, step, path,
                         "every user can write to the directory (mode %04o); chmod o-w '%s'",
                         mode & 07777u, path);
    if ((mode & S_IWGRP) && !sticky && !is_our_group(status->st_gid))
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

static bool is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

const char *directory_runtime_warning(void)
{
    const char *chosen = getenv("RPD_RUNTIME_DIR");
    const char *session = getenv("XDG_RUNTIME_DIR");

    return (!chosen || !*chosen) && geteuid() != 0 && session && *session && !is_directory(session)
               ? "XDG_RUNTIME_DIR names a directory that is not there: uses one under /tmp; log in "
                 "anew, or set RPD_RUNTIME_DIR"
               : NULL;
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
    else if (session && *session && is_directory(session))
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

/* Neither the sticky bit nor our own group is accepted here: a user that can create a file in the
 * directory can create the lock, the page and the record of a service that is not running. */
static int check_writable_by_owner_alone(const struct stat *status, const char *path,
                                         struct error *error)
{
    if (!(status->st_mode & (S_IWGRP | S_IWOTH)))
        return 0;
    return error_set(
        error, EXIT_SECURITY, "claim", path,
        "users other than its owner can write to the run-time directory (mode %04o), and "
        "could make files there that look like a service's; chmod go-w '%s'",
        status->st_mode & 07777u, path);
}

static int refuse_owner(const struct stat *status, const char *path, const char *advice,
                        struct error *error)
{
    if (owner_is_unmapped(status->st_uid))
        return error_set(error, EXIT_SECURITY, "claim", path, OWNER_UNMAPPED_ADVICE);
    return error_set(error, EXIT_SECURITY, "claim", path,
                     "the run-time directory belongs to user %u; %s", status->st_uid, advice);
}

/* Whether root put the directory there and gave it to its owner: no other user can write to any
 * directory above it. */
static bool was_given_by_root(int dirfd)
{
    struct stat below, above;
    int fd = dirfd;
    bool is_roots = fstat(dirfd, &below) == 0, is_top = false;

    while (is_roots && !is_top) {
        const int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd != dirfd)
            close(fd);
        fd = parent;
        is_roots = fd >= 0 && fstat(fd, &above) == 0 && above.st_uid == 0 &&
                   !(above.st_mode & (S_IWGRP | S_IWOTH));
        is_top = is_roots && above.st_dev == below.st_dev && above.st_ino == below.st_ino;
        below = above;
    }
    if (fd >= 0 && fd != dirfd)
        close(fd);
    return is_roots;
}

static int check_to_look(int fd, const char *path, struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return cannot_open(path, error);
    if (status.st_uid != 0 && !owner_is_us(status.st_uid) &&
        (owner_is_unmapped(status.st_uid) || (geteuid() != 0 && !was_given_by_root(fd))))
        return refuse_owner(
            &status, path,
            "it is trusted only if it belongs to root or to you, or if root has made "
            "it for that user; use another directory",
            error);
    return check_writable_by_owner_alone(&status, path, error);
}

int directory_check_to_start(int fd, const char *path, struct error *error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return cannot_open(path, error);
    if (!owner_is_us(status.st_uid))
        return refuse_owner(&status, path,
                            "start services there as that user, or set "
                            "RPD_RUNTIME_DIR",
                            error);
    return check_writable_by_owner_alone(&status, path, error);
}

/* We may be denied access to another user's directory, and a symbolic link may lead elsewhere a
 * moment later. */
static int refuse_to_open(const char *path, struct error *error)
{
    const int cause = errno;
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISLNK(status.st_mode))
        return error_set(error, EXIT_RECORD, "claim", path,
                         "the run-time directory is a symbolic link; set RPD_RUNTIME_DIR to the "
                         "directory itself");
    if (cause == EACCES && lstat(path, &status) == 0 && !owner_is_us(status.st_uid))
        return refuse_owner(&status, path, "set RPD_RUNTIME_DIR to one of your own", error);
    errno = cause;
    return cannot_open(path, error);
}

/* Returns 0, 1 if the directory does not exist, or -1. */
static int open_runtime(const char *path, int *ret_fd,
                        int (*check)(int fd, const char *path, struct error *error),
                        struct error *error)
{
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (*ret_fd < 0)
        return errno == ENOENT ? 1 : refuse_to_open(path, error);
    if (check(*ret_fd, path, error) == 0)
        return 0;
    close(*ret_fd);
    *ret_fd = -1;
    return -1;
}

int directory_look(const char *path, int *ret_fd, struct error *error)
{
    return open_runtime(path, ret_fd, check_to_look, error);
}

bool directory_is_at(const char *path, int dirfd)
{
    struct stat named, held;

    return stat(path, &named) == 0 && fstat(dirfd, &held) == 0 && named.st_dev == held.st_dev &&
           named.st_ino == held.st_ino;
}

void directory_keep(int dirfd)
{
    while (flock(dirfd, LOCK_SH | LOCK_NB) < 0 && errno == EINTR)
        continue;
}

int directory_find_at(const char *path, int *ret_fd, struct error *error)
{
    return open_runtime(path, ret_fd, directory_check_to_start, error);
}

/* A sandbox may deny mkdir() although the directory already exists. */
static bool is_there(const char *path)
{
    const int cause = errno;
    const bool there = is_directory(path);

    errno = cause;
    return there;
}

int directory_open_at(const char *path, struct error *error)
{
    int fd, found;

    const int made = mkdir(path, 0700);

    /* The directory gets exactly this mode, whatever the umask of the process that creates it. */
    if (made == 0 && chmod(path, 0700) < 0)
        return cannot_open(path, error);
    if (made < 0 && errno != EEXIST && !is_there(path))
        return error_set(error, EXIT_RECORD, "claim", path,
                         "cannot make the run-time directory: %s; %s", strerror(errno),
                         error_remedy(errno, "set RPD_RUNTIME_DIR"));
    found = directory_find_at(path, &fd, error);
    return found > 0 ? cannot_open(path, error) : fd;
}

int directory_find_runtime(char ret_path[RUNTIME_PATH_MAX], int *ret_fd, struct error *error)
{
    *ret_fd = -1;
    return directory_runtime_path(ret_path, error) < 0 ? -1
                                                       : directory_look(ret_path, ret_fd, error);
}

int directory_open_runtime(char ret_path[RUNTIME_PATH_MAX], struct error *error)
{
    return directory_runtime_path(ret_path, error) < 0 ? -1 : directory_open_at(ret_path, error);
}

bool directory_believes(int dirfd, uid_t owner)
{
    struct stat status;

    if (owner == 0 || owner_is_us(owner))
        return true;
    return fstat(dirfd, &status) == 0 && status.st_uid == owner && !owner_is_unmapped(owner);
}
