/* The system calls that a sealed bind needs and may make, as a program for the kernel.
 * libseccomp makes the program, which takes milliseconds. So seal_program.c makes it at
 * build time if the build can run what it builds; otherwise seal_filter.c makes it at the
 * start. */
#ifndef FRAMEWORK_SEAL_RULES_H
#define FRAMEWORK_SEAL_RULES_H

#include "config/config.h"

#include <linux/filter.h>
#include <stdint.h>

enum { SEAL_PROGRAM_MAX = 4096 };

struct seal_rules {
    enum config_seal mode; /* other calls cause a SIGSYS; SEAL_LOG: a question */
    uint32_t pid;          /* the process's own, as the handler reads its memory */
    uint32_t crash_fd;     /* where a crash is reported besides stderr; UINT32_MAX: nowhere */
};

/* Placeholders in a program that was made before these values were known. No pid or
 * descriptor is so large. */
#define SEAL_PID_LATER UINT32_C(0x70696400)
#define SEAL_CRASH_FD_LATER UINT32_C(0x66640000)

/* [start] ret: room for SEAL_PROGRAM_MAX. Returns 0, or -1 if libseccomp fails. */
int seal_rules_compile(const struct seal_rules *rules, struct sock_filter *ret,
                       unsigned short *ret_count);

#endif
