/* A process's command line and environment, as it was started: strings, one behind the
 * other, each with its NUL. */
#ifndef FRAMEWORK_WHOLE_PROC_H
#define FRAMEWORK_WHOLE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* /proc/PID/name, and a NUL behind it; for the caller to free. NULL: it cannot be read, or is
 * larger than 1 MiB. */
char *whole_proc_read(pid_t pid, const char *name, size_t *ret_size);

/* Whether it is one of the strings; what follows the one that begins so, or NULL. */
bool whole_proc_has(const char *strings, size_t size, const char *wanted);
const char *whole_proc_value(const char *strings, size_t size, const char *prefix);

#endif
