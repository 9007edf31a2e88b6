/* To be preloaded: a file that openat() makes or opens for writing under the name
 * $TEST_LOCK_NAME is gone when that returns, $TEST_LOCK_TIMES times. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

typedef int (*openat_fn)(int, const char *, int, ...);

__attribute__((visibility("default"))) int openat(int at, const char *path, int flags, ...)
{
    static int removed;
    const char *name = getenv("TEST_LOCK_NAME"), *times = getenv("TEST_LOCK_TIMES");
    openat_fn real = NULL;
    va_list arguments;
    mode_t mode = 0;
    int fd;

    va_start(arguments, flags);
    if (flags & O_CREAT)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    *(void **)&real = dlsym(RTLD_NEXT, "openat");
    fd = real(at, path, flags, mode);
    if (fd >= 0 && flags & O_CREAT && name && times && strcmp(path, name) == 0 &&
        removed < atoi(times)) {
        removed++;
        unlinkat(at, path, 0);
    }
    return fd;
}
