/* What those commands of rpdctl share that look at running services: the run-time
 * directory, what a command line says, and how an end is told. */
#ifndef FRAMEWORK_RPDCTL_SERVICE_H
#define FRAMEWORK_RPDCTL_SERVICE_H

#include "history_view.h"
#include "instance.h"

#include <stdint.h>

enum { RPDCTL_TEXT_MAX = 1152 }; /* an error's line, and some words */

/* Opens the run-time directory, if it is there. 1: nothing runs; -1: it was said why. */
int rpdctl_find_runtime(int *ret_fd);

/* The service that is named on the command line, and nothing else: argv[optind].
 * 0, or 64 after it was said. */
int rpdctl_take_service(int argc, char **argv, const char **ret_service);

/* Seconds, such as 2 or 0.5. 0, or 64 after it was said. */
int rpdctl_take_seconds(const char *command, const char *option, const char *text,
                        uint64_t *ret_us);

/* "ended with 69: load: ..." or "died of SIGSEGV: ..."; returns the text. */
const char *rpdctl_describe_end(const struct history_entry *end, char ret_text[RPDCTL_TEXT_MAX]);

/* The same, of a process that has just ended, whose history may say nothing. */
const char *rpdctl_tell_end(int runtime_dirfd, const struct instance *instance,
                            char ret_text[RPDCTL_TEXT_MAX]);

#endif
