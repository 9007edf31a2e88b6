/* Open descriptors. See descriptors.h. */
#include "base/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static int compare(const void *left, const void *right)
{
    const struct descriptor *a = left, *b = right;

    return (a->fd > b->fd) - (a->fd < b->fd);
}

static int add(struct descriptors *list, size_t *room, int fd)
{
    struct stat status = {0};

    if (list->count == *room) {
        struct descriptor *grown = realloc(list->list, (*room * 2 + 32) * sizeof *grown);

        if (!grown)
            return -1;
        list->list = grown;
        *room = *room * 2 + 32;
    }
    fstat(fd, &status);
    list->list[list->count++] = (struct descriptor){
        .fd = fd, .mode = status.st_mode, .device = status.st_dev, .inode = status.st_ino};
    return 0;
}

int descriptors_list(struct descriptors *ret)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t room = 0;
    int failed = 0;

    *ret = (struct descriptors){NULL, 0};
    if (!directory)
        return -1;
    for (const struct dirent *entry; !failed && (entry = readdir(directory));) {
        char *end;
        const int fd = (int)strtol(entry->d_name, &end, 10);

        if (end != entry->d_name && fd != dirfd(directory))
            failed = add(ret, &room, fd);
    }
    closedir(directory);
    if (failed) {
        descriptors_free(ret);
        errno = ENOMEM;
        return -1;
    }
    if (ret->count > 0)
        qsort(ret->list, ret->count, sizeof *ret->list, compare);
    return 0;
}

size_t descriptors_count(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    if (!directory)
        return 0;
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count > 0 ? count - 1 : 0; /* without the directory itself */
}

void descriptors_free(struct descriptors *list)
{
    free(list->list);
    *list = (struct descriptors){NULL, 0};
}

static const struct descriptor *find(const struct descriptors *list, int fd)
{
    const struct descriptor wanted = {.fd = fd};

    return list->count > 0 ? bsearch(&wanted, list->list, list->count, sizeof wanted, compare)
                           : NULL;
}

bool descriptors_have(const struct descriptors *list, int fd)
{
    return find(list, fd) != NULL;
}

/* /proc lists descriptors in ascending order, so closing the current one skips none. */
static bool close_listed(unsigned first, unsigned last)
{
    DIR *directory = opendir("/proc/self/fd");

    if (!directory)
        return false;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        char *end;
        const unsigned long fd = strtoul(entry->d_name, &end, 10);

        if (end != entry->d_name && fd >= first && fd <= last && fd != (unsigned)dirfd(directory))
            close((int)fd);
    }
    closedir(directory);
    return true;
}

void descriptors_close(unsigned first, unsigned last)
{
    struct rlimit limit = {.rlim_max = 0};

    if (close_range(first, last, 0) == 0 || first > last || close_listed(first, last))
        return;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned fd = first; fd <= last && fd < limit.rlim_max; fd++)
        close((int)fd);
}

/* The kernel has no call for this. Its table grows to fit the highest number in use. */
void descriptors_make_room(unsigned count)
{
    struct rlimit limit;
    int highest;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (count > limit.rlim_cur)
        count = (unsigned)limit.rlim_cur;
    highest = count > 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, (int)count - 1) : -1;
    if (highest >= 0)
        close(highest);
}

/* Only the kind of a closed descriptor is known. */
static const char *kind_of(mode_t mode)
{
    return S_ISSOCK(mode)   ? "a socket"
           : S_ISREG(mode)  ? "a file"
           : S_ISDIR(mode)  ? "a directory"
           : S_ISFIFO(mode) ? "a pipe"
           : S_ISCHR(mode)  ? "a device"
                            : "an event descriptor";
}

void descriptors_describe(int fd, char *ret_text, size_t size)
{
    char link[64], target[256];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    snprintf(ret_text, size, "descriptor %d%s%s", fd, length > 0 ? ", " : "", target);
}

enum descriptors_change descriptors_compare(const struct descriptors *before,
                                            const struct descriptors *after, int except,
                                            char *ret_what, size_t size)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct descriptor *old = &before->list[i], *now = find(after, old->fd);

        if (now && now->device == old->device && now->inode == old->inode)
            continue;
        snprintf(ret_what, size, "descriptor %d, %s", old->fd, kind_of(old->mode));
        return DESCRIPTORS_CLOSED;
    }
    for (size_t i = 0; i < after->count; i++) {
        const int fd = after->list[i].fd;

        if (fd == except || descriptors_have(before, fd))
            continue;
        descriptors_describe(fd, ret_what, size);
        return DESCRIPTORS_LEFT_OPEN;
    }
    return DESCRIPTORS_SAME;
}
