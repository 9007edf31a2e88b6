/* What a sealed bind may do: the system calls that it needs, as a program for the
 * kernel. libseccomp makes it, which takes milliseconds: so seal_program.c does it at
 * build time, where the build can run what it builds, else seal_filter.c at the start. */
#ifndef FRAMEWORK_SEAL_RULES_H
#define FRAMEWORK_SEAL_RULES_H

#include "config/config.h"

#include <linux/filter.h>
#include <stdint.h>

enum { SEAL_PROGRAM_MAX = 4096 };

struct seal_rules {
    enum config_seal mode; /* what is not allowed is a SIGSYS; SEAL_LOG: a question */
    uint32_t pid;          /* the process's own, as the handler reads its memory */
    uint32_t crash_fd;     /* where a crash is reported besides stderr; UINT32_MAX: nowhere */
};

/* What stands in a program that was made before these were known. No pid or descriptor
 * is so large. */
#define SEAL_PID_LATER UINT32_C(0x70696400)
#define SEAL_CRASH_FD_LATER UINT32_C(0x66640000)

/* [start] ret: room for SEAL_PROGRAM_MAX. 0, or -1 where libseccomp cannot. */
int seal_rules_compile(const struct seal_rules *rules, struct sock_filter *ret,
                       unsigned short *ret_count);

#endif
