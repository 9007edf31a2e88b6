/* Preloaded into a daemon: folders of objects are read as far as a test lets them. $BUILDCACHE_GATE
 * is a file that holds a number: so many folders may be opened, and the others wait until the
 * number is larger. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long gate(void)
{
    const int fd = open(getenv("BUILDCACHE_GATE"), O_RDONLY | O_CLOEXEC);
    char text[16] = "0";

    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = '0';
    close(fd);
    return strtol(text, NULL, 10);
}

static int is_folder(int fd)
{
    char path[64], target[512] = "";

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof target - 1) > 0 && strstr(target, "/objects/");
}

DIR *fdopendir(int fd)
{
    static atomic_long folders;
    static DIR *(*next)(int);
    const struct timespec pause = {.tv_nsec = 1000000};

    if (!next)
        next = (DIR * (*)(int)) dlsym(RTLD_NEXT, "fdopendir");
    if (is_folder(fd) && getenv("BUILDCACHE_GATE")) {
        const long number = atomic_fetch_add(&folders, 1);
        while (number >= gate())
            nanosleep(&pause, NULL);
    }
    return next(fd);
}
