/* As process 1 of a container, rpd inherits all processes whose parents have ended, and it must
 * wait for them. Otherwise each of them remains a zombie, until no new process can be created.
 *
 * Children of plugins must be left to the plugins. A process that a thread other than the loop's
 * has started is that thread's child, and is not checked here. A child of the loop's thread looks
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
        uint64_t ended_us; /* when its end was noticed */
    } ended[ORPHANS_MAX];
};

/* [loop] Call repeatedly on the main thread. Does nothing unless this is process 1. */
void orphans_reap(struct orphans *orphans, uint64_t now_us);

#endif
