/* Histories, from the side that reads them: SERVICE.history says when a service
 * was announced, and how it ended. It informs, as records do. libc only: readers
 * that are no part of the daemon are built with it, too. */
#ifndef FRAMEWORK_HISTORY_VIEW_H
#define FRAMEWORK_HISTORY_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct history_entry {
    uint64_t time_ms; /* of CLOCK_REALTIME */
    pid_t pid;
    unsigned long long start_time;
    bool ended;      /* else it was bound */
    int code;        /* of the end: the exit code, or 128 + the signal */
    char text[1024]; /* the last error, free of control bytes; "": there was none */
};

/* [any] The newest entries, the oldest of them first. How many there are: 0 also if
 * there is no history, or if it cannot be read. Lines that are none are skipped;
 * of a long file only the last 32 KiB are read. */
int history_view_read(int runtime_dirfd, const char *service, struct history_entry *ret,
                      size_t room);

/* [any] The same of what is said of how long starts took: text is "step bind=120;part load=7;", in
 * microseconds. A start may have several lines, one behind the other. */
int history_view_times(int runtime_dirfd, const char *service, struct history_entry *ret,
                       size_t room);

/* [any] The newest end of this process, or of any if pid is 0; *ret is all zero if
 * there is none. */
bool history_view_end(int runtime_dirfd, const char *service, pid_t pid,
                      unsigned long long start_time, struct history_entry *ret);

#endif
