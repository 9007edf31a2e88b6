/* Sets up the process before anything else happens, however it was started. */
#ifndef FRAMEWORK_OWN_PROCESS_H
#define FRAMEWORK_OWN_PROCESS_H

#include "base/error.h"
#include "base/proc.h"

/* [start] Refuses to run set-uid, with 77. Opens descriptors 0 to 2 if they are not open. Closes
 * all other inherited descriptors except the first listen_fds from 3 on, notify_fd and start_fd. -1
 * means that there is none. A standard stream is duplicated, and stays open. Sets the umask to 077
 * and raises the soft limit of descriptors to the hard one. On failure, start_fd is -1 if it was
 * not a descriptor that can be written to. */
int own_process_prepare(int listen_fds, int *notify_fd, int *start_fd, struct error *error);

/* [start] Identifies this boot, and distinguishes this process from others with its pid by its
 * clock ticks since boot, as in /proc/PID/stat. "" and 0 if /proc does not provide them. */
void own_process_identity(char ret_boot_id[BOOT_ID_SIZE], unsigned long long *ret_start_time);

/* [start] Call before other threads exist. Makes malloc return the memory of large buffers to the
 * system when they are freed. Does nothing if the user has set malloc's own variables, and has no
 * effect if another allocator is preloaded. */
void own_process_give_memory_back(void);

#endif
