/* Claims. See claim.h. */
#include "endpoint/claim.h"

#include "base/directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { DIRECTORY_WAIT_MS = 200 };

/* dirfd: -1 is an error that is told already. */
static int prepare(struct claim *claim, const char *directory, int dirfd, const char *identity)
{
    struct stat status;

    claim->lock.fd = -1;
    claim->directory = directory;
    claim->dirfd = dirfd;
    snprintf(claim->identity, sizeof claim->identity, "%s", identity);
    if (dirfd < 0)
        return -1;
    if (fstat(dirfd, &status) == 0) {
        claim->device = status.st_dev;
        claim->inode = status.st_ino;
    }
    return 0;
}

void claim_prepare_name(struct claim *claim, const char *runtime_dir, int runtime_dirfd,
                        const char *service, const char *identity)
{
    memset(claim, 0, sizeof *claim);
    snprintf(claim->object, sizeof claim->object, "service %s", service);
    snprintf(claim->lock_name, sizeof claim->lock_name, "%s.lock", service);
    prepare(claim, runtime_dir, runtime_dirfd, identity);
}

int claim_prepare_path(struct claim *claim, const char *directory, const char *name,
                       const char *object, const char *identity, struct error *error)
{
    memset(claim, 0, sizeof *claim);
    claim->is_path = true;
    snprintf(claim->object, sizeof claim->object, "%s", object);
    snprintf(claim->lock_name, sizeof claim->lock_name, ".%s.lock", name);
    return prepare(claim, directory, directory_open(directory, "claim", EXIT_SYSTEM, error),
                   identity);
}

static bool same_directory(const struct claim *a, const struct claim *b)
{
    return a->device == b->device && a->inode == b->inode;
}

static int compare(const void *left, const void *right)
{
    const struct claim *a = *(struct claim *const *)left, *b = *(struct claim *const *)right;

    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    if (a->inode != b->inode)
        return a->inode < b->inode ? -1 : 1;
    return strcmp(a->lock_name, b->lock_name);
}

/* A help, not the proof: anybody who can read the directory can hold this
 * lock, so it is waited for only briefly. */
static void lock_directory(struct claim *claim)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int waited = 0; waited < DIRECTORY_WAIT_MS; waited++) {
        if (flock(claim->dirfd, LOCK_EX | LOCK_NB) == 0) {
            claim->serialises = true;
            return;
        }
        nanosleep(&pause, NULL);
    }
}

static int refuse_held(const struct claim *claim, const char *holder, struct error *error)
{
    return error_set(error, EXIT_RUNNING, "claim", claim->object,
                     "already running: %s has it; use that one, or stop it first",
                     *holder ? holder : "another process");
}

static int take(struct claim *claim, struct error *error)
{
    char holder[LOCK_HOLDER_MAX];
    int taken = lock_take(&claim->lock, claim->dirfd, claim->directory, claim->lock_name, holder,
                          error);

    return taken > 0 ? refuse_held(claim, holder, error) : taken;
}

static void end_serialising(struct claim **claims, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (claims[i]->serialises)
            flock(claims[i]->dirfd, LOCK_UN);
        claims[i]->serialises = false;
    }
}

int claim_take_all(struct claim **claims, size_t count, struct error *error)
{
    struct claim *serialising = NULL;

    qsort(claims, count, sizeof(struct claim *), compare);
    for (size_t i = 0; i < count; i++) {
        struct claim *claim = claims[i];

        if (i > 0 && compare(&claims[i - 1], &claims[i]) == 0) {
            end_serialising(claims, count);
            return error_set(error, EXIT_CONFIG, "config", claim->object,
                             "it is listed twice, in two spellings; take one out");
        }
        if (claim->is_path && (!serialising || !same_directory(serialising, claim))) {
            serialising = claim;
            lock_directory(claim);
        }
        if (take(claim, error) < 0) {
            end_serialising(claims, count);
            return -1;
        }
    }
    return 0;
}

void claim_settled(struct claim **claims, size_t count)
{
    end_serialising(claims, count);
    for (size_t i = 0; i < count; i++)
        lock_sign(&claims[i]->lock, claims[i]->identity);
}

int claim_heal(struct claim *claim, struct error *error)
{
    struct lock fresh;
    char holder[LOCK_HOLDER_MAX];
    int taken;

    if (lock_in_place(&claim->lock))
        return 0;
    taken = lock_take(&fresh, claim->dirfd, claim->directory, claim->lock_name, holder, error);
    if (taken > 0)
        refuse_held(claim, holder, error);
    if (taken != 0)
        return taken;
    lock_release(&claim->lock);
    claim->lock = fresh;
    lock_sign(&claim->lock, claim->identity);
    return 0;
}

void claim_release(struct claim *claim)
{
    lock_release(&claim->lock);
    if (claim->is_path && claim->dirfd >= 0)
        close(claim->dirfd);
    claim->dirfd = -1;
}
