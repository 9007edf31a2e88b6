/* Directories that may be trusted, and the one that holds the run-time files. */
#ifndef FRAMEWORK_DIRECTORY_H
#define FRAMEWORK_DIRECTORY_H

#include "base/error.h"

#include <sys/stat.h>

/* Whether what lies in this directory can be trusted to stay: root or the user
 * owns it, and nobody else can write to it, or it is sticky. Group-writable
 * passes only for the user's own primary group. 0, or 77 with the command that
 * mends it. */
int directory_check(const struct stat *status, const char *path, const char *step,
                    struct error *error);

/* Opens a directory (O_RDONLY, close-on-exec) and checks it. missing_code: the
 * exit code where it cannot be opened. Returns the descriptor or -1. */
int directory_open(const char *path, const char *step, enum exit_code missing_code,
                   struct error *error);

enum { RUNTIME_PATH_MAX = 4096 };

/* Where the run-time directory is: $RPD_RUNTIME_DIR, else /run/rpd for root,
 * $XDG_RUNTIME_DIR/rpd, or one of the user's own under /tmp. */
int directory_runtime_path(char ret_path[RUNTIME_PATH_MAX], struct error *error);

/* Opens it, as directory_open() does, if it is there. 1: it is not there, and nothing runs. */
int directory_find_runtime(char ret_path[RUNTIME_PATH_MAX], int *ret_fd, struct error *error);

/* The same; makes it if it is not there, with mode 0700. Returns its descriptor, and its path in
 * ret_path; or -1. */
int directory_open_runtime(char ret_path[RUNTIME_PATH_MAX], struct error *error);

#endif
