/* Whose the snapshot is. See owner.h. */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_same(const struct file_mark *one, const struct file_mark *other)
{
    return one->is_there == other->is_there && one->device == other->device &&
           one->inode == other->inode && one->size == other->size &&
           one->changed.tv_sec == other->changed.tv_sec &&
           one->changed.tv_nsec == other->changed.tv_nsec;
}

static bool is_read_only(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash == path ? strdup("/")
                      : slash       ? strndup(path, (size_t)(slash - path))
                                    : strdup(".");
    const bool is_refused = directory && faccessat(AT_FDCWD, directory, W_OK, AT_EACCESS) != 0 &&
                            (errno == EROFS || errno == EACCES);

    free(directory);
    return is_refused;
}

int owner_claim(struct rpd_service *service)
{
    const char *path = rpd_option_string(service, "snapshot");

    if (!path)
        return 0;
    if (!is_read_only(path))
        return rpd_claim_state(service, path);
    rpd_log(service, RPD_LOG_WARNING,
            "%s: its directory cannot be written to: it is loaded, and never saved", path);
    return 0;
}

const char *owner_refusal(const struct rpd_service *service, const char *path,
                          const struct file_mark *last)
{
    struct file_mark now = {0};
    struct stat status;

    if (!rpd_owns_state(service, path))
        return "the file is not this service's: another has claimed it, or its directory could "
               "not be written to at the start";
    if (lstat(path, &status) == 0)
        now = file_mark(&status);
    if (now.is_there && !is_same(&now, last))
        return "another file was put in its place, and is not overwritten; move it away to save "
               "again, or restart to load it";
    return NULL;
}
