/* Claims: what this process must own before it binds anything. A service's
 * name is claimed by SERVICE.lock in the run-time directory, a unix path NAME
 * by .NAME.lock beside it.
 *
 * All claims of a process are taken in one order, the same in every process,
 * so that of two overlapping configurations that start at once one gets all it
 * needs. */
#ifndef FRAMEWORK_CLAIM_H
#define FRAMEWORK_CLAIM_H

#include "base/error.h"
#include "base/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* In a run-time directory claims serialise by this file, as the directory itself is locked for
 * life by the daemons that live there (directory_keep()). No service and no socket can have
 * the name. */
#define CLAIM_SERIAL "_claims.lock"

struct claim {
    char object[160];      /* for messages: "service echo", "unix:/run/x.sock" */
    const char *directory; /* not ours */
    char lock_name[NAME_MAX + 1];
    char identity[LOCK_HOLDER_MAX]; /* what others read that find it held */
    bool is_path, is_state;         /* state is a path, too */
    int dirfd;                      /* -1: not prepared; of a name it is not ours */
    dev_t device;
    ino_t inode; /* of the directory */
    bool serialises;
    int serial_fd; /* of the file that it serialises by; -1: by the directory */
    struct lock lock;
};

/* Of a service's name. The run-time directory is open, and checked; it stays so,
 * and its path where it is, as long as the claim lives. */
void claim_prepare_name(struct claim *claim, const char *runtime_dir, int runtime_dirfd,
                        const char *service, const char *identity);

/* Of a path. Opens the directory and checks that it may be trusted. Its path
 * lives as long as the claim. */
int claim_prepare_path(struct claim *claim, const char *directory, const char *name,
                       const char *object, const char *identity, struct error *error);

/* Takes all or none. 75 names the holder of one. Sorts the array. While claims are
 * being taken and until claim_settled(), each directory of a path is also
 * locked, by CLAIM_SERIAL in a run-time directory, so that the check for a stale socket and its
 * replacement are not interleaved with another start. claim_settled() also writes into the lock
 * files what holds them: until then others only learn that a process does. */
int claim_take_all(struct claim **claims, size_t count, struct error *error);
void claim_settled(struct claim **claims, size_t count);

/* The lock file has gone or has been replaced: takes it again. 0: it is ours
 * (again). 1: another process has it now. -1: error. */
int claim_heal(struct claim *claim, struct error *error);

/* Whether both are in one directory, by one path. */
bool claim_is_beside(const struct claim *claim, const struct claim *other);

/* Whether its directory is no longer what its path leads to: removed, moved, mounted over. */
bool claim_is_displaced(const struct claim *claim);

/* Takes the claims that are displaced anew, in the directories that their paths lead to now: all
 * of them, or none. fresh_runtime_dirfd: the new run-time directory; -1: that has stayed. Every
 * number of a directory's descriptor stays, and leads to the new one; files of residue.h are
 * removed from the old one, and due in the new one. claim_settled() is due when they are there.
 * 0, or -1; 75 names the holder of one. */
int claim_move(struct claim **claims, size_t count, int runtime_dirfd, int fresh_runtime_dirfd,
               struct error *error);

void claim_release(struct claim *claim);

#endif
