/* The seal. See seal.h.
 *
 * The filters are made by libseccomp, which is loaded only where a backend has a
 * bind of its own, and written out as programs for the kernel, so that to seal
 * a thread is two system calls. */
#include "seal.h"

#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef RPD_LIBSECCOMP_SONAME

#include "descriptors.h"
#include "late_library.h"
#include "registers.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* glibc 2.36 has it in no header that can be included beside <signal.h> */
#endif

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

/* Where a call that is denied has its path or its descriptor. */
enum argument_kind { PATH, DESCRIPTOR };

static const struct {
    int call;
    enum argument_kind kind;
    int at;
} arguments[] = {
#ifdef SYS_open
    {SYS_open, PATH, 0},
    {SYS_creat, PATH, 0},
    {SYS_stat, PATH, 0},
    {SYS_lstat, PATH, 0},
    {SYS_access, PATH, 0},
    {SYS_unlink, PATH, 0},
    {SYS_mkdir, PATH, 0},
    {SYS_rmdir, PATH, 0},
    {SYS_rename, PATH, 0},
    {SYS_readlink, PATH, 0},
    {SYS_chmod, PATH, 0},
#endif
    {SYS_openat, PATH, 1},
    {SYS_openat2, PATH, 1},
    {SYS_newfstatat, PATH, 1},
    {SYS_statx, PATH, 1},
    {SYS_faccessat, PATH, 1},
    {SYS_faccessat2, PATH, 1},
    {SYS_unlinkat, PATH, 1},
    {SYS_mkdirat, PATH, 1},
    {SYS_renameat, PATH, 1},
    {SYS_renameat2, PATH, 1},
    {SYS_readlinkat, PATH, 1},
    {SYS_fchmodat, PATH, 1},
    {SYS_chdir, PATH, 0},
    {SYS_execve, PATH, 0},
    {SYS_truncate, PATH, 0},
    {SYS_read, DESCRIPTOR, 0},
    {SYS_readv, DESCRIPTOR, 0},
    {SYS_pread64, DESCRIPTOR, 0},
    {SYS_write, DESCRIPTOR, 0},
    {SYS_writev, DESCRIPTOR, 0},
    {SYS_fstat, DESCRIPTOR, 0},
    {SYS_lseek, DESCRIPTOR, 0},
    {SYS_getdents64, DESCRIPTOR, 0},
    {SYS_fsync, DESCRIPTOR, 0},
    {SYS_ioctl, DESCRIPTOR, 0},
    {SYS_connect, DESCRIPTOR, 0},
    {SYS_mmap, DESCRIPTOR, 4},
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

/* The seal of this thread, for the handler. */
static __thread struct seal *own_seal __attribute__((tls_model("initial-exec")));

/* ---- making the filter ---------------------------------------------------- */

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
    int failed = add_signal_rules(filter, mode);

    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        failed |= add_rule(filter, allowed[i], NULL);
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        struct scmp_arg_cmp is_fd = argument(0, SCMP_CMP_EQ, (scmp_datum_t)fd, 0);

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

enum config_seal seal_prepare(enum config_seal mode, const char *service)
{
    struct error error;

    if (mode == SEAL_OFF || prepared[mode].program.len > 0)
        return mode;
    if (load_libseccomp(&error) < 0) {
        log_line(RPD_LOG_WARNING, service, "bind() is not sealed: %s", error.text);
        return SEAL_OFF;
    }
    if (make_program(mode) < 0) {
        log_line(RPD_LOG_WARNING, service, "bind() is not sealed: no filter could be made");
        return SEAL_OFF;
    }
    return mode;
}

void seal_init(struct seal *seal, enum config_seal mode)
{
    *seal = (struct seal){.mode = mode, .notify_fd = -1};
    sem_init(&seal->begun, 0, 0);
}

/* ---- the sealed thread ------------------------------------------------------ */

static long install(enum config_seal mode)
{
    const unsigned flags = mode == SEAL_LOG ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prepared[mode].program);
}

