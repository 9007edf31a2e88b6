/* A process's command line and environment. See whole_proc.h. */
#include "rpdctl/whole_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE_MAX_ = 1 << 20 };

char *whole_proc_read(pid_t pid, const char *name, size_t *ret_size)
{
    char path[64], *text = malloc(SIZE_MAX_ + 1);
    ssize_t got = 1;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    for (*ret_size = 0; text && fd >= 0 && got != 0 && *ret_size < SIZE_MAX_;) {
        got = read(fd, text + *ret_size, SIZE_MAX_ - *ret_size);
        if (got < 0 && errno != EINTR)
            break;
        *ret_size += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && text && got == 0) {
        text[*ret_size] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

bool whole_proc_has(const char *strings, size_t size, const char *wanted)
{
    const char *rest = whole_proc_value(strings, size, wanted);

    return rest && !*rest;
}

const char *whole_proc_value(const char *strings, size_t size, const char *prefix)
{
    for (const char *at = strings; at < strings + size; at += strlen(at) + 1)
        if (strncmp(at, prefix, strlen(prefix)) == 0)
            return at + strlen(prefix);
    return NULL;
}
