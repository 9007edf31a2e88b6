/* Records, from the side that reads them (record.h is the one that writes). It
 * informs: what is in it may be old, or another's. libc only: readers that are no part
 * of the daemon are built with it, too. */
#ifndef FRAMEWORK_RECORD_VIEW_H
#define FRAMEWORK_RECORD_VIEW_H

#include <stddef.h>
#include <stdint.h>

enum { RECORD_VIEW_ENDPOINTS = 64 };

/* Texts are its own; NULL: the record does not say. */
struct record_view {
    long long pid;
    unsigned long long start_time;
    const char *service, *boot_id, *plugin, *config, *config_digest, *control, *log;
    const char *endpoints[RECORD_VIEW_ENDPOINTS]; /* the first ones */
    size_t endpoint_count;
    char *text; /* what they point to */
};

/* [any] 0, or -1 and errno, *ret all zero:
 *   ENOENT   there is no record
 *   EPROTO   what is there is none
 *   EINVAL   no service can have that name
 * or what open() and read() say. */
int record_view_read(int runtime_dirfd, const char *service, struct record_view *ret);

/* [any] The same of a text. */
int record_view_parse(const char *text, size_t size, struct record_view *ret);

/* [any] Legal on one that is all zero. */
void record_view_finish(struct record_view *view);

#endif
