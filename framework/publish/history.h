/* The history of a service: SERVICE.history in the run-time directory, one line
 * an event (outcome.h). It stays when the daemon goes, so that the next start,
 * and observers, know how the last ones ended. The holder of the service's lock
 * writes to it; and for a run that could not do it itself, the process that started it. */
#ifndef FRAMEWORK_HISTORY_H
#define FRAMEWORK_HISTORY_H

#include <sys/types.h>

enum {
    HISTORY_MAX = 64 * 1024, /* one that is larger is cut when it is opened... */
    HISTORY_KEPT = 32 * 1024 /* ...to the whole lines within its last bytes */
};

/* [start] Open for appending, made if it is not there (0644), and its last line
 * whole. A descriptor; -1 and errno. */
int history_open(int runtime_dirfd, const char *service);

/* [loop] The history of one that has moved here: open as above, with what from_fd has; if there
 * is a history here already, with the last line of that, which says that this process is bound. */
int history_move(int from_fd, int runtime_dirfd, const char *service);

struct history_end {
    unsigned long long time_ms; /* of CLOCK_REALTIME */
    pid_t pid;
    unsigned long long start_time;
    int code;
    const char *text; /* one line */
};

/* [any] Notes the end of another process's run. Never cuts: its owner may have it
 * open. 0, or -1 and errno. */
int history_note_end(int runtime_dirfd, const char *service, const struct history_end *end);

/* [start] Removes what killed starts of this service left beside it. */
void history_sweep(int runtime_dirfd, const char *service);

#endif
