/* Claims. See claim.h. */
#include "endpoint/claim.h"

#include "base/directory.h"
#include "guard/residue.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { DIRECTORY_WAIT_MS = 200 };

/* dirfd: -1 is an error that is reported already. */
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

/* -1: this is no run-time directory. */
static int open_serial(const struct claim *claim, bool is_runtime)
{
    struct stat status;
    const int fd = openat(claim->dirfd, CLAIM_SERIAL,
                          O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (is_runtime ? O_CREAT : 0),
                          0600);

    if (fd < 0 ||
        (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid()))
        return fd;
    close(fd);
    return -1;
}

/* A help, not the proof: others may be able to hold this lock, so it is waited for only
 * briefly. */
static void lock_directory(struct claim *claim, bool is_runtime)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    const int serial_fd = open_serial(claim, is_runtime);

    claim->serial_fd = serial_fd;
    for (int waited = 0; waited < DIRECTORY_WAIT_MS; waited++) {
        if (flock(serial_fd >= 0 ? serial_fd : claim->dirfd, LOCK_EX | LOCK_NB) == 0) {
            claim->serialises = true;
            return;
        }
        nanosleep(&pause, NULL);
    }
    if (serial_fd >= 0)
        close(serial_fd);
}

static bool is_in_runtime(const struct claim *claim, struct claim *const *claims, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!claims[i]->is_path && same_directory(claims[i], claim))
            return true;
    return false;
}

static int refuse_held(const struct claim *claim, const char *holder, struct error *error)
{
    const char *who = *holder ? holder : "another process";

    if (claim->is_state)
        return error_set(error, EXIT_RUNNING, "claim", claim->object,
                         "this state is in use: %s has it; give each service its own, or stop "
                         "that one first",
                         who);
    return error_set(error, EXIT_RUNNING, "claim", claim->object,
                     "already running: %s has it; use that one, or stop it first", who);
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
        if (claims[i]->serialises && claims[i]->serial_fd >= 0)
            close(claims[i]->serial_fd);
        else if (claims[i]->serialises)
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
        if (claim->is_path && !claim->is_state &&
            (!serialising || !same_directory(serialising, claim))) {
            serialising = claim;
            lock_directory(claim, is_in_runtime(claim, claims, count));
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

/* ---- where the directories are ----------------------------------------------- */

bool claim_is_beside(const struct claim *claim, const struct claim *other)
{
    return same_directory(claim, other) && strcmp(claim->directory, other->directory) == 0;
}

bool claim_is_displaced(const struct claim *claim)
{
    struct stat status;

    return stat(claim->directory, &status) < 0 || status.st_dev != claim->device ||
           status.st_ino != claim->inode;
}

/* The same claim, in the directory that its path leads to now. */
static int reopen(const struct claim *claim, int fresh_runtime_dirfd, struct claim *ret_fresh,
                  struct error *error)
{
    int dirfd = fresh_runtime_dirfd;

    *ret_fresh = *claim;
    ret_fresh->serialises = false;
    if (claim->is_path)
        dirfd = directory_open(claim->directory, "claim", EXIT_SYSTEM, error);
    else if (dirfd < 0)
        error_set(error, EXIT_SYSTEM, "claim", claim->directory,
                  "the directory was replaced at this very moment");
    return prepare(ret_fresh, claim->directory, dirfd, claim->identity);
}

static int take_anew(struct claim **claims, size_t count, int fresh_runtime_dirfd,
                     struct claim *fresh, struct claim **list, struct error *error)
{
    size_t displaced = 0;
    int failed = 0;

    for (size_t i = 0; i < count && !failed; i++)
        if (claim_is_displaced(claims[i])) {
            failed = reopen(claims[i], fresh_runtime_dirfd, &fresh[i], error);
            list[displaced++] = &fresh[i];
        }
    if (!failed)
        failed = claim_take_all(list, displaced, error);
    for (size_t i = 0; failed && i < displaced; i++)
        claim_release(list[i]);
    return failed;
}

/* The number of the old one is that of the new one from now on. */
static void replace_directory(int dirfd, int fresh_dirfd)
{
    residue_leave(dirfd);
    dup3(fresh_dirfd, dirfd, O_CLOEXEC); /* of two open ones: it cannot fail */
}

static void take_over(struct claim *claim, struct claim *fresh)
{
    if (claim->is_path) {
        replace_directory(claim->dirfd, fresh->dirfd);
        close(fresh->dirfd);
    }
    lock_release(&claim->lock);
    claim->lock = fresh->lock;
    claim->lock.dirfd = claim->dirfd;
    claim->serialises = fresh->serialises;
    claim->serial_fd = fresh->serial_fd;
    claim->device = fresh->device;
    claim->inode = fresh->inode;
}

int claim_move(struct claim **claims, size_t count, int runtime_dirfd, int fresh_runtime_dirfd,
               struct error *error)
{
    struct claim *fresh = calloc(count, sizeof *fresh);
    struct claim **list = calloc(count, sizeof(struct claim *));
    const int failed = !fresh || !list
                           ? error_set(error, EXIT_SYSTEM, "claim", "services", "out of memory")
                           : take_anew(claims, count, fresh_runtime_dirfd, fresh, list, error);

    if (!failed && fresh_runtime_dirfd >= 0)
        replace_directory(runtime_dirfd, fresh_runtime_dirfd);
    for (size_t i = 0; !failed && fresh && i < count; i++)
        if (fresh[i].directory)
            take_over(claims[i], &fresh[i]);
    free(list);
    free(fresh);
    return failed;
}

void claim_release(struct claim *claim)
{
    end_serialising(&claim, 1);
    lock_release(&claim->lock);
    if (claim->is_path && claim->dirfd >= 0)
        close(claim->dirfd);
    claim->dirfd = -1;
}
