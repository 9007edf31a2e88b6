/* Whose the snapshot is. Two services that save to one file would each overwrite the other's, so it
 * is claimed at the start (rpd_claim_state()), and before a save replaces it, it must still be the
 * service's, and still the file that was loaded or saved last: what another owner, or a person who
 * restores a copy, has put there meanwhile stays. */
#ifndef KV_OWNER_H
#define KV_OWNER_H

#include <rpd/backend.h>

#include <sys/stat.h>

/* One file, as it was. */
struct file_mark {
    bool is_there;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

static inline struct file_mark file_mark(const struct stat *status)
{
    return (struct file_mark){
        .is_there = true,
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = status->st_size,
        .changed = status->st_mtim,
    };
}

/* [start] The backend's claim(). A snapshot in a directory that cannot be written to is
 * loaded without a claim, and never saved. */
int owner_claim(struct rpd_service *service);

/* [worker] NULL: the file at path may be replaced. Else why not. */
const char *owner_refusal(const struct rpd_service *service, const char *path,
                          const struct file_mark *last);

#endif
