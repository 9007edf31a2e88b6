/* How long the last starts of a service took, by its history: each with the steps of rpd's and the
 * parts of the load. libc only: readers that are no part of the daemon are built with it, too. */
#ifndef FRAMEWORK_STARTS_VIEW_H
#define FRAMEWORK_STARTS_VIEW_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { STARTS_VIEW_MOST = 50, STARTS_VIEW_ITEMS = 160, STARTS_VIEW_NAME = 72 };

struct start_item {
    char name[STARTS_VIEW_NAME]; /* "step bind", "part load"; "all ready": from exec to READY */
    uint64_t us;
};

struct start_view {
    uint64_t time_ms; /* of CLOCK_REALTIME */
    pid_t pid;
    unsigned long long start_time;
    struct start_item items[STARTS_VIEW_ITEMS];
    size_t count;
};

struct starts_view {
    struct start_view *list; /* oldest first */
    size_t count;
};

/* [any] The last starts that became ready, 50 at most. 0, or -1: out of memory. No history: there
 * are none. starts_view_finish() is due. */
int starts_view_read(int runtime_dirfd, const char *service, struct starts_view *ret);
void starts_view_finish(struct starts_view *starts);

/* [any] NULL: it has none. */
const struct start_item *start_view_find(const struct start_view *start, const char *name);

/* [any] From exec to READY, in microseconds. */
uint64_t start_view_whole(const struct start_view *start);

#endif
