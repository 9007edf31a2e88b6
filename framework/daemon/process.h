/* The process as it must be before anything else happens, however it was started. */
#ifndef FRAMEWORK_PROCESS_H
#define FRAMEWORK_PROCESS_H

#include "base/error.h"
#include "base/proc.h"

/* [start] Refuses to run set-uid (77). Opens descriptors 0 to 2 if they are
 * not, closes all others that were inherited but the first listen_fds from 3
 * on, notify_fd and start_fd (-1: none; a standard stream is duplicated, and stays); umask 077;
 * raises the soft limit of descriptors to the hard one. Where it fails start_fd is -1 if that was
 * none that can be written to. */
int process_prepare(int listen_fds, int *notify_fd, int *start_fd, struct error *error);

/* [start] What distinguishes this boot from others, and this process from others with
 * its pid: clock ticks since boot, as /proc/PID/stat has them. "" and 0 where
 * /proc does not say. */
void process_identity(char ret_boot_id[BOOT_ID_SIZE], unsigned long long *ret_start_time);

/* [start] Before other threads exist: memory that large buffers had goes back to the system when
 * they are freed. Nothing, where the user has set malloc's own variables; and nothing comes of
 * it where another allocator is preloaded. */
void process_give_memory_back(void);

#endif
