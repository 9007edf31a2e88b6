/* Names of services. See service_names.h. */
#include "observe/service_names.h"

#include "observe/state_view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_ours(const char *suffix)
{
    return strcmp(suffix, ".json") == 0 || strcmp(suffix, ".state") == 0 ||
           strcmp(suffix, ".lock") == 0;
}

/* 0, also if it is no file of a service; -1 without memory. */
static int add(struct service_names *names, const char *file)
{
    const char *suffix = strrchr(file, '.');
    const size_t size = suffix ? (size_t)(suffix - file) : 0;
    char name[64] = "";
    void *grown;

    if (size == 0 || size >= sizeof name || !is_ours(suffix))
        return 0;
    memcpy(name, file, size);
    if (!state_view_is_name(name))
        return 0;
    if ((names->count & (names->count - 1)) == 0) {
        grown = realloc(names->names, 2 * (names->count + 1) * sizeof *names->names);
        if (!grown)
            return -1;
        names->names = grown;
    }
    memcpy(names->names[names->count++], name, sizeof name);
    return 0;
}

static int compare(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void sort_out(struct service_names *names)
{
    size_t kept = 0;

    if (names->count == 0)
        return;
    qsort(names->names, names->count, sizeof *names->names, compare);
    for (size_t i = 1; i < names->count; i++)
        if (strcmp(names->names[kept], names->names[i]) != 0)
            memmove(names->names[++kept], names->names[i], sizeof *names->names);
    names->count = kept + 1;
}

int service_names_read(int runtime_dirfd, struct service_names *ret)
{
    const int fd = openat(runtime_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int failed = directory ? 0 : -1, cause;

    *ret = (struct service_names){0};
    while (!failed && (entry = readdir(directory)))
        failed = add(ret, entry->d_name);
    cause = errno;
    if (directory)
        closedir(directory);
    else if (fd >= 0)
        close(fd);
    sort_out(ret);
    errno = cause;
    return failed;
}

void service_names_finish(struct service_names *names)
{
    free(names->names);
    *names = (struct service_names){0};
}
