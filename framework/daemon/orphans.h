/* As process 1 of a container rpd inherits all processes whose parents have ended, and
 * is the one that waits for them: else each stays as a zombie, until no process can be
 * made any more.
 *
 * Children of plugins must be left to the plugins. What a thread other than the loop's
 * has started is that thread's child, and is not looked at here. What is the loop's looks
 * like an orphan to the kernel; a plugin has ORPHANS_GRACE_US to wait for it. */
#ifndef FRAMEWORK_ORPHANS_H
#define FRAMEWORK_ORPHANS_H

#include <stdint.h>
#include <sys/types.h>

enum { ORPHANS_MAX = 256, ORPHANS_GRACE_US = 5000000, ORPHANS_LOOK_US = 1000000 };

struct orphans {
    uint64_t looked_us;
    size_t count;
    struct {
        pid_t pid;
        uint64_t ended_us; /* seen to have */
    } ended[ORPHANS_MAX];
};

/* [loop] On the main thread, again and again. Does nothing unless this is process 1. */
void orphans_reap(struct orphans *orphans, uint64_t now_us);

#endif
