/* Directories that may be trusted, and the one that holds the run-time files. */
#ifndef FRAMEWORK_DIRECTORY_H
#define FRAMEWORK_DIRECTORY_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/stat.h>

/* Whether what lies in this directory can be trusted to stay: root or the user
 * owns it, and no other user can write to it, or it is sticky. Group-writable
 * passes only for the user's own primary group. 0, or 77 with the command that
 * repairs it. */
int directory_check(const struct stat *status, const char *path, const char *step,
                    struct error *error);

/* Opens a directory (O_RDONLY, close-on-exec) and checks it. missing_code: the
 * exit code where it cannot be opened. Returns the descriptor or -1. */
int directory_open(const char *path, const char *step, enum exit_code missing_code,
                   struct error *error);

enum { RUNTIME_PATH_MAX = 4096 };

/* Where the run-time directory is: $RPD_RUNTIME_DIR, else /run/rpd for root,
 * $XDG_RUNTIME_DIR/rpd if there is an $XDG_RUNTIME_DIR, or one of the user's own under /tmp. */
int directory_runtime_path(char ret_path[RUNTIME_PATH_MAX], struct error *error);

/* Why the directory under /tmp is used though $XDG_RUNTIME_DIR names another, as a warning; NULL:
 * it is not. */
const char *directory_runtime_warning(void);

/* Whether the path leads to the directory that is open, and to no other. */
bool directory_is_at(const char *path, int dirfd);

/* Cleaners of old files, such as systemd-tmpfiles, leave a directory alone in which a process holds
 * a lock: takes a shared one, which lasts as long as the descriptor. One that is at work just now
 * has it alone: call this again some time. */
void directory_keep(int dirfd);

/* Opens the run-time directory at a path to start services in it, if it is there. 0, or 1: it is
 * not there. */
int directory_find_at(const char *path, int *ret_fd, struct error *error);

/* The same; makes it if it is not there, with mode 0700. Returns its descriptor, or -1. */
int directory_open_at(const char *path, struct error *error);

/* Opens the directory at this path to look at what runs, if it is there. 1: it is not there, and
 * nothing runs. -1: 77 where it is not to be believed. Its owner alone may write to it, sticky or
 * not; the owner is root, we, or, for root, any user; or one that root has made it for: in a place
 * where only root can write, such as /run. */
int directory_look(const char *path, int *ret_fd, struct error *error);

/* The same of the one where directory_runtime_path() says. */
int directory_find_runtime(char ret_path[RUNTIME_PATH_MAX], int *ret_fd, struct error *error);

/* Opens it to start services in it; makes it if it is not there, with mode 0700. It is our own, and
 * no other user can write to it. Returns its descriptor, and its path in ret_path; or -1. */
int directory_open_runtime(char ret_path[RUNTIME_PATH_MAX], struct error *error);

/* Whether services can be started in the run-time directory that was opened, as above: 0, or 77. */
int directory_check_to_start(int dirfd, const char *path, struct error *error);

/* [any] Whether what a file in the run-time directory says is believed, by the file's owner: root,
 * we, or the directory's owner. */
bool directory_believes(int dirfd, uid_t owner);

#endif