bool seal_this_thread(struct seal *seal)
{
    long result;

    if (seal->mode == SEAL_OFF)
        return true;
    own_seal = seal;
    result = install(seal->mode);
    if (seal->mode == SEAL_LOG) {
        seal->notify_fd = (int)result;
        sem_post(&seal->begun);
    }
    return result >= 0;
}

bool seal_is_here(void)
{
    return own_seal != NULL;
}

/* ---- breaches ---------------------------------------------------------------- */

/* Page by page: the text may end just before memory that is not there. */
static void read_text(uintptr_t from, char *text, size_t size)
{
    size_t used = 0;

    while (used + 1 < size) {
        const size_t to_page_end = 4096 - (from + used) % 4096;
        const size_t wanted = size - 1 - used < to_page_end ? size - 1 - used : to_page_end;
        struct iovec local = {text + used, wanted};
        struct iovec remote = {(void *)(from + used), wanted};

        if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != (ssize_t)wanted ||
            memchr(text + used, '\0', wanted))
            break;
        used += wanted;
    }
    text[size - 1] = '\0';
}

/* The C library looks at it to free memory in a thread of its own. */
static bool is_harmless(const struct seal_breach *breach)
{
    return breach->has_path && strcmp(breach->path, "/proc/sys/vm/overcommit_memory") == 0;
}

static void note_arguments(struct seal_breach *breach, const uint64_t values[6])
{
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
        if (arguments[i].call != breach->call)
            continue;
        if (arguments[i].kind == PATH) {
            breach->has_path = true;
            read_text((uintptr_t)values[arguments[i].at], breach->path, sizeof breach->path);
        } else {
            breach->has_descriptor = true;
            breach->descriptor = (int)values[arguments[i].at];
        }
    }
}

/* Only the first is told; the others are counted. */
static struct seal_breach *note(struct seal *seal, int call, const uint64_t values[6])
{
    struct seal_breach breach = {.call = call};

    note_arguments(&breach, values);
    if (is_harmless(&breach))
        return NULL;
    if (seal->breach.count++ > 0)
        return NULL;
    breach.count = 1;
    seal->breach = breach;
    return &seal->breach;
}

#if defined(__x86_64__)
static void take_arguments(const ucontext_t *user, uint64_t ret_values[6])
{
    static const int at[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};

    for (int i = 0; i < 6; i++)
        ret_values[i] = (uint64_t)user->uc_mcontext.gregs[at[i]];
}

static void set_result(ucontext_t *user, long result)
{
    user->uc_mcontext.gregs[REG_RAX] = result;
}
#elif defined(__aarch64__)
static void take_arguments(const ucontext_t *user, uint64_t ret_values[6])
{
    for (int i = 0; i < 6; i++)
        ret_values[i] = user->uc_mcontext.regs[i];
}

static void set_result(ucontext_t *user, long result)
{
    user->uc_mcontext.regs[0] = (unsigned long long)result;
}
#elif defined(__riscv)
static void take_arguments(const ucontext_t *user, uint64_t ret_values[6])
{
    for (int i = 0; i < 6; i++)
        ret_values[i] = user->uc_mcontext.__gregs[REG_A0 + i];
}

static void set_result(ucontext_t *user, long result)
{
    user->uc_mcontext.__gregs[REG_A0] = (unsigned long)result;
}
#endif

/* Does what rt_sigprocmask(2) would, once the handler returns; but SIGSYS stays
 * open. */
static void change_mask(ucontext_t *user, const uint64_t values[6])
{
    uint64_t *mask = (uint64_t *)&user->uc_sigmask;
    const uint64_t set = *(const uint64_t *)(uintptr_t)values[1];
    uint64_t *previous = (uint64_t *)(uintptr_t)values[2];

    if (previous)
        *previous = *mask;
    *mask = (values[0] == SIG_BLOCK ? *mask | set : set) & ~(UINT64_C(1) << (SIGSYS - 1));
    set_result(user, 0);
}

