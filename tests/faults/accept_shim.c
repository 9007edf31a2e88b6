/* Preloaded into a daemon: an accept4() that fails when the test wants it to.
 *
 * $TEST_ACCEPT_FAULT is a file of struct accept_fault, which the test has mapped too. While `left`
 * is not zero, each call decrements it and fails with `error`; the client stays in the queue. */
#include "accept_fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct accept_fault *fault;

__attribute__((constructor)) static void map_fault(void)
{
    const char *path = getenv("TEST_ACCEPT_FAULT");
    const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = MAP_FAILED;

    if (fd >= 0) {
        map = mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
    }
    if (map != MAP_FAILED)
        fault = map;
}

/* Only the daemon's loop calls it. */
__attribute__((visibility("default"))) int accept4(int fd, struct sockaddr *address,
                                                   socklen_t *length, int flags)
{
    int (*real)(int, struct sockaddr *, socklen_t *, int);

    if (fault && atomic_load(&fault->left) > 0) {
        atomic_fetch_sub(&fault->left, 1);
        atomic_fetch_add(&fault->failed, 1);
        errno = atomic_load(&fault->error);
        return -1;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "accept4");
    return real(fd, address, length, flags);
}
