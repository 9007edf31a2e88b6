/* Memory that is left. See memory_left.h. */
#include "daemon/memory_left.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 8192, TEN = 10 };

static bool read_text(const char *path, char ret_text[TEXT_MAX])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd < 0 ? -1 : read(fd, ret_text, TEXT_MAX - 1);

    if (fd >= 0)
        close(fd);
    ret_text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static uint64_t available(void)
{
    char text[TEXT_MAX];
    const char *line;

    if (!read_text("/proc/meminfo", text) || !(line = strstr(text, "MemAvailable:")))
        return UINT64_MAX;
    return strtoull(line + strlen("MemAvailable:"), NULL, TEN) * 1024;
}

static bool read_number(const char *group, const char *file, uint64_t *ret)
{
    char path[PATH_MAX], text[TEXT_MAX];

    if (snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, file) >= (int)sizeof path ||
        !read_text(path, text) || *text < '0' || *text > '9')
        return false; /* "max", too */
    *ret = strtoull(text, NULL, TEN);
    return true;
}

static uint64_t left_in(const char *group)
{
    uint64_t most, current;

    if (!read_number(group, "memory.max", &most) || !read_number(group, "memory.current", &current))
        return UINT64_MAX;
    return most > current ? most - current : 0;
}

/* The limit of each group above holds, too. */
static uint64_t left_in_groups(void)
{
    char text[TEXT_MAX];
    char *group;
    uint64_t least = UINT64_MAX;

    if (!read_text("/proc/self/cgroup", text) || !(group = strstr(text, "0::/")))
        return UINT64_MAX;
    group += strlen("0::");
    group[strcspn(group, "\n")] = '\0';
    for (char *slash; (slash = strrchr(group, '/'));) {
        const uint64_t left = left_in(group);

        if (left < least)
            least = left;
        *slash = '\0';
    }
    return least;
}

uint64_t memory_left(void)
{
    const uint64_t machine = available(), groups = left_in_groups();

    return machine < groups ? machine : groups;
}
