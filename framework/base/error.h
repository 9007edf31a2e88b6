/* Errors: one line that a person can act on, and the exit code that it leads to.
 *
 * The convention of framework/: a function returns 0, or fills the error and returns a negative
 * number. Its caller forwards the negative number and adds nothing. Only the top (daemon.c,
 * rpd_main.c) prints, by outcome_report(). A positive result is that function's own documented
 * outcome, which its caller must handle. */
#ifndef FRAMEWORK_ERROR_H
#define FRAMEWORK_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/* One exit code for each reason, after sysexits.h. */
enum exit_code {
    EXIT_STOPPED = 0,
    EXIT_COMMAND_LINE = 64,
    EXIT_PLUGIN = 65,
    EXIT_MISSING_FILE = 66,
    EXIT_LOAD = 69,
    EXIT_INTERNAL = 70,
    EXIT_SYSTEM = 71,
    EXIT_RECORD = 73,
    EXIT_RUNNING = 75,
    EXIT_CONTRACT = 76,
    EXIT_SECURITY = 77,
    EXIT_CONFIG = 78
};

enum { ERROR_TEXT_MAX = 1024 };

struct error {
    enum exit_code code;
    char text[ERROR_TEXT_MAX]; /* "step: object: cause; what to do", without a newline */
};

/* Fills the error with "step: object: <formatted>". Returns -1. Control bytes in the result become
 * '?', so that it stays on one line. */
int error_set(struct error *error, enum exit_code code, const char *step, const char *object,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Whether this errno says that memory or descriptors ran out. Then nothing is wrong with the object
 * at hand, and the exit code is 71. */
bool error_is_shortage(int error_number);

/* The errno of the shortage that a message of dlerror() ends with, or 0. */
int error_shortage_in(const char *message);

/* What to do about this errno: advice on the shortage if it is one, the caller's otherwise. */
const char *error_remedy(int error_number, const char *otherwise);

/* Likewise, for a file that cannot be created in a directory that existed a moment ago. */
const char *error_remedy_in_directory(int error_number, const char *otherwise);

#endif
