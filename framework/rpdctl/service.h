/* What those commands of rpdctl share that look at running services: the run-time
 * directory, and how an end is reported. */
#ifndef FRAMEWORK_RPDCTL_SERVICE_H
#define FRAMEWORK_RPDCTL_SERVICE_H

#include "base/directory.h"
#include "observe/history_view.h"
#include "observe/instance.h"

enum { RPDCTL_TEXT_MAX = 1152 }; /* an error's line, and some words */

/* Opens the run-time directory, if it is there. 1: nothing runs; -1: it was said why. */
int rpdctl_find_runtime(int *ret_fd);

/* The same, and its path. */
int rpdctl_find_runtime_path(char ret_path[RUNTIME_PATH_MAX], int *ret_fd);

/* "ended with 69: load: ..." or "died of SIGSEGV: ..."; returns the text. */
const char *rpdctl_describe_end(const struct history_entry *end, char ret_text[RPDCTL_TEXT_MAX]);

/* The same, of a process that has just ended, whose history may say nothing. */
const char *rpdctl_tell_end(int runtime_dirfd, const struct instance *instance,
                            char ret_text[RPDCTL_TEXT_MAX]);

#endif
