/* The seal: a thread under it, and what it did that was not allowed. See seal.h; what
 * is allowed is in seal_filter.c. */
#include "plugin/seal.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef RPD_LIBSECCOMP_SONAME

#include "base/descriptors.h"
#include "guard/registers.h"
#include "plugin/seal_filter.h"

#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* glibc 2.36 has it in no header that can be included beside <signal.h> */
#endif

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

/* The seal of this thread, for the handler. */
static __thread struct seal *own_seal __attribute__((tls_model("initial-exec")));

enum config_seal seal_prepare(enum config_seal mode, const char *service)
{
    struct error error;

    if (mode == SEAL_OFF || seal_filter_prepare(mode, &error) == 0)
        return mode;
    log_line(RPD_LOG_WARNING, service, "bind() is not sealed: %s", error.text);
    return SEAL_OFF;
}

void seal_init(struct seal *seal, enum config_seal mode)
{
    *seal = (struct seal){.mode = mode, .notify_fd = -1};
    sem_init(&seal->begun, 0, 0);
}

/* ---- the sealed thread ------------------------------------------------------ */

bool seal_this_thread(struct seal *seal)
{
    long result;

    if (seal->mode == SEAL_OFF)
        return true;
    own_seal = seal;
    result = seal_filter_install(seal->mode);
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

/* Only the first is reported; the others are counted. */
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

/* ---- reporting ------------------------------------------------------------------------ */

void seal_describe(const struct seal_breach *breach, char *bytes, size_t size)
{
    char *name = seal_filter_call_name(breach->call);
    struct text_builder text;
    char descriptor[300];

    text_init(&text, bytes, size);
    text_add(&text, name ? name : "an unknown system call");
    text_add(&text, "(");
    if (breach->has_path) {
        text_add(&text, "\"");
        text_add(&text, breach->path);
        text_add(&text, "\"");
    } else if (breach->has_descriptor) {
        descriptors_describe(breach->descriptor, descriptor, sizeof descriptor);
        text_add(&text, descriptor);
    }
    text_add(&text, ")");
    if (breach->trace.count > 0) {
        text_add(&text, " in ");
        trace_add(&text, &breach->trace);
    }
    if (breach->count > 1) {
        text_add(&text, ", and ");
        text_add_decimal(&text, breach->count - 1);
        text_add(&text, " more");
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
