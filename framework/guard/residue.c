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

static const ino_t NO_INODE = (ino_t)-1; /* of no file: it was left behind */

/* The thread that removes an entry's file has taken it, and it is free when that is done. */
enum use { FREE, FILLED_IN, ACTIVE, TAKEN };

struct residue {
    struct residue *next;
    int dirfd;
    dev_t device;
    _Atomic(ino_t) inode; /* 0: not known yet */
    _Atomic enum use use;
    atomic_int current; /* which of the names is the newer one */
    char names[2][NAME_MAX + 1];
};

static _Atomic(struct residue *) residue_list;
static atomic_size_t free_count; /* of the list: a thousand services do not look at all for none */
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

static bool change_use(struct residue *residue, enum use from, enum use to)
{
    return atomic_compare_exchange_strong(&residue->use, &from, to);
}

void residue_remove_one(struct residue *residue)
{
    if (!residue || !change_use(residue, ACTIVE, TAKEN))
        return;
    /* Another thread may be renaming it, either way, behind our back. */
    for (int i = 0; i < 3; i++)
        remove_if_ours(residue, residue->names[i % 2]);
    atomic_store(&residue->use, FREE);
    atomic_fetch_add(&free_count, 1);
}

static struct residue *find_free(void)
{
    struct residue *residue = atomic_load(&free_count) > 0 ? atomic_load(&residue_list) : NULL;

    while (residue && !change_use(residue, FREE, FILLED_IN))
        residue = residue->next;
    if (residue)
        atomic_fetch_sub(&free_count, 1);
    return residue;
}

static struct residue *make_free(void)
{
    struct residue *residue = calloc(1, sizeof *residue);

    if (!residue)
        return NULL;
    atomic_init(&residue->use, FILLED_IN);
    residue->next = atomic_load(&residue_list);
    atomic_store(&residue_list, residue);
    return residue;
}

struct residue *residue_add(int dirfd, const char *prefix, char ret_name[NAME_MAX + 1])
{
    struct residue *residue = find_free();

    if (!residue)
        residue = make_free();
    snprintf(ret_name, NAME_MAX + 1, "%.240s%d.tmp", prefix, getpid());
    unlinkat(dirfd, ret_name, 0);
    if (!residue)
        return NULL;
    residue->dirfd = dirfd;
    snprintf(residue->names[0], sizeof residue->names[0], "%s", ret_name);
    snprintf(residue->names[1], sizeof residue->names[1], "%s", ret_name);
    atomic_store(&residue->inode, 0);
    atomic_store(&residue->current, 0);
    atomic_store(&residue->use, ACTIVE);
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
    if (residue && change_use(residue, ACTIVE, FREE))
        atomic_fetch_add(&free_count, 1);
}

void residue_leave(int dirfd)
{
    for (struct residue *residue = atomic_load(&residue_list); residue; residue = residue->next) {
        if (atomic_load(&residue->use) != ACTIVE || residue->dirfd != dirfd)
            continue;
        for (int i = 0; i < 2; i++)
            remove_if_ours(residue, residue->names[i]);
        atomic_store(&residue->inode, NO_INODE);
    }
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

/* ---- sweeping ------------------------------------------------------------------ */

/* The private names of a directory, of any process. */
struct listing {
    struct listing *next;
    dev_t device;
    ino_t inode;
    size_t count;
    char (*names)[NAME_MAX + 1];
};

/* [start] */
static struct {
    bool begun;
    struct listing *listings;
} sweeping;

static const char *pid_in(const char *name)
{
    const char *end = strrchr(name, '.');
    const char *pid = end;

    if (!end || strcmp(end, ".tmp") != 0)
        return NULL;
    while (pid > name && pid[-1] >= '0' && pid[-1] <= '9')
        pid--;
    return pid < end ? pid : NULL;
}

/* Exactly what residue_add() makes: ".a." must not match what another process makes
 * for "a.sock". */
static bool is_left_over(const char *name, const char *prefix, const char *keep)
{
    const char *pid = name + strlen(prefix);

    return strncmp(name, prefix, strlen(prefix)) == 0 && pid_in(name) == pid &&
           strcmp(name, keep) != 0;
}

static bool note_name(struct listing *listing, const char *name)
{
    char(*more)[NAME_MAX + 1] = realloc(listing->names, (listing->count + 1) * sizeof *more);

    if (!more)
        return false;
    listing->names = more;
    snprintf(more[listing->count++], sizeof *more, "%s", name);
    return true;
}

/* What there is no memory for stays for a later start. */
static void read_names(struct listing *listing, int dirfd)
{
    const int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!directory) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(directory)))
        if (entry->d_name[0] == '.' && pid_in(entry->d_name) && !note_name(listing, entry->d_name))
            break;
    closedir(directory);
}

/* NULL: no memory. */
static struct listing *listing_of(int dirfd)
{
    struct listing *listing;
    struct stat status;

    if (fstat(dirfd, &status) < 0)
        return NULL;
    for (listing = sweeping.listings; listing; listing = listing->next)
        if (listing->device == status.st_dev && listing->inode == status.st_ino)
            return listing;
    listing = calloc(1, sizeof *listing);
    if (!listing)
        return NULL;
    listing->device = status.st_dev;
    listing->inode = status.st_ino;
    read_names(listing, dirfd);
    listing->next = sweeping.listings;
    sweeping.listings = listing;
    return listing;
}

static void free_listings(void)
{
    while (sweeping.listings) {
        struct listing *listing = sweeping.listings;

        sweeping.listings = listing->next;
        free(listing->names);
        free(listing);
    }
}

void residue_sweep(int dirfd, const char *prefix, const char *keep)
{
    const struct listing *listing = listing_of(dirfd);

    for (size_t i = 0; listing && i < listing->count; i++)
        if (is_left_over(listing->names[i], prefix, keep))
            unlinkat(dirfd, listing->names[i], 0);
    if (!sweeping.begun)
        free_listings();
}

void residue_sweep_begin(void)
{
    sweeping.begun = true;
}

void residue_sweep_end(void)
{
    sweeping.begun = false;
    free_listings();
}
