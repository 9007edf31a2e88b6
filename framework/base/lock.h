/* A lock file, held for life: the only proof that a name or a path is ours.
 *
 * It is an open-file-description lock: a POSIX lock would be lost as soon as a plugin opens and
 * closes the file. The file is 0600, so that no other user can take the lock; it is never renamed
 * and never removed. The text in it tells people which process holds it; rpd decides nothing by
 * it. */
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

/* Takes the lock without waiting. 0: held. 1: another process holds it, and ret_holder names that
 * process in its own words. -1: error. */
int lock_take(struct lock *lock, int dirfd, const char *directory, const char *name,
              char ret_holder[LOCK_HOLDER_MAX], struct error *error);

/* Waits for the lock; the kernel wakes one waiting process after the other. 1: a signal came
 * first. */
int lock_wait(struct lock *lock, int dirfd, const char *directory, const char *name,
              struct error *error);

/* Writes into the file which process holds it, for others to read. */
void lock_sign(const struct lock *lock, const char *identity);

/* Whether the file under this name is still the one that we hold. */
bool lock_in_place(const struct lock *lock);

/* Protects the file from cleaners of unused files. The time of signing does not change. */
void lock_touch(const struct lock *lock);

/* Releases the lock. The file stays. */
void lock_release(struct lock *lock);

#endif
