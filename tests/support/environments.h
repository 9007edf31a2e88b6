/* Programs in namespaces of their own, for tests that run as root: the beginnings of command lines
 * that run there, and whether this machine allows it. On top of process.h. */
#ifndef TESTS_SUPPORT_ENVIRONMENTS_H
#define TESTS_SUPPORT_ENVIRONMENTS_H

#include "process.h"

#include <string.h>
#include <unistd.h>

#define UNSHARE "unshare", "--fork", "--kill-child=KILL"

#define PID_NAMESPACE UNSHARE, "--pid", "--mount-proc"
#define TIME_NAMESPACE UNSHARE, "--time", "--monotonic", "86400", "--boottime", "86400"
#define MOUNT_NAMESPACE UNSHARE, "--mount"
#define IPC_NAMESPACE UNSHARE, "--ipc"
#define USER_NAMESPACE UNSHARE, "--user", "--map-current-user"

/* A shell that runs a command first, and then becomes the program that follows. */
#define AFTER(script) "sh", "-c", script " && exec \"$@\"", "sh"

#define WITHOUT_PROC MOUNT_NAMESPACE, AFTER("mount -t tmpfs none /proc")
#define OTHER_BOOT_ID                                                                              \
    MOUNT_NAMESPACE, AFTER("cat /proc/sys/kernel/random/uuid >\"$BOOT_ID\" && "                    \
                           "mount --bind \"$BOOT_ID\" /proc/sys/kernel/random/boot_id")

/* Whether a command line with this prefix, followed by "true", runs here. */
bool can_run(const char *const *argv);

#endif