bool seal_take_signal(siginfo_t *info, void *context)
{
    ucontext_t *user = context;
    struct seal_breach *breach;
    uint64_t values[6];

    if (!own_seal || info->si_code != SYS_SECCOMP)
        return false;
    take_arguments(user, values);
    if (info->si_syscall == SYS_rt_sigprocmask) {
        change_mask(user, values);
        return true;
    }
    breach = note(own_seal, info->si_syscall, values);
    if (breach) {
        trace_take(&breach->trace, (uintptr_t)REGISTERS_COUNTER(user));
        trace_skip_libc(&breach->trace);
        trace_cut_callers(&breach->trace);
    }
    /* Else the caller would take the call's number for its result. */
    set_result(user, -EPERM);
    return true;
}

/* ---- only to be logged ----------------------------------------------------------- */

static int let_pass(struct seal *seal)
{
    struct seccomp_notif asked = {0};
    struct seccomp_notif_resp answer = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    uint64_t values[6];

    if (ioctl(seal->notify_fd, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < 6; i++)
        values[i] = asked.data.args[i];
    note(seal, asked.data.nr, values);
    answer.id = asked.id;
    return ioctl(seal->notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT ? -1
                                                                                            : 0;
}

void seal_watch(struct seal *seal)
{
    struct pollfd asks = {.events = POLLIN};

    if (seal->mode != SEAL_LOG)
        return;
    while (sem_wait(&seal->begun) < 0 && errno == EINTR)
        ;
    asks.fd = seal->notify_fd;
    if (asks.fd < 0)
        return;
    while (poll(&asks, 1, -1) < 0 ? errno == EINTR : (asks.revents & POLLIN) && !let_pass(seal))
        ;
    close(asks.fd);
    seal->notify_fd = -1;
}

/* ---- telling ------------------------------------------------------------------------ */

void seal_describe(const struct seal_breach *breach, char *bytes, size_t size)
{
    char *name = libseccomp.seccomp_syscall_resolve_num_arch(libseccomp.seccomp_arch_native(),
                                                             breach->call);
    struct safe_text text;
    char descriptor[300];

    safe_text_init(&text, bytes, size);
    safe_text_add(&text, name ? name : "an unknown system call");
    safe_text_add(&text, "(");
    if (breach->has_path) {
        safe_text_add(&text, "\"");
        safe_text_add(&text, breach->path);
        safe_text_add(&text, "\"");
    } else if (breach->has_descriptor) {
        descriptors_describe(breach->descriptor, descriptor, sizeof descriptor);
        safe_text_add(&text, descriptor);
    }
    safe_text_add(&text, ")");
    if (breach->trace.count > 0) {
        safe_text_add(&text, " in ");
        trace_add(&text, &breach->trace);
    }
    if (breach->count > 1) {
        safe_text_add(&text, ", and ");
        safe_text_add_decimal(&text, breach->count - 1);
        safe_text_add(&text, " more");
    }
    bytes[text.used] = '\0';
    free(name);
}

#else /* without libseccomp */

enum config_seal seal_prepare(enum config_seal mode, const char *service)
{
    if (mode != SEAL_OFF)
        log_line(RPD_LOG_WARNING, service,
                 "bind() is not sealed: this rpd was built without libseccomp");
    return SEAL_OFF;
}

void seal_init(struct seal *seal, enum config_seal mode)
{
    *seal = (struct seal){.mode = mode, .notify_fd = -1};
}

bool seal_is_here(void)
{
    return false;
}

bool seal_this_thread(struct seal *seal)
{
    (void)seal;
    return true;
}

void seal_watch(struct seal *seal)
{
    (void)seal;
}

bool seal_take_signal(siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    return false;
}

void seal_describe(const struct seal_breach *breach, char *text, size_t size)
{
    (void)breach;
    snprintf(text, size, "a system call");
}

#endif
