/* What the checks of `rpdctl doctor` share: how they report. Each is read-only: it asks no
 * service that can answer by its files, takes no lock of a service, and makes no file. */
#ifndef FRAMEWORK_DOCTOR_H
#define FRAMEWORK_DOCTOR_H

#include "base/directory.h"
#include "library/libjansson.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum doctor_outcome { DOCTOR_PASS, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_OUTCOMES };

struct doctor {
    json_t *findings; /* NULL: each is printed at once */
    unsigned counts[DOCTOR_OUTCOMES];
    char runtime_dir[RUNTIME_PATH_MAX]; /* "": there is none */
    int runtime_dirfd;                  /* -1: it is not there, or not to be believed */
};

/* Reports one finding. subject: "machine", a service, a file; check: one word for what was looked
 * at; remedy: what to do, NULL if it passed. */
void doctor_find(struct doctor *doctor, enum doctor_outcome outcome, const char *subject,
                 const char *check, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Likewise for an error line of rpd's, which says what to do itself. */
void doctor_find_error(struct doctor *doctor, enum doctor_outcome outcome, const char *subject,
                       const char *check, const char *line);

/* The checks. runtime: fills in the directory. */
void doctor_machine(struct doctor *doctor);
void doctor_runtime(struct doctor *doctor);
void doctor_service(struct doctor *doctor, const char *name, bool is_named);
void doctor_config(struct doctor *doctor, const char *file);
/* name NULL: of all services. */
void doctor_units(struct doctor *doctor, const char *name);

/* Whether the configuration in the file is another one than that of this digest. One with mistakes
 * is reported, and does not differ. */
bool doctor_config_differs(struct doctor *doctor, const char *subject, const char *file,
                           const char *digest);

/* Runs a program to its end, at most for ten seconds, and returns what it has written to stdout, or
 * to stderr, to be freed. NULL: it cannot be run. *ret_code: the exit code, or -1. */
char *doctor_run(const char *const argv[], bool takes_stderr, int *ret_code);

#endif
