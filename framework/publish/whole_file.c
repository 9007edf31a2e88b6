/* Files that appear whole. See whole_file.h. */
#include "publish/whole_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void private_prefix(const struct whole_file *file, char ret_prefix[NAME_MAX + 1])
{
    snprintf(ret_prefix, NAME_MAX + 1, ".%.200s.", file->name);
}

int whole_file_create(struct whole_file *file, int dirfd, const char *name)
{
    char prefix[NAME_MAX + 1], temporary[NAME_MAX + 1];
    struct stat status;
    int fd;

    file->dirfd = dirfd;
    snprintf(file->name, sizeof file->name, "%s", name);
    private_prefix(file, prefix);
    file->residue = residue_add(dirfd, prefix, temporary);
    if (!file->residue)
        return -1;
    fd = openat(dirfd, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) < 0 || fchmod(fd, 0644) < 0) {
        close(fd);
        return -1;
    }
    residue_identify(file->residue, &status);
    return fd;
}

int whole_file_show(struct whole_file *file)
{
    return residue_rename(file->residue, file->name, 0);
}

bool whole_file_is_there(const struct whole_file *file)
{
    return !file->residue || residue_is_there(file->residue);
}

void whole_file_touch(const struct whole_file *file)
{
    if (file->residue && residue_is_there(file->residue))
        utimensat(file->dirfd, file->name, NULL, AT_SYMLINK_NOFOLLOW);
}

void whole_file_replace(struct whole_file *file, const struct whole_file *by)
{
    residue_forget(file->residue);
    *file = *by;
}

void whole_file_remove(struct whole_file *file)
{
    residue_remove_one(file->residue);
    file->residue = NULL;
}

void whole_file_sweep(const struct whole_file *file)
{
    char prefix[NAME_MAX + 1];

    private_prefix(file, prefix);
    residue_sweep(file->dirfd, prefix, "");
}
