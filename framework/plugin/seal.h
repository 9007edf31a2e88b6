/* The seal: a thread under it can make sockets and nothing else. It keeps a
 * backend's bind away from files, so that it has nothing to wait for.
 *
 * It is an allow-list of system calls, enforced by the kernel (seccomp): what
 * is not on it is denied and noted, or, when only to be logged, noted and let
 * pass. The thread's end is the seal's end: the process is as free as before.
 *
 * It makes the contract enforceable; it is no sandbox for hostile code, which
 * could use another thread. */
#ifndef FRAMEWORK_SEAL_H
#define FRAMEWORK_SEAL_H

#include "base/error.h"
#include "config/config.h"
#include "guard/trace.h"

#include <semaphore.h>
#include <signal.h>

/* The first call that was not allowed. */
struct seal_breach {
    int count; /* 0: none */
    int call;
    bool has_path;
    char path[160];
    bool has_descriptor;
    int descriptor;
    struct trace trace;
};

struct seal {
    enum config_seal mode;
    /* SEAL_LOG: where the kernel asks (else -1), once it has begun. */
    int notify_fd;
    sem_t begun;
    struct seal_breach breach;
};

/* [start] Makes the filter of this mode ahead, which takes a millisecond or two.
 * Returns the mode; where that cannot be, because there is no libseccomp, says so
 * and returns SEAL_OFF. */
enum config_seal seal_prepare(enum config_seal mode, const char *service);

/* [start] mode: as seal_prepare() has returned it. */
void seal_init(struct seal *seal, enum config_seal mode);

/* [start] On the thread that is to be sealed, for its life. False if the kernel
 * refuses, with errno. seal outlives the thread. */
bool seal_this_thread(struct seal *seal);

/* [any] Whether this thread is under the seal. */
bool seal_is_here(void);

/* [start] While that thread runs: lets its calls pass, and notes them, until it
 * ends. Returns at once unless the mode is to log. */
void seal_watch(struct seal *seal);

/* [any], async-signal-safe. Whether this SIGSYS was the seal's; it is answered
 * then. */
bool seal_take_signal(siginfo_t *info, void *context);

/* [start] "openat("/etc/passwd") in f+0x1f (x.so)". */
void seal_describe(const struct seal_breach *breach, char *text, size_t size);

#endif
