/* The file for the standard output and error of a daemon that rpdctl starts. */
#ifndef FRAMEWORK_DAEMON_LOG_H
#define FRAMEWORK_DAEMON_LOG_H

#include "base/error.h"

#include <limits.h>

/* Opens it for appending (0600, close-on-exec). configured: "log.file", "none" for /dev/null; NULL:
 * NAME.log in rpd/ of the user's state directory ($XDG_STATE_HOME, or ~/.local/state), made if it
 * is not there, or /dev/null if it cannot be made. A log that has grown over 1 MiB is first renamed
 * NAME.log.old. A descriptor, or -1 (73, 77); *ret_path: its path, "" if there is none. */
int daemon_log_open(const char *configured, const char *service, char ret_path[PATH_MAX],
                    struct error *error);

/* The path of the default. 0, or -1 if there is no such place. */
int daemon_log_default_path(char path[PATH_MAX], const char *service);

#endif
