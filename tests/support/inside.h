/* Declarations that the files of tests/support share, and that no test sees. See process.h. */
#ifndef TESTS_SUPPORT_INSIDE_H
#define TESTS_SUPPORT_INSIDE_H

#include "process.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#define NS_PER_S INT64_C(1000000000)

enum { OUT, ERR, STREAMS };
enum { POLL_PIDFD = STREAMS, POLL_NOTIFY, POLLS };

struct stream {
    int fd; /* -1: ended */
    char *data;
    size_t size, room;
};

struct process {
    pid_t pid;
    int pidfd;
    int notify_fd; /* -1: none, or ended */
    bool notify;
    bool bound;
    int64_t bound_ns;
    bool exited;
    int status;
    struct stream streams[STREAMS];
    char name[64];
    struct process *next;
};

struct text {
    struct text *next;
    char data[];
};

struct temp_dir {
    struct temp_dir *next;
    const char *path;
};

/* What this process, but no fork of it, must clean up at its end. */
struct support_registry {
    pthread_mutex_t mutex;
    pid_t owner;
    struct process *processes;
    struct temp_dir *dirs;
    struct text *texts;
};
extern struct support_registry support_registry;

void support_registry_lock(void);
void support_registry_unlock(void);

/* NULL ends the test. */
void *support_check_memory(void *memory);

/* NULL: RPD_BUILD is not set. */
const char *support_build_dir(void);

/* The limit of every wait. */
int64_t support_deadline_ns(void);

#endif
