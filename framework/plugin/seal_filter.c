/* The filters of the seal. See seal_filter.h.
 *
 * They are programs for the kernel, so that to seal a thread is two system calls. The
 * build has made them (seal_program.c); where it cannot run what it builds, libseccomp
 * makes them at the start of a backend that has a bind of its own. */
#include "plugin/seal_filter.h"

#include "guard/outcome.h"
#include "plugin/seal_rules.h"

#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The filters, as programs for the kernel. */
static struct {
    struct sock_filter instructions[SEAL_PROGRAM_MAX];
    struct sock_fprog program;
} prepared[SEAL_OFF];

static struct seal_rules rules_of(enum config_seal mode)
{
    return (struct seal_rules){mode, (uint32_t)getpid(), (uint32_t)outcome_start_fd()};
}

#ifdef RPD_SEAL_PROGRAMS

#include "plugin/seal_programs.h"

static const struct {
    const struct sock_filter *instructions;
    size_t size;
} made[SEAL_OFF] = {
    [SEAL_ENFORCE] = {program_enforce, sizeof program_enforce},
    [SEAL_LOG] = {program_log, sizeof program_log},
};

/* Puts in what the build could not know. */
static int make_program(const struct seal_rules *rules, struct sock_filter *ret,
                        unsigned short *ret_count, struct error *error)
{
    (void)error;
    memcpy(ret, made[rules->mode].instructions, made[rules->mode].size);
    *ret_count = (unsigned short)(made[rules->mode].size / sizeof *ret);
    for (unsigned short i = 0; i < *ret_count; i++) {
        if (ret[i].k == SEAL_PID_LATER)
            ret[i].k = rules->pid;
        else if (ret[i].k == SEAL_CRASH_FD_LATER)
            ret[i].k = rules->crash_fd;
    }
    return 0;
}

/* No library is asked: a bind that was denied a file may have made the loader believe
 * that there is none. */
char *seal_filter_call_name(int call)
{
    const size_t count = sizeof call_names / sizeof *call_names;
    const char *name = call >= 0 && (size_t)call < count ? call_names[call] : NULL;

    return name ? strdup(name) : NULL;
}

#else

#include "plugin/libseccomp.h"

static int make_program(const struct seal_rules *rules, struct sock_filter *ret,
                        unsigned short *ret_count, struct error *error)
{
    if (libseccomp_load(error) < 0)
        return -1;
    if (seal_rules_compile(rules, ret, ret_count) < 0)
        return error_set(error, EXIT_SYSTEM, "seal", "libseccomp",
                         "no filter could be made; free memory");
    return 0;
}

char *seal_filter_call_name(int call)
{
    return seccomp_syscall_resolve_num_arch(seccomp_arch_native(), call);
}

#endif

int seal_filter_prepare(enum config_seal mode, struct error *error)
{
    const struct seal_rules rules = rules_of(mode);
    struct sock_fprog *program = &prepared[mode].program;

    if (program->len > 0)
        return 0;
    program->filter = prepared[mode].instructions;
    return make_program(&rules, program->filter, &program->len, error);
}

long seal_filter_install(enum config_seal mode)
{
    const unsigned flags = mode == SEAL_LOG ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prepared[mode].program);
}
