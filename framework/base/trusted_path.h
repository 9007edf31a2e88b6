/* Paths that only root and the user can turn elsewhere: each directory on the way, and each
 * symbolic link, is looked at. */
#ifndef FRAMEWORK_TRUSTED_PATH_H
#define FRAMEWORK_TRUSTED_PATH_H

#include "base/error.h"

#include <limits.h>

/* [start] Resolves a path as realpath() does: all of its components are there. Each directory that
 * something is looked up in passes directory_check(), and each link belongs to root or us. What the
 * path leads to is not judged, unless it is a directory.
 *
 * 0, and the path without links in ret_path. -1: the error says what others could change (77).
 * Above 0: errno's value, it cannot be resolved. */
int trusted_path_resolve(const char *path, char ret_path[PATH_MAX], const char *step,
                         struct error *error);

#endif
