/* Trusted paths. See trusted_path.h.
 *
 * The path is walked as the kernel walks it. The part that is done has no links left, and was
 * checked; the part that is left may start again with each link. */
#include "base/trusted_path.h"

#include "base/directory.h"
#include "base/owner.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* as many as the kernel follows */

struct walk {
    char *done; /* PATH_MAX; "" is "/" */
    char left[PATH_MAX];
    unsigned links;
    const char *step;
    struct error *error;
};

static int check_link(const struct walk *walk, uid_t owner)
{
    if (owner == 0 || owner_is_us(owner))
        return 0;
    if (!owner_is_unmapped(owner))
        return error_set(walk->error, EXIT_SECURITY, walk->step, walk->done,
                         "the symbolic link belongs to user %u, who could make it point elsewhere; "
                         "name the file itself, or: chown -h %u '%s'",
                         owner, geteuid(), walk->done);
    if (owner_is_the_systems(walk->done))
        return 0;
    return error_set(walk->error, EXIT_SECURITY, walk->step, walk->done, OWNER_UNMAPPED_ADVICE);
}

static void go_up(struct walk *walk)
{
    char *slash = strrchr(walk->done, '/');

    if (slash)
        *slash = '\0';
}

/* Moves the next component from the left part to the done part. 1: moved; 0: the end, or a
 * component that leads nowhere, such as "."; -1: too long. */
static int take_component(struct walk *walk)
{
    const char *name = walk->left + strspn(walk->left, "/");
    const size_t size = strcspn(name, "/"), done = strlen(walk->done);
    int taken = 0;

    if (size == 2 && strncmp(name, "..", 2) == 0)
        go_up(walk);
    else if (size > 0 && !(size == 1 && *name == '.')) {
        if (done + 1 + size >= PATH_MAX)
            return -1;
        walk->done[done] = '/';
        memcpy(walk->done + done + 1, name, size);
        walk->done[done + 1 + size] = '\0';
        taken = 1;
    }
    memmove(walk->left, name + size, strlen(name + size) + 1);
    return taken;
}

/* The target of the link goes before the rest of the path. */
static __attribute__((noinline)) int follow_link(struct walk *walk, uid_t owner)
{
    char target[PATH_MAX];
    const ssize_t size = readlink(walk->done, target, sizeof target - 1);
    const size_t left = strlen(walk->left);

    if (size < 0)
        return errno;
    if (check_link(walk, owner) < 0)
        return -1;
    if (++walk->links > LINKS_MAX)
        return ELOOP;
    if ((size_t)size + left >= sizeof walk->left)
        return ENAMETOOLONG;
    memmove(walk->left + size, walk->left, left + 1);
    memcpy(walk->left, target, (size_t)size);
    if (*target == '/')
        *walk->done = '\0';
    else
        go_up(walk);
    return 0;
}

static int look(struct walk *walk)
{
    const char *here = *walk->done ? walk->done : "/";
    struct stat status;

    if (lstat(here, &status) < 0)
        return errno;
    if (S_ISLNK(status.st_mode))
        return follow_link(walk, status.st_uid);
    if (S_ISDIR(status.st_mode))
        return directory_check(&status, here, walk->step, walk->error);
    return *walk->left ? ENOTDIR : 0;
}

/* A relative path is walked from "/" too: a user that can redirect the working directory can
 * redirect the path. */
static int begin(struct walk *walk, const char *path)
{
    size_t used = 0;

    if (!*path)
        return ENOENT;
    if (*path != '/') {
        if (!getcwd(walk->left, sizeof walk->left))
            return errno;
        used = strlen(walk->left);
        walk->left[used++] = '/';
    }
    if (used + strlen(path) >= sizeof walk->left)
        return ENAMETOOLONG;
    memcpy(walk->left + used, path, strlen(path) + 1);
    *walk->done = '\0';
    return look(walk);
}

int trusted_path_resolve(const char *path, char ret_path[PATH_MAX], const char *step,
                         struct error *error)
{
    struct walk walk = {.done = ret_path, .links = 0, .step = step, .error = error};
    int failed = begin(&walk, path);

    while (!failed && *walk.left) {
        const int taken = take_component(&walk);

        if (taken < 0)
            return ENAMETOOLONG;
        if (taken)
            failed = look(&walk);
    }
    if (!failed && !*ret_path)
        memcpy(ret_path, "/", sizeof "/");
    return failed;
}
