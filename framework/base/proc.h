/* What /proc says of this boot, and of a process. libc only: readers that are
 * no part of the daemon are built with it, too. */
#ifndef FRAMEWORK_PROC_H
#define FRAMEWORK_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { BOOT_ID_SIZE = 37, BOOT_ID_BYTES = 16 };

struct proc_stat {
    char state; /* a letter, as in proc(5): 'T' stopped, 'Z' a zombie */
    unsigned long long start_time;
};

/* [any] "" where /proc does not say. */
void proc_boot_id(char ret_text[BOOT_ID_SIZE]);

/* [any] The same in binary; all zero for a text that is none. */
void proc_parse_boot_id(const char *text, uint8_t ret_id[BOOT_ID_BYTES]);

/* [any] pid: its digits, or "self". 0; -1 and errno, which is ENOENT (or ESRCH)
 * if there is no such process. */
int proc_read_stat(const char *pid, struct proc_stat *ret);

/* As the inodes of /proc/self/ns say; 0: not known. */
struct proc_namespaces {
    uint32_t pid, time;
};

/* [any] Those that this process is in. */
void proc_namespaces(struct proc_namespaces *ret);

/* [any] Whether there is a /proc, and this process is in it. */
bool proc_is_there(void);

/* [any] Whether /proc is there, and shows the pid namespace that this process is in. */
bool proc_is_ours(void);

/* [any] The pid that a process has here whose pid is another in that namespace; 0 if there is
 * none to be seen. */
pid_t proc_find_in_namespace(uint32_t pid_namespace, pid_t pid_there);

/* [any] Whether any process holds a lock for writing on that file, by /proc/locks. -1: that
 * cannot be read. */
int proc_is_locked(dev_t device, ino_t inode);

/* [any] Its effective user, in the same way. */
int proc_read_user(const char *pid, uid_t *ret);

#endif
