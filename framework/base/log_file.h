/* Log files: rpd's own, and the one that `rpdctl ensure` gives a daemon. */
#ifndef FRAMEWORK_LOG_FILE_H
#define FRAMEWORK_LOG_FILE_H

#include <stdbool.h>

/* [any] Opens it for appending (close-on-exec, 0600 if it is created), so that a truncated file is
 * continued at its new end. puts_aside: a file larger than 1 MiB is renamed to PATH.old first.
 * Returns the descriptor, or -1 and errno. */
int log_file_open(const char *path, bool puts_aside);

/* [any] Whether the path still leads to the file of this descriptor. */
bool log_file_is_at(int fd, const char *path);

#endif
