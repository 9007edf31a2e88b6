/* A lock file, held for life: the only proof that a name or a path is ours.
 *
 * It is an open-file-description lock: a POSIX lock would be lost as soon as a
 * plugin opens and closes the file. The file is 0600, so that no other user
 * can take the lock; it is never renamed and never removed. What is written in
 * it shows people what holds it; it decides nothing. */
#ifndef FRAMEWORK_LOCK_H
#define FRAMEWORK_LOCK_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>

enum { LOCK_HOLDER_MAX = 256 };

struct lock {
    int fd;    /* -1: not held */
    int dirfd; /* not ours */
    char name[NAME_MAX + 1];
};

/* Takes the lock without waiting. 0: held. 1: another holds it, and ret_holder
 * says who, in the words that it wrote. -1: error. */
int lock_take(struct lock *lock, int dirfd, const char *directory, const char *name,
              char ret_holder[LOCK_HOLDER_MAX], struct error *error);

/* The same, and waits: the kernel wakes one after the other. 1: a signal came first. */
int lock_wait(struct lock *lock, int dirfd, const char *directory, const char *name,
              struct error *error);

/* Writes what holds it, for others to read. */
void lock_sign(const struct lock *lock, const char *identity);

/* Whether the file under the name is still the one that we hold. */
bool lock_in_place(const struct lock *lock);

/* Keeps the file from cleaners of unused files. When it was signed stays. */
void lock_touch(const struct lock *lock);

/* Drops it. The file stays. */
void lock_release(struct lock *lock);

#endif
