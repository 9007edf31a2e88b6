/* What /proc says of this boot, and of a process. libc only: readers that are
 * no part of the daemon are built with it, too. */
#ifndef FRAMEWORK_PROC_H
#define FRAMEWORK_PROC_H

#include <stdint.h>

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

#endif
