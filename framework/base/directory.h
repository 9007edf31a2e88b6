/* Trusted directories, and the run-time directory. */
#ifndef FRAMEWORK_DIRECTORY_H
#define FRAMEWORK_DIRECTORY_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/stat.h>

/* Whether the contents of this directory are safe from other users: root or our user owns it, and
 * no other user can write to it, or it is sticky. It may be group-writable only for the user's own
 * primary group. Returns 0, or 77 with the command that repairs it. */
int directory_check(const struct stat *status, const char *path, const char *step,
                    struct error *error);

/* Opens a directory (O_RDONLY, close-on-exec) and checks it. missing_code: the exit code if it
 * cannot be opened. Returns the descriptor or -1. */
int directory_open(const char *path, const char *step, enum exit_code missing_code,
                   struct error *error);

enum { RUNTIME_PATH_MAX = 4096 };

/* The path of the run-time directory: $RPD_RUNTIME_DIR, or /run/rpd for root, or
 * $XDG_RUNTIME_DIR/rpd if that variable is set, or a directory of the user's own under /tmp. */
int directory_runtime_path(char ret_path[RUNTIME_PATH_MAX], struct error *error);

/* A warning that says why the directory under /tmp is used although $XDG_RUNTIME_DIR names another;
 * NULL if it is not. */
const char *directory_runtime_warning(void);

/* Whether the path still leads to the directory that is open. */
bool directory_is_at(const char *path, int dirfd);

/* Takes a shared lock, which lasts as long as the descriptor: cleaners of old files, such as
 * systemd-tmpfiles, skip a directory that is locked. While a cleaner works it holds the lock
 * exclusively and this call takes none: call it again later. */
void directory_keep(int dirfd);

/* Opens the run-time directory at a path to start services in it, if it exists. Returns 0, 1 if it
 * does not exist, or -1. */
int directory_find_at(const char *path, int *ret_fd, struct error *error);

/* Like directory_find_at(), but creates a missing directory, with mode 0700. Returns its
 * descriptor, or -1. */
int directory_open_at(const char *path, struct error *error);

/* Opens the directory at this path to see what runs, if it exists. 1: it does not exist, so nothing
 * runs. -1: 77 if it is not trusted. Only its owner may be able to write to it, sticky or not. The
 * owner must be root or our user. If the caller is root, any user may be the owner. For other
 * callers another user may be the owner only if root created the directory: it then lies in a place
 * where only root can write, such as /run. */
int directory_look(const char *path, int *ret_fd, struct error *error);

/* Likewise, at the path that directory_runtime_path() returns. */
int directory_find_runtime(char ret_path[RUNTIME_PATH_MAX], int *ret_fd, struct error *error);

/* Opens the run-time directory to start services in it. A missing directory is created with mode
 * 0700. Our user owns it, and no other user can write to it. Returns its descriptor, and its path
 * in ret_path; or -1. */
int directory_open_runtime(char ret_path[RUNTIME_PATH_MAX], struct error *error);

/* Whether services can be started in this open run-time directory, as above: 0, or 77. */
int directory_check_to_start(int dirfd, const char *path, struct error *error);

/* [any] Whether a file in the run-time directory is believed, judged by the file's owner: root, our
 * user, or the owner of the directory. */
bool directory_believes(int dirfd, uid_t owner);

#endif
