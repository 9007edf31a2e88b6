/* What /proc says about this boot and about a process. libc only, because readers outside the
 * daemon use it too. */
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

/* [any] "" if /proc does not say. */
void proc_boot_id(char ret_text[BOOT_ID_SIZE]);

/* [any] Converts a boot id to binary. All zero if the text is not one. */
void proc_parse_boot_id(const char *text, uint8_t ret_id[BOOT_ID_BYTES]);

/* [any] pid: digits, or "self". Returns 0; or -1 and errno, which is ENOENT or ESRCH if there is no
 * such process. */
int proc_read_stat(const char *pid, struct proc_stat *ret);

/* The inodes of /proc/self/ns; 0: unknown. */
struct proc_namespaces {
    uint32_t pid, time;
};

/* [any] The namespaces of this process. */
void proc_namespaces(struct proc_namespaces *ret);

/* [any] Whether /proc exists, and this process is in it. */
bool proc_is_there(void);

/* [any] Whether /proc exists and shows the pid namespace of this process. */
bool proc_is_ours(void);

/* [any] Translates a pid of that namespace to the pid that the process has here; 0 if no such
 * process is visible. */
pid_t proc_find_in_namespace(uint32_t pid_namespace, pid_t pid_there);

/* [any] Whether any process holds a write lock on that file, according to /proc/locks. -1:
 * /proc/locks cannot be read. */
int proc_is_locked(dev_t device, ino_t inode);

/* [any] The effective user of a process; the results are those of proc_read_stat(). */
int proc_read_user(const char *pid, uid_t *ret);

#endif
