/* Lock files that are removed, or replaced, between open and lock: a lock on a file without a name
 * keeps no process out, and is not trusted. Linked with --wrap=openat. */
#include "base/lock.h"

#include "process.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char NAME[] = "x.lock";

static const char *dir;
static int dirfd;

/* ---- the meddler that removes it ------------------------------------------------------ */

static struct {
    int times; /* how many more times */
    bool replaces;
    int lets_go; /* -1, or a descriptor that has the lock: closed when the file is gone */
    int opens;
} meddler;

int __real_openat(int at, const char *path, int flags, ...);
int __wrap_openat(int at, const char *path, int flags, ...);

static void meddle(int at, const char *path)
{
    if (meddler.replaces) {
        file_write(textf("%s/other", dir), "", 0);
        cr_assert_eq(renameat(at, "other", at, path), 0);
    } else {
        cr_assert_eq(unlinkat(at, path, 0), 0);
    }
    if (meddler.lets_go >= 0)
        close(meddler.lets_go);
    meddler.lets_go = -1;
}

int __wrap_openat(int at, const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;
    int fd;

    va_start(arguments, flags);
    mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    fd = __real_openat(at, path, flags, mode);
    if (strcmp(path, NAME) != 0)
        return fd;
    meddler.opens++;
    if (meddler.times > 0) {
        meddler.times--;
        meddle(at, path);
    }
    return fd;
}

static void begin(void)
{
    umask(077);
    dir = temp_dir_make();
    dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    meddler.lets_go = -1;
}

static void end(void)
{
    close(dirfd);
    temp_dir_remove(dir);
}

TestSuite(lock, .init = begin, .fini = end, .timeout = 60);

/* ---- taking it -------------------------------------------------------------------------- */

static int take(struct lock *lock, struct error *error)
{
    char holder[LOCK_HOLDER_MAX];

    return lock_take(lock, dirfd, dir, NAME, holder, error);
}

/* The lock keeps every other process out. */
static void assert_holds(const struct lock *lock)
{
    struct lock other;
    struct error error;

    cr_assert(lock_in_place(lock));
    cr_assert_eq(take(&other, &error), 1);
}

Test(lock, one_that_nobody_touches_is_taken_at_once)
{
    struct lock lock;
    struct error error;

    cr_assert_eq(take(&lock, &error), 0);
    cr_assert_eq(meddler.opens, 1);
    assert_holds(&lock);
    lock_release(&lock);
    cr_assert_eq(take(&lock, &error), 0);
    lock_release(&lock);
}

/* A process could hold the lock through the other name, too, and would not be kept out. */
Test(lock, a_file_of_two_names_is_refused)
{
    struct lock lock;
    struct error error;

    file_write(textf("%s/%s", dir, NAME), "", 0);
    cr_assert_eq(linkat(dirfd, NAME, dirfd, "other", 0), 0);
    cr_assert_eq(take(&lock, &error), -1);
    cr_assert_eq(error.code, EXIT_SECURITY);
    cr_assert_eq(unlinkat(dirfd, "other", 0), 0);
    cr_assert_eq(take(&lock, &error), 0);
    lock_release(&lock);
}

static void assert_taken_after(int times, bool replaces)
{
    struct lock lock;
    struct error error;
    const int fds = count_fds(getpid());

    meddler.times = times;
    meddler.replaces = replaces;
    meddler.opens = 0;
    cr_assert_eq(take(&lock, &error), 0, "%s", error.text);
    cr_assert_eq(meddler.opens, times + 1);
    cr_assert_eq(count_fds(getpid()), fds + 1);
    assert_holds(&lock);
    lock_release(&lock);
}

Test(lock, one_that_is_removed_is_taken_again)
{
    assert_taken_after(1, false);
    assert_taken_after(2, false);
    assert_taken_after(99, false);
}

Test(lock, one_that_is_replaced_is_taken_again)
{
    assert_taken_after(1, true);
    assert_taken_after(99, true);
}

static void assert_given_up(int result, const struct lock *lock, const struct error *error, int fds)
{
    cr_assert_eq(result, -1);
    cr_assert_eq(error->code, EXIT_RECORD);
    cr_assert(strstr(error->text, "removed again and again"), "%s", error->text);
    cr_assert_eq(lock->fd, -1);
    cr_assert_eq(count_fds(getpid()), fds);
}

Test(lock, one_that_is_removed_for_ever_is_given_up)
{
    struct lock lock;
    struct error error;
    const int fds = count_fds(getpid());

    for (int replaces = 0; replaces <= 1; replaces++) {
        meddler.replaces = replaces;
        meddler.times = 1000000;
        assert_given_up(take(&lock, &error), &lock, &error, fds);
        meddler.times = 1000000;
        assert_given_up(lock_wait(&lock, dirfd, dir, NAME, &error), &lock, &error, fds);
    }
}

/* ---- waiting for it ---------------------------------------------------------------------- */

/* The file is removed while we wait for its lock; then the holder releases it. */
static void assert_waited_for(bool replaces)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct lock lock;
    struct error error;

    meddler.lets_go = open(textf("%s/%s", dir, NAME), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(fcntl(meddler.lets_go, F_OFD_SETLK, &whole), 0);
    meddler.times = 1;
    meddler.replaces = replaces;
    meddler.opens = 0;
    cr_assert_eq(lock_wait(&lock, dirfd, dir, NAME, &error), 0, "%s", error.text);
    cr_assert_eq(meddler.opens, 2);
    assert_holds(&lock);
    lock_release(&lock);
}

Test(lock, one_that_goes_while_we_wait_is_taken_again)
{
    assert_waited_for(false);
    assert_waited_for(true);
}
