/* Claims: what this process must own before it binds anything. A service's
 * name is claimed by SERVICE.lock in the run-time directory, a unix path NAME
 * by .NAME.lock beside it.
 *
 * Every process takes its claims in the same order. So if two overlapping
 * configurations start at once, one of them gets everything it needs. */
#ifndef FRAMEWORK_CLAIM_H
#define FRAMEWORK_CLAIM_H

#include "base/error.h"
#include "base/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* In a run-time directory, claims are serialised by this file, because the daemons that use the
 * directory lock the directory itself for life (directory_keep()). No service and no socket can
 * have the name. */
#define CLAIM_SERIAL "_claims.lock"

struct claim {
    char object[160];      /* for messages: "service echo", "unix:/run/x.sock" */
    const char *directory; /* not ours */
    char lock_name[NAME_MAX + 1];
    char identity[LOCK_HOLDER_MAX]; /* what others read if they find it held */
    bool is_path, is_state;         /* state is a path, too */
    int dirfd;                      /* -1: not prepared; of a name it is not ours */
    dev_t device;
    ino_t inode; /* of the directory */
    bool serialises;
    int serial_fd; /* of the file that it serialises by; -1: by the directory */
    struct lock lock;
};

/* The claim of a service's name. The run-time directory is open and checked. It must
 * stay open, and its path must stay valid, as long as the claim lives. */
void claim_prepare_name(struct claim *claim, const char *runtime_dir, int runtime_dirfd,
                        const char *service, const char *identity);

/* The claim of a path. Opens the directory and checks that it can be trusted. Its path
 * must live as long as the claim. */
int claim_prepare_path(struct claim *claim, const char *directory, const char *name,
                       const char *object, const char *identity, struct error *error);

/* Takes all claims or none. 75: the error names the holder of one. Sorts the array. While claims
 * are being taken and until claim_settled(), each directory of a path is also locked, by
 * CLAIM_SERIAL in a run-time directory, so that the check for a stale socket and its replacement
 * are not interleaved with another start. claim_settled() also writes the holder into the lock
 * files. Until then, others only learn that some process holds them. */
int claim_take_all(struct claim **claims, size_t count, struct error *error);
void claim_settled(struct claim **claims, size_t count);

/* Takes the claim again after its lock file was removed or replaced. 0: the claim is
 * still ours, or ours again. 1: another process has it now. -1: error. */
int claim_heal(struct claim *claim, struct error *error);

/* Whether both are in the same directory, by the same path. */
bool claim_is_beside(const struct claim *claim, const struct claim *other);

/* Whether its path no longer leads to its directory, which was removed, moved or mounted over. */
bool claim_is_displaced(const struct claim *claim);

/* Takes the displaced claims again, in the directories that their paths lead to now: all of them
 * or none. fresh_runtime_dirfd: the new run-time directory; -1: it has not changed. The number of
 * each directory's descriptor stays the same, and refers to the new directory. Files of residue.h
 * are removed from the old directory, and the caller must create them in the new one, then call
 * claim_settled(). Returns 0, or -1. 75: the error names the holder of one. */
int claim_move(struct claim **claims, size_t count, int runtime_dirfd, int fresh_runtime_dirfd,
               struct error *error);

void claim_release(struct claim *claim);

#endif
