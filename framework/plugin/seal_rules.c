/* What a sealed bind may do, as libseccomp gets it. See seal_rules.h. */
#include "plugin/seal_rules.h"

#include "plugin/libseccomp.h"

#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a bind needs, and what the C library needs to begin and end a thread. */
static const int allowed[] = {
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(fcntl),
    SCMP_SYS(fchmod), /* of a socket: its mode before it has a name */
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(dup3),
    SCMP_SYS(pipe2),
    SCMP_SYS(eventfd2),
    SCMP_SYS(umask),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(tgkill),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep), /* to sleep is a matter of the deadline */
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
};

/* ThreadSanitizer runs handlers with all signals blocked, and sets the mask there. */
#if defined(__SANITIZE_THREAD__)
#define HANDLERS_ARE_WRAPPED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HANDLERS_ARE_WRAPPED 1
#endif
#endif
#ifndef HANDLERS_ARE_WRAPPED
#define HANDLERS_ARE_WRAPPED 0
#endif

/* The header's own macros leave a field out, which compilers complain of. */
static struct scmp_arg_cmp argument(unsigned at, enum scmp_compare how, uint64_t a, uint64_t b)
{
    return (struct scmp_arg_cmp){.arg = at, .op = how, .datum_a = a, .datum_b = b};
}

static int add_rule(scmp_filter_ctx filter, int call, struct scmp_arg_cmp *compare)
{
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, compare ? 1 : 0, compare);
}

/* Where a breach is a signal, the kernel kills a process that has it blocked, and
 * one without our handler dies, too. So no code replaces the handler, and each
 * change of the mask that could block it is made by the handler itself. */
static int add_signal_rules(scmp_filter_ctx filter, enum config_seal mode)
{
    struct scmp_arg_cmp is_other = argument(0, SCMP_CMP_NE, SIGSYS, 0);
    struct scmp_arg_cmp is_question = argument(1, SCMP_CMP_EQ, 0, 0);
    struct scmp_arg_cmp is_unblock = argument(0, SCMP_CMP_EQ, SIG_UNBLOCK, 0);
    int failed = add_rule(filter, SCMP_SYS(rt_sigaction), &is_other);

    failed |= add_rule(filter, SCMP_SYS(rt_sigaction), &is_question);
    if (mode == SEAL_LOG || HANDLERS_ARE_WRAPPED)
        return failed | add_rule(filter, SCMP_SYS(rt_sigprocmask), NULL);
    failed |= add_rule(filter, SCMP_SYS(rt_sigprocmask), &is_unblock);
    return failed | add_rule(filter, SCMP_SYS(rt_sigprocmask), &is_question);
}

static int add_rules(scmp_filter_ctx filter, const struct seal_rules *rules)
{
    static const unsigned long requests[] = {FIONBIO, FIOCLEX, FIONCLEX};
    const uint32_t outputs[] = {STDOUT_FILENO, STDERR_FILENO, rules->crash_fd};
    int failed = add_signal_rules(filter, rules->mode);

    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        failed |= add_rule(filter, allowed[i], NULL);
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        struct scmp_arg_cmp is_fd = argument(0, SCMP_CMP_EQ, outputs[i], 0);

        failed |= add_rule(filter, SCMP_SYS(write), &is_fd);
        failed |= add_rule(filter, SCMP_SYS(writev), &is_fd);
    }
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct scmp_arg_cmp is_request = argument(1, SCMP_CMP_EQ, requests[i], 0);

        failed |= add_rule(filter, SCMP_SYS(ioctl), &is_request);
    }
    {
        struct scmp_arg_cmp is_anonymous = argument(3, SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS,
                                                    MAP_ANONYMOUS);
        struct scmp_arg_cmp is_self = argument(0, SCMP_CMP_EQ, rules->pid, 0);

        failed |= add_rule(filter, SCMP_SYS(mmap), &is_anonymous);
        /* How the handler reads a path that may be no address. */
        failed |= add_rule(filter, SCMP_SYS(process_vm_readv), &is_self);
    }
    return failed;
}

/* libseccomp 2.5 writes programs to descriptors only. */
static int export_program(scmp_filter_ctx filter, struct sock_filter *ret,
                          unsigned short *ret_count)
{
    const int fd = memfd_create("seal", MFD_CLOEXEC);
    ssize_t size = -1;

    if (fd >= 0 && seccomp_export_bpf(filter, fd) == 0)
        size = pread(fd, ret, SEAL_PROGRAM_MAX * sizeof *ret, 0);
    if (fd >= 0)
        close(fd);
    if (size <= 0 || (size_t)size == SEAL_PROGRAM_MAX * sizeof *ret)
        return -1;
    *ret_count = (unsigned short)((size_t)size / sizeof *ret);
    return 0;
}

int seal_rules_compile(const struct seal_rules *rules, struct sock_filter *ret,
                       unsigned short *ret_count)
{
    scmp_filter_ctx filter = seccomp_init(rules->mode == SEAL_LOG ? SCMP_ACT_NOTIFY
                                                                  : SCMP_ACT_TRAP);
    /* The kernel tries a filter on each system call that there is before it takes it: a tree of
     * calls is through in a fraction of the time of a list. (libseccomp 2.4 makes lists only.) */
    const int tree = filter ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) : 0;
    const int failed = !filter || add_rules(filter, rules) != 0 ||
                       export_program(filter, ret, ret_count) < 0;

    (void)tree;
    if (filter)
        seccomp_release(filter);
    return failed ? -1 : 0;
}
