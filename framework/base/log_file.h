/* The file that a log goes to: rpd's own, and the one that `rpdctl ensure` gives a daemon. */
#ifndef FRAMEWORK_LOG_FILE_H
#define FRAMEWORK_LOG_FILE_H

#include <stdbool.h>

/* [any] For appending (0600 if it is made, close-on-exec), so that one that is cut off is written
 * to from its new end on. puts_aside: one that has grown over 1 MiB becomes PATH.old first. -1 and
 * errno. */
int log_file_open(const char *path, bool puts_aside);

/* [any] Whether the descriptor is still what the path leads to. */
bool log_file_is_at(int fd, const char *path);

#endif
