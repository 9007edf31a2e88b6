/* The seal: a thread under it can create sockets and nothing else. The seal prevents a
 * backend's bind from accessing files, so that the bind has nothing to wait for.
 *
 * It is an allow-list of system calls, enforced by the kernel (seccomp). Other calls
 * are denied and noted, or, in the log-only mode, noted and allowed. The seal ends
 * with the thread; the process is then as free as before.
 *
 * It makes the contract enforceable. It is no sandbox for hostile code, which could
 * use another thread. */
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
    /* SEAL_LOG: the listener of the kernel's questions, once it has begun; else -1. */
    int notify_fd;
    sem_t begun;
    struct seal_breach breach;
};

/* [start] Makes the filter of this mode in advance, which takes a millisecond or two.
 * Returns the mode. If the mode is impossible because there is no libseccomp, reports
 * this and returns SEAL_OFF. */
enum config_seal seal_prepare(enum config_seal mode, const char *service);

/* [start] mode: the value that seal_prepare() returned. */
void seal_init(struct seal *seal, enum config_seal mode);

/* [start] Call on the thread to seal. The seal lasts as long as the thread. Returns
 * false and sets errno if the kernel refuses. seal must outlive the thread. */
bool seal_this_thread(struct seal *seal);

/* [any] Whether this thread is under the seal. */
bool seal_is_here(void);

/* [start] Call while that thread runs. Allows its calls, and notes them, until the
 * thread ends. Returns at once unless the mode is to log. */
void seal_watch(struct seal *seal);

/* [any], async-signal-safe. Whether the seal caused this SIGSYS. If so, the call has
 * been answered. */
bool seal_take_signal(siginfo_t *info, void *context);

/* [start] "openat("/etc/passwd") in f+0x1f (x.so)". */
void seal_describe(const struct seal_breach *breach, char *text, size_t size);

#endif
