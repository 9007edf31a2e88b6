/* Residue. See residue.h.
 *
 * The list only grows at its head, by one thread; readers follow it without a
 * lock. An entry's two names are both tried, as a rename may be under way. */
#include "guard/residue.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct residue {
    struct residue *next;
    int dirfd;
    dev_t device;
    _Atomic(ino_t) inode; /* 0: not known yet */
    atomic_int active;
    atomic_int current; /* which of the names is the newer one */
    char names[2][NAME_MAX + 1];
};

static _Atomic(struct residue *) residue_list;
static atomic_bool residue_ending;

static bool is_ours(const struct residue *residue, const char *name)
{
    const ino_t inode = atomic_load(&residue->inode);
    struct stat status;

    return fstatat(residue->dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           (inode == 0 || (status.st_dev == residue->device && status.st_ino == inode));
}

static void remove_if_ours(const struct residue *residue, const char *name)
{
    if (is_ours(residue, name))
        unlinkat(residue->dirfd, name, 0);
}

bool residue_is_there(const struct residue *residue)
{
    return is_ours(residue, residue->names[atomic_load(&residue->current)]);
}

void residue_remove_one(struct residue *residue)
{
    if (!residue || !atomic_exchange(&residue->active, 0))
        return;
    /* Another thread may be renaming it, either way, behind our back. */
    for (int i = 0; i < 3; i++)
        remove_if_ours(residue, residue->names[i % 2]);
}

struct residue *residue_add(int dirfd, const char *prefix, char ret_name[NAME_MAX + 1])
{
    struct residue *residue = calloc(1, sizeof *residue);

    snprintf(ret_name, NAME_MAX + 1, "%.240s%d.tmp", prefix, getpid());
    unlinkat(dirfd, ret_name, 0);
    if (!residue)
        return NULL;
    residue->dirfd = dirfd;
    snprintf(residue->names[0], sizeof residue->names[0], "%s", ret_name);
    snprintf(residue->names[1], sizeof residue->names[1], "%s", ret_name);
    atomic_store(&residue->active, 1);
    residue->next = atomic_load(&residue_list);
    atomic_store(&residue_list, residue);
    if (atomic_load(&residue_ending))
        residue_remove_one(residue);
    return residue;
}

void residue_identify(struct residue *residue, const struct stat *status)
{
    residue->device = status->st_dev;
    atomic_store(&residue->inode, status->st_ino);
}

int residue_rename(struct residue *residue, const char *name, unsigned flags)
{
    const int now = atomic_load(&residue->current), next = 1 - now;

    snprintf(residue->names[next], sizeof residue->names[next], "%s", name);
    atomic_store(&residue->current, next);
    if (renameat2(residue->dirfd, residue->names[now], residue->dirfd, name, flags) == 0)
        return 0;
    atomic_store(&residue->current, now);
    return -1;
}

void residue_forget(struct residue *residue)
{
    if (residue)
        atomic_store(&residue->active, 0);
}

bool residue_is_ending(void)
{
    return atomic_load(&residue_ending);
}

void residue_remove(void)
{
    atomic_store(&residue_ending, true);
    for (struct residue *residue = atomic_load(&residue_list); residue; residue = residue->next)
        residue_remove_one(residue);
}

/* Exactly what residue_add() makes: ".a." must not match what another process makes
 * for "a.sock". */
static bool is_left_over(const char *name, const char *prefix, const char *keep)
{
    const char *pid = name + strlen(prefix);

    return strncmp(name, prefix, strlen(prefix)) == 0 && strcmp(name, keep) != 0 &&
           strspn(pid, "0123456789") > 0 && strcmp(pid + strspn(pid, "0123456789"), ".tmp") == 0;
}

void residue_sweep(int dirfd, const char *prefix, const char *keep)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!directory) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(directory)))
        if (is_left_over(entry->d_name, prefix, keep))
            unlinkat(dirfd, entry->d_name, 0);
    closedir(directory);
}
