/* What rpdctl's commands share: how they report, and where rpd is. */
#ifndef FRAMEWORK_RPDCTL_PROGRAM_H
#define FRAMEWORK_RPDCTL_PROGRAM_H

#include "base/error.h"

#include <limits.h>

/* "rpdctl: <formatted>" on stderr. */
void rpdctl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Likewise for a wrong command line, with a hint where to read on. Returns 64. */
int rpdctl_refuse(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The path of a program that lies beside rpdctl. 0 or -1. */
int rpdctl_beside(const char *program, char ret_path[PATH_MAX], struct error *error);

#endif
