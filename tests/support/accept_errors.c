/* Preloaded: accept4() fails with the error $TEST_ACCEPT_ERROR (a number) as long as the file
 * $TEST_ACCEPT_FILE exists; if no file is named, every second time. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int (*accept4_fn)(int, struct sockaddr *, socklen_t *, int);

static bool fails_now(void)
{
    static unsigned calls;
    const char *file = getenv("TEST_ACCEPT_FILE");

    return file ? access(file, F_OK) == 0 : calls++ % 2 == 0;
}

__attribute__((visibility("default"))) int accept4(int fd, struct sockaddr *peer, socklen_t *length,
                                                   int flags)
{
    const char *error = getenv("TEST_ACCEPT_ERROR");
    accept4_fn real = NULL;

    if (error && fails_now()) {
        errno = atoi(error);
        return -1;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "accept4");
    return real(fd, peer, length, flags);
}
