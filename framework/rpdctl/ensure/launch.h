/* Starts a daemon that outlives its caller, and reports how the start went.
 *
 * Between the caller and the daemon stands a starter, a process of a session
 * of its own: it waits for the start's end even if the caller is gone by then, and
 * holds whatever lock the caller handed to it until it knows. It ends when the daemon is
 * bound, or has ended. */
#ifndef FRAMEWORK_LAUNCH_H
#define FRAMEWORK_LAUNCH_H

#include "base/error.h"
#include "base/lock.h"

#include <stdint.h>
#include <sys/types.h>

enum { LAUNCH_TEXT_MAX = 3 * ERROR_TEXT_MAX - 128 }; /* A pipe takes a result whole. */

enum launch_outcome {
    LAUNCH_BOUND,
    LAUNCH_ENDED, /* before it was bound */
    LAUNCH_LOST,  /* not known: the starter was killed, or could not report it */
    LAUNCH_LATE   /* the deadline has passed; it goes on */
};

struct launch_result {
    enum launch_outcome outcome;
    pid_t pid;
    unsigned long long start_time;
    int code;                   /* its exit code (70 for 0), or 128 + the signal that ended it */
    char text[LAUNCH_TEXT_MAX]; /* its last words, as rpd says them without "rpd: ": the
                                 * error that ended it, and, a line each, those before */
};

struct launch {
    const char *program;
    char **arguments;       /* of the program, NULL at the end; [1] and [2] are filled in here */
    int log_fd;             /* its standard output and error; not ours */
    struct lock *take_lock; /* the starter has it until it ends, and the caller no more: one
                             * that is stopped must not hold up others */
    int dirfd;              /* and this one, for: */
    /* In the starter, of a start that has failed, before the caller hears of it. */
    void (*failed)(void *arg, int dirfd, const struct launch_result *result);
    void *arg;
};

/* deadline_us: of CLOCK_MONOTONIC; UINT64_MAX: none. Returns 0 with an outcome, or -1 (71). */
int launch_daemon(const struct launch *launch, uint64_t deadline_us, struct launch_result *ret,
                  struct error *error);

#endif
