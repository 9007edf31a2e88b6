/* The history of a service: SERVICE.history in the run-time directory, one line
 * an event (outcome.h). It stays when the daemon goes, so that the next start,
 * and who looks, know how the last ones ended. Only the holder of the service's
 * lock writes to it. */
#ifndef FRAMEWORK_HISTORY_H
#define FRAMEWORK_HISTORY_H

enum {
    HISTORY_MAX = 64 * 1024, /* one that is larger is cut when it is opened... */
    HISTORY_KEPT = 16 * 1024 /* ...to the whole lines within its last bytes */
};

/* [start] Open for appending, made if it is not there (0644), and its last line
 * whole. A descriptor; -1 and errno. */
int history_open(int runtime_dirfd, const char *service);

/* [start] Removes what killed starts of this service left beside it. */
void history_sweep(int runtime_dirfd, const char *service);

#endif
