/* Preloaded into a daemon that sends the file $TEST_COLD_FILE: a page cache that a test controls,
 * and a disk that takes 20 ms. The file $TEST_COLD_CONTROL holds a struct cold_control. Only the
 * bytes are real: preadv2() with RWF_NOWAIT finds the pages in this cache, pread() and
 * posix_fadvise() on a worker put pages there, and a sendfile() that misses a page waits, and is
 * counted if the loop called it. */
#undef _FORTIFY_SOURCE /* its pread() is inline */
#include "cold_files.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))
#define REAL(type, name) ((type)(uintptr_t)dlsym(RTLD_NEXT, name))

enum { PAGE = 4096, PAGES = 16384, DISK_MS = 20, LOOKED_AT_MS = 10 };

static struct cold_control *control;
static const char *path;
static char cached[PAGES];
static int64_t looked_ms;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void map_control(void)
{
    const char *name = getenv("TEST_COLD_CONTROL");
    const int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED
                       : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    if (map != MAP_FAILED)
        control = map;
    path = getenv("TEST_COLD_FILE");
}

static bool is_ours(int fd)
{
    struct stat status, wanted;

    return control && path && fstat(fd, &status) == 0 && stat(path, &wanted) == 0 &&
           status.st_dev == wanted.st_dev && status.st_ino == wanted.st_ino;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wait_for_disk(void)
{
    nanosleep(&(struct timespec){.tv_nsec = DISK_MS * 1000000}, NULL);
}

static bool is_loop(void)
{
    return syscall(SYS_gettid) == getpid();
}

static void set_pages(off_t at, size_t size, char value)
{
    const size_t end = ((size_t)at + size + PAGE - 1) / PAGE;

    for (size_t page = (size_t)at / PAGE; page < end && page < PAGES; page++)
        cached[page] = value;
}

static bool all_pages(off_t at, size_t size)
{
    const size_t end = ((size_t)at + size + PAGE - 1) / PAGE;

    for (size_t page = (size_t)at / PAGE; page < end && page < PAGES; page++)
        if (!cached[page])
            return false;
    return true;
}

SHOWN ssize_t preadv2(int fd, const struct iovec *room, int count, off_t at, int flags)
{
    const bool is_one = is_ours(fd) && count == 1 && (flags & RWF_NOWAIT);
    bool is_cached = true;

    if (is_one && room->iov_len > 0) {
        pthread_mutex_lock(&mutex);
        if (atomic_exchange(&control->evicts, 0))
            set_pages(0, (size_t)PAGES * PAGE, 0);
        is_cached = all_pages(at, room->iov_len);
        looked_ms = now_ms();
        pthread_mutex_unlock(&mutex);
    }
    if (!is_cached) {
        errno = EAGAIN;
        return -1;
    }
    return REAL(ssize_t(*)(int, const struct iovec *, int, off_t, int),
                "preadv2")(fd, room, count, at, is_one ? 0 : flags);
}

static void read_into_cache(off_t at, size_t size)
{
    wait_for_disk();
    atomic_fetch_add(is_loop() ? &control->loop_waits : &control->worker_reads, 1);
    pthread_mutex_lock(&mutex);
    set_pages(at, size, 1);
    pthread_mutex_unlock(&mutex);
}

SHOWN ssize_t pread(int fd, void *bytes, size_t size, off_t at)
{
    if (is_ours(fd))
        read_into_cache(at, size);
    return REAL(ssize_t(*)(int, void *, size_t, off_t), "pread")(fd, bytes, size, at);
}

SHOWN int posix_fadvise(int fd, off_t at, off_t size, int advice)
{
    if (is_ours(fd) && advice == POSIX_FADV_WILLNEED) {
        pthread_mutex_lock(&mutex);
        set_pages(at, (size_t)size, 1);
        pthread_mutex_unlock(&mutex);
    }
    return REAL(int (*)(int, off_t, off_t, int), "posix_fadvise")(fd, at, size, advice);
}

/* Pages that were just looked at are evicted only if the test wants all to be evicted. */
static void look_at_pages(off_t at, size_t size)
{
    bool is_cached;

    pthread_mutex_lock(&mutex);
    if (atomic_load(&control->evicts_all_the_time) ||
        (now_ms() - looked_ms > LOOKED_AT_MS && atomic_exchange(&control->evicts, 0)))
        set_pages(0, (size_t)PAGES * PAGE, 0);
    is_cached = all_pages(at, size);
    pthread_mutex_unlock(&mutex);
    if (!is_cached)
        read_into_cache(at, size);
}

SHOWN ssize_t sendfile(int to, int from, off_t *at, size_t size)
{
    if (is_ours(from) && at)
        look_at_pages(*at, size);
    return REAL(ssize_t(*)(int, int, off_t *, size_t), "sendfile")(to, from, at, size);
}
