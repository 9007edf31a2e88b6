/* Lock files. See lock.h. */
#include "base/lock.h"

#include "base/fork_guard.h"
#include "base/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char STEP[] = "claim";

/* The file has mode 0600, whatever the umask of the process that creates it. If fstat() fails, the
 * status is all zero. */
static int open_for_us(int dirfd, const char *name, struct stat *ret_status)
{
    enum { MODE = 0600, FLAGS = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };
    int fd = openat(dirfd, name, FLAGS, MODE);

    if (fd < 0 && errno == EACCES && fstatat(dirfd, name, ret_status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(ret_status->st_mode) && ret_status->st_uid == geteuid() &&
        fchmodat(dirfd, name, MODE, 0) == 0)
        fd = openat(dirfd, name, FLAGS, MODE);
    if (fd < 0)
        return -1;
    if (fstat(fd, ret_status) < 0)
        *ret_status = (struct stat){0};
    if (S_ISREG(ret_status->st_mode) && (ret_status->st_mode & 07777) != MODE &&
        ret_status->st_uid == geteuid() && fchmod(fd, MODE) < 0) {
        /* it keeps its mode; the lock itself works */
    }
    return fd;
}

static int open_lock_file(int dirfd, const char *path, const char *name, struct stat *ret_status,
                          struct error *error)
{
    const int fd = open_for_us(dirfd, name, ret_status);

    if (fd < 0)
        return error_set(
            error,
            errno == ELOOP             ? EXIT_SECURITY
            : error_is_shortage(errno) ? EXIT_SYSTEM
                                       : EXIT_RECORD,
            STEP, path,
            errno == ELOOP ? "the lock file is a symbolic link; remove it"
                           : "cannot open the lock file: %s; %s",
            strerror(errno),
            error_remedy_in_directory(errno, "make the directory writable, or use another"));
    if (S_ISREG(ret_status->st_mode) && owner_is_us(ret_status->st_uid) &&
        ret_status->st_nlink <= 1)
        return fd;
    close(fd);
    return error_set(error, EXIT_SECURITY, STEP, path,
                     "the lock file is not a plain file of your own with one name; look at it, "
                     "then remove it");
}

static bool is_plain_text(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            return false;
    return true;
}

/* What the holder wrote, and when. Other users cannot write to the file, but its text may be torn,
 * or may not be text at all. */
static void read_holder(int fd, char holder[LOCK_HOLDER_MAX])
{
    char words[LOCK_HOLDER_MAX / 2], since[64] = "";
    ssize_t size = pread(fd, words, sizeof words - 1, 0);
    struct stat status;
    struct tm local;

    words[size > 0 ? size : 0] = '\0';
    words[strcspn(words, "\n")] = '\0';
    holder[0] = '\0';
    if (!*words || !is_plain_text(words))
        return;
    if (fstat(fd, &status) == 0 && localtime_r(&status.st_mtime, &local))
        strftime(since, sizeof since, ", since %Y-%m-%d %H:%M:%S", &local);
    snprintf(holder, LOCK_HOLDER_MAX, "%s%s", words, since);
}

void lock_sign(const struct lock *lock, const char *identity)
{
    char line[LOCK_HOLDER_MAX];
    int size = snprintf(line, sizeof line, "%s\n", identity);

    /* Only information for readers: a full disk must not prevent a start. */
    if (pwrite(lock->fd, line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1, 0) <
            0 ||
        ftruncate(lock->fd, size) < 0)
        return;
}

static bool is_at_name(const struct lock *lock, const struct stat *held)
{
    struct stat named;

    return fstatat(lock->dirfd, lock->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held->st_dev == named.st_dev && held->st_ino == named.st_ino;
}

bool lock_in_place(const struct lock *lock)
{
    struct stat held;

    return fstat(lock->fd, &held) == 0 && is_at_name(lock, &held);
}

void lock_touch(const struct lock *lock)
{
    static const struct timespec times[] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};

    if (lock->fd >= 0)
        futimens(lock->fd, times);
}

static int refuse_lock(const char *path, int command, int cause, struct error *error)
{
    const bool is_denied = cause == EPERM || cause == ENOSYS;

    return error_set(error, is_denied ? EXIT_SYSTEM : EXIT_RECORD, STEP, path,
                     is_denied ? "cannot lock it: fcntl(%s): %s; let the sandbox allow that"
                               : "cannot lock it: fcntl(%s): %s; use a file system that has locks",
                     command == F_OFD_SETLK ? "F_OFD_SETLK" : "F_OFD_SETLKW", strerror(cause));
}

/* command: F_OFD_SETLK or F_OFD_SETLKW. */
static int take(struct lock *lock, int command, int dirfd, const char *directory, const char *name,
                char ret_holder[LOCK_HOLDER_MAX], struct error *error)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    lock->fd = -1;
    lock->dirfd = dirfd;
    snprintf(lock->name, sizeof lock->name, "%s", name);

    /* The file may be removed between open and lock: then the lock is on a file that no other
     * process can find, and is taken again. If the file is removed again and again, this gives
     * up. */
    for (int round = 0; round < 100; round++) {
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        struct stat held = {0};
        int fd = open_lock_file(dirfd, path, name, &held, error);

        if (fd < 0)
            return -1;
        if (fcntl(fd, command, &whole) < 0) {
            const int cause = errno;

            read_holder(fd, ret_holder);
            close(fd);
            if (cause == EAGAIN || cause == EACCES || cause == EINTR)
                return 1;
            return refuse_lock(path, command, cause, error);
        }
        lock->fd = fd;
        fork_guard_add(fd);
        if (is_at_name(lock, &held))
            return 0;
        lock_release(lock);
    }
    return error_set(error, EXIT_RECORD, STEP, path,
                     "the lock file is removed again and again; find out what does that");
}

int lock_take(struct lock *lock, int dirfd, const char *directory, const char *name,
              char ret_holder[LOCK_HOLDER_MAX], struct error *error)
{
    return take(lock, F_OFD_SETLK, dirfd, directory, name, ret_holder, error);
}

int lock_wait(struct lock *lock, int dirfd, const char *directory, const char *name,
              struct error *error)
{
    char holder[LOCK_HOLDER_MAX];

    return take(lock, F_OFD_SETLKW, dirfd, directory, name, holder, error);
}

void lock_release(struct lock *lock)
{
    fork_guard_close(lock->fd);
    lock->fd = -1;
}
