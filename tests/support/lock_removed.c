/* Preloaded: when openat() creates a file named $TEST_LOCK_NAME, or opens it with O_CREAT, the file
 * is removed before the call returns, $TEST_LOCK_TIMES times. If $TEST_LOCK_DIRECTORY is set, that
 * directory is removed with its content instead, before a file with this prefix is made. The count
 * is shared by all processes: it is kept in directories beside it, named DIRECTORY.0 and so on. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

typedef int (*openat_fn)(int, const char *, int, ...);

static void remove_directory(const char *path, int number)
{
    char mark[PATH_MAX];
    DIR *directory;

    snprintf(mark, sizeof mark, "%s.%d", path, number);
    if (mkdir(mark, 0700) < 0)
        return;
    directory = opendir(path);
    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory)
        closedir(directory);
    rmdir(path);
}

__attribute__((visibility("default"))) int openat(int at, const char *path, int flags, ...)
{
    static int removed;
    const char *name = getenv("TEST_LOCK_NAME"), *times = getenv("TEST_LOCK_TIMES");
    const char *directory = getenv("TEST_LOCK_DIRECTORY");
    const int is_due = flags & O_CREAT && name && times && removed < atoi(times);
    openat_fn real = NULL;
    va_list arguments;
    mode_t mode = 0;
    int fd;

    va_start(arguments, flags);
    if (flags & O_CREAT)
        mode = va_arg(arguments, mode_t);
    va_end(arguments);
    *(void **)&real = dlsym(RTLD_NEXT, "openat");
    if (is_due && directory && strncmp(path, name, strlen(name)) == 0) {
        remove_directory(directory, removed++);
    }
    fd = real(at, path, flags, mode);
    if (fd >= 0 && is_due && !directory && strcmp(path, name) == 0) {
        removed++;
        unlinkat(at, path, 0);
    }
    return fd;
}
