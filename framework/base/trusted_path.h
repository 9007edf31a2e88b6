/* Paths that only root and the user can redirect: rpd checks each directory and each symbolic link
 * on the way. */
#ifndef FRAMEWORK_TRUSTED_PATH_H
#define FRAMEWORK_TRUSTED_PATH_H

#include "base/error.h"

#include <limits.h>

/* [start] Resolves a path as realpath() does: all of its components must exist. Each directory in
 * which a component is looked up must pass directory_check(), and each link must belong to root or
 * to the user of the process. The target of the path is not checked, unless it is a directory.
 *
 * Returns 0, and the path without links in ret_path. -1: the error says what other users could
 * change (77). Above 0: errno's value; the path cannot be resolved. */
int trusted_path_resolve(const char *path, char ret_path[PATH_MAX], const char *step,
                         struct error *error);

#endif
