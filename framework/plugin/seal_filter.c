/* The filters of the seal. See seal_filter.h.
 *
 * They are made by libseccomp, which is loaded only where a backend has a bind of
 * its own, and written out as programs for the kernel, so that to seal a thread is
 * two system calls. */
#include "plugin/seal_filter.h"

#include "guard/outcome.h"
#include "library/late_library.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* clang-format off */
#define LIBSECCOMP_FUNCTIONS(X) \
    X(seccomp_init) X(seccomp_release) X(seccomp_rule_add_array) X(seccomp_export_bpf) \
    X(seccomp_syscall_resolve_num_arch) X(seccomp_arch_native)
/* clang-format on */

static struct {
    LIBSECCOMP_FUNCTIONS(LATE_FUNCTION)
} libseccomp;

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

enum { PROGRAM_MAX = 4096 };

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

/* The filters, as programs for the kernel. */
static struct {
    struct sock_filter instructions[PROGRAM_MAX];
    struct sock_fprog program;
} prepared[SEAL_OFF];

/* (The header's own macros leave a field out, which compilers complain of.) */
static struct scmp_arg_cmp argument(unsigned at, enum scmp_compare how, uint64_t a, uint64_t b)
{
    return (struct scmp_arg_cmp){.arg = at, .op = how, .datum_a = a, .datum_b = b};
}

static int add_rule(scmp_filter_ctx filter, int call, struct scmp_arg_cmp *compare)
{
    return libseccomp.seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, compare ? 1 : 0,
                                             compare);
}

/* Where a breach is a signal, the kernel kills a process that has it blocked, and
 * one without our handler dies, too. So nobody replaces the handler, and each
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

static int add_rules(scmp_filter_ctx filter, enum config_seal mode)
{
    static const unsigned long requests[] = {FIONBIO, FIOCLEX, FIONCLEX};
    /* (The last is for the crash handler.) */
    const int outputs[] = {STDOUT_FILENO, STDERR_FILENO, outcome_start_fd()};
    int failed = add_signal_rules(filter, mode);

    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        failed |= add_rule(filter, allowed[i], NULL);
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs && outputs[i] >= 0; i++) {
        struct scmp_arg_cmp is_fd = argument(0, SCMP_CMP_EQ, (scmp_datum_t)outputs[i], 0);

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
        struct scmp_arg_cmp is_self = argument(0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);

        failed |= add_rule(filter, SCMP_SYS(mmap), &is_anonymous);
        /* How the handler reads a path that may be no address. */
        failed |= add_rule(filter, SCMP_SYS(process_vm_readv), &is_self);
    }
    return failed;
}

/* libseccomp 2.5 writes programs to descriptors only. */
static int export_program(scmp_filter_ctx filter, enum config_seal mode)
{
    struct sock_filter *to = prepared[mode].instructions;
    const int fd = memfd_create("seal", MFD_CLOEXEC);
    ssize_t size = -1;

    if (fd >= 0 && libseccomp.seccomp_export_bpf(filter, fd) == 0)
        size = pread(fd, to, sizeof prepared[mode].instructions, 0);
    if (fd >= 0)
        close(fd);
    if (size <= 0 || (size_t)size == sizeof prepared[mode].instructions)
        return -1;
    prepared[mode].program = (struct sock_fprog){
        .len = (unsigned short)((size_t)size / sizeof *to),
        .filter = to,
    };
    return 0;
}

static int make_program(enum config_seal mode)
{
    scmp_filter_ctx filter = libseccomp.seccomp_init(mode == SEAL_LOG ? SCMP_ACT_NOTIFY
                                                                      : SCMP_ACT_TRAP);
    const int failed = !filter || add_rules(filter, mode) != 0 || export_program(filter, mode) < 0;

    if (filter)
        libseccomp.seccomp_release(filter);
    return failed ? -1 : 0;
}

static int load_libseccomp(struct error *error)
{
    static const char *const names[] = {LIBSECCOMP_FUNCTIONS(LATE_NAME)};
    static struct late_library library = {
        .file = RPD_LIBSECCOMP_SONAME,
        .name = "libseccomp 2.5",
        .functions = names,
        .function_count = sizeof names / sizeof *names,
        .table = &libseccomp,
    };

    return late_library_load(&library, error);
}

int seal_filter_prepare(enum config_seal mode, struct error *error)
{
    if (prepared[mode].program.len > 0)
        return 0;
    if (load_libseccomp(error) < 0)
        return -1;
    if (make_program(mode) < 0)
        return error_set(error, EXIT_SYSTEM, "seal", "libseccomp",
                         "no filter could be made; free memory");
    return 0;
}

long seal_filter_install(enum config_seal mode)
{
    const unsigned flags = mode == SEAL_LOG ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prepared[mode].program);
}

char *seal_filter_call_name(int call)
{
    return libseccomp.seccomp_syscall_resolve_num_arch(libseccomp.seccomp_arch_native(), call);
}
