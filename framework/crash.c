/* Crash lines and the exit guard. See crash.h for the invariants.
 *
 * Everything below on_crash() is async-signal-safe. backtrace() is so only
 * once libgcc is loaded, hence crash_prepare_backtrace(). The parts of the
 * line that need least come first, and the line is a static buffer: if making
 * it faults, what is there already is still written. */
#include "crash.h"

#include "error.h"
#include "symbol.h"

#include <errno.h>
#include <execinfo.h>
#include <gnu/libc-version.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    LINE_SIZE = 4096, /* PIPE_BUF: one write of it is never torn */
    MAX_FRAMES = 64,  /* asked for */
    MAX_SHOWN = 16,   /* shown, where a run of the same counts as one */
    STACK_SIZE = 64 * 1024,
    OVERFLOW_REACH = 64 * 1024, /* a fault this near to the stack pointer is an overflow */
    TELL_SECONDS = 5,           /* a line that takes longer hangs */
    STDERR_WAIT_MS = 1000
};

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
enum { CRASH_SIGNALS = sizeof crash_signals / sizeof *crash_signals };

__thread struct crash_context crash_context_;

/* A thread's stack for handlers, and what was there before (a sanitizer's). */
static __thread struct {
    void *mapping; /* NULL: none */
    size_t size;
    stack_t previous;
} own_stack __attribute__((tls_model("initial-exec")));

static _Atomic(const char *) current_step;
static atomic_bool backtrace_is_prepared;

static atomic_int telling_thread; /* its tid; 0: no crash */
static volatile sig_atomic_t told_signal;
static volatile sig_atomic_t context_is_told;
static volatile sig_atomic_t lost_count;
static char line_bytes[LINE_SIZE];
static struct safe_text line;

static void (*exit_cleanup)(void);
static pid_t guarded_process;
static atomic_bool exit_is_guarded;

/* ---- where and what ---- */

/* The machine's words for where the code was when the signal came. */
#if defined(__x86_64__)
#define COUNTER(user) ((user)->uc_mcontext.gregs[REG_RIP])
#define STACK(user) ((user)->uc_mcontext.gregs[REG_RSP])
#elif defined(__aarch64__)
#define COUNTER(user) ((user)->uc_mcontext.pc)
#define STACK(user) ((user)->uc_mcontext.sp)
#define LINK(user) ((user)->uc_mcontext.regs[30])
#elif defined(__riscv)
#define COUNTER(user) ((user)->uc_mcontext.__gregs[REG_PC])
#define STACK(user) ((user)->uc_mcontext.__gregs[REG_SP])
#define LINK(user) ((user)->uc_mcontext.__gregs[REG_RA])
#else
#error "crash.c does not know this machine's registers"
#endif

/* A call through a bad pointer leaves the counter where there is no code. Then
 * this undoes the call in the context, so that the unwinder, which starts from
 * it, finds its way. May fault, where the stack is bad too. */
__attribute__((no_sanitize("address", "thread", "alignment"))) static bool
undo_call_to_nowhere(ucontext_t *user)
{
    const uintptr_t stack = (uintptr_t)STACK(user);
    uintptr_t caller;

    if (symbol_object((uintptr_t)COUNTER(user)) || !stack || stack % sizeof caller != 0)
        return false;
#ifdef LINK
    caller = (uintptr_t)LINK(user);
#else
    caller = *(const volatile uintptr_t *)stack;
#endif
    if (!symbol_object(caller))
        return false;
#ifndef LINK
    STACK(user) += (greg_t)sizeof caller;
#endif
    COUNTER(user) = (__typeof__(COUNTER(user)))caller;
    return true;
}

/* The calls that led somewhere, innermost first. */
struct trace {
    void *frames[MAX_FRAMES];
    int count;
    int first;           /* the frame to blame */
    bool first_is_exact; /* an instruction's own address, not a return address */
};

/* By a function that no sanitizer puts its own in place of. */
static bool is_libc(const void *address)
{
    return symbol_object((uintptr_t)address) == symbol_object((uintptr_t)gnu_get_libc_version);
}

/* Past abort, raise, assert and the like: to the code that called them. */
static void skip_libc(struct trace *trace)
{
    int at = trace->first;

    while (at < trace->count && is_libc(trace->frames[at]))
        at++;
    if (at < trace->count && at > trace->first) {
        trace->first = at;
        trace->first_is_exact = false;
    }
}

/* The frames of the handler itself are left out: the trace starts at the place
 * of the crash, which the unwinder reports as it is. */
static void take_trace(struct trace *trace, uintptr_t counter)
{
    trace->count = 0;
    if (atomic_load(&backtrace_is_prepared))
        trace->count = backtrace(trace->frames, MAX_FRAMES);
    trace->first_is_exact = true;
    for (trace->first = 0; trace->first < trace->count; trace->first++)
        if ((uintptr_t)trace->frames[trace->first] == counter)
            return;
    trace->frames[0] = (void *)counter;
    trace->count = 1;
    trace->first = 0;
}

static unsigned how_to_look(bool exact)
{
    return exact ? 0U : (unsigned)SYMBOL_RETURN_ADDRESS;
}

/* ---- the line ---- */

static const char *signal_name(int number)
{
    switch (number) {
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGILL: return "SIGILL";
    case SIGABRT: return "SIGABRT";
    case SIGSYS: return "SIGSYS";
    case SIGTRAP: return "SIGTRAP";
    default: return "a signal";
    }
}

static bool is_own_doing(const siginfo_t *info)
{
    return info->si_code <= 0 && info->si_pid == getpid();
}

static void add_cause(struct safe_text *text, const siginfo_t *info, uintptr_t stack)
{
    const uintptr_t address = (uintptr_t)info->si_addr;

    safe_text_add(text, signal_name(info->si_signo));
    if (info->si_code <= 0) { /* not a fault: kill() or raise() */
        if (!is_own_doing(info)) {
            safe_text_add(text, " sent by process ");
            safe_text_add_decimal(text, info->si_pid);
        }
    } else if (info->si_signo == SIGSYS) {
        safe_text_add(text, " for system call ");
        safe_text_add_decimal(text, info->si_syscall);
    } else if (info->si_signo != SIGSEGV && info->si_signo != SIGBUS) {
        return;                              /* the address is the instruction's, which follows */
    } else if (info->si_code == SI_KERNEL) { /* the kernel does not tell it */
        safe_text_add(text, " at an impossible address");
    } else {
        safe_text_add(text, " at address ");
        safe_text_add_hex(text, address);
        if (address + OVERFLOW_REACH > stack && address < stack + OVERFLOW_REACH)
            safe_text_add(text, " (stack overflow)");
    }
}

static void add_thread(struct safe_text *text)
{
    char name[16] = "";

    safe_text_add(text, ", thread ");
    if (crash_context_.thread) {
        safe_text_add(text, crash_context_.thread);
        return;
    }
    safe_text_add_decimal(text, gettid());
    if (prctl(PR_GET_NAME, name) == 0) {
        safe_text_add(text, " (not rpd's; named ");
        safe_text_add(text, name);
        safe_text_add(text, ")");
    }
}

static void add_step(struct safe_text *text)
{
    const char *step = atomic_load(&current_step);

    if (!step)
        return;
    safe_text_add(text, ", step ");
    safe_text_add(text, step);
}

/* blamed: where the code is. Outside a plugin's callbacks (a thread that the
 * plugin has started) its object is all that is known. */
static void add_context(struct safe_text *text, uintptr_t blamed)
{
    struct symbol symbol;

    context_is_told = true;
    add_step(text);
    if (crash_context_.depth > 0) {
        if (crash_context_.service) {
            safe_text_add(text, ", service ");
            safe_text_add(text, crash_context_.service);
        }
        if (crash_context_.plugin) {
            safe_text_add(text, crash_context_.service ? " (plugin " : ", plugin ");
            safe_text_add(text, crash_context_.plugin);
            safe_text_add(text, crash_context_.service ? ")" : "");
        }
    } else if (symbol_find(blamed, SYMBOL_NO_FILES, &symbol)) {
        safe_text_add(text, ", object ");
        safe_text_add(text, symbol.object);
    }
    add_thread(text);
}

static void add_trace(struct safe_text *text, const struct trace *trace)
{
    int at = trace->first;

    safe_text_add(text, "; backtrace: ");
    for (int shown = 0; at < trace->count && shown < MAX_SHOWN; shown++) {
        const uintptr_t frame = (uintptr_t)trace->frames[at];
        int run = 1;

        if (shown > 0)
            safe_text_add(text, " < ");
        symbol_add(text, frame, how_to_look(at == trace->first && trace->first_is_exact));
        while (at + run < trace->count && (uintptr_t)trace->frames[at + run] == frame)
            run++;
        if (run > 1) { /* a recursion: seen MAX_FRAMES times at most */
            safe_text_add(text, " x");
            safe_text_add_decimal(text, run);
        }
        at += run;
    }
    if (at < trace->count)
        safe_text_add(text, " < ...");
}

/* One write(2). A stderr that nobody reads must not keep the process alive, so
 * it is only written when it can take the line; PIPE_BUF bytes fit then. */
static void write_line(struct safe_text *text)
{
    struct pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t written;

    if (text->used >= text->size)
        text->used = text->size - 1;
    text->bytes[text->used] = '\n';
    if (poll(&stderr_poll, 1, STDERR_WAIT_MS) == 0)
        return;
    do
        written = write(STDERR_FILENO, text->bytes, text->used + 1);
    while (written < 0 && errno == EINTR);
}

/* A fault: the counter is the place. The trace, which may itself fault where
 * the stack is damaged, comes last. A core shows the registers as they were. */
static void tell_fault(ucontext_t *user, struct trace *trace)
{
    const __typeof__(COUNTER(user)) counter = COUNTER(user);
    const __typeof__(STACK(user)) stack = STACK(user);
    bool was_call;

    symbol_add(&line, (uintptr_t)counter, how_to_look(true));
    was_call = undo_call_to_nowhere(user);
    if (was_call) {
        safe_text_add(&line, " called from ");
        symbol_add(&line, (uintptr_t)COUNTER(user), how_to_look(false));
    }
    add_context(&line, (uintptr_t)COUNTER(user));
    take_trace(trace, (uintptr_t)COUNTER(user));
    trace->first_is_exact = !was_call;
    COUNTER(user) = counter;
    STACK(user) = stack;
}

/* abort() and the like: the counter is in libc, and the trace has whom to name. */
static void tell_own_doing(const ucontext_t *user, struct trace *trace)
{
    uintptr_t blamed;

    take_trace(trace, (uintptr_t)COUNTER(user));
    skip_libc(trace);
    blamed = (uintptr_t)trace->frames[trace->first];
    symbol_add(&line, blamed, how_to_look(trace->first_is_exact));
    add_context(&line, blamed);
}

static void tell_crash(const siginfo_t *info, ucontext_t *user)
{
    static struct trace trace; /* only one thread ever gets here; stacks are small */

    safe_text_add(&line, "rpd: crash: ");
    add_cause(&line, info, (uintptr_t)STACK(user));
    safe_text_add(&line, " in ");
    if (is_own_doing(info))
        tell_own_doing(user, &trace);
    else
        tell_fault(user, &trace);
    add_trace(&line, &trace);
}

/* ---- the handlers ---- */

static void restore_defaults(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    for (int i = 0; i < CRASH_SIGNALS; i++)
        sigaction(crash_signals[i], &action, NULL);
}

static _Noreturn void die_of(int number)
{
    sigset_t only;

    restore_defaults();
    sigemptyset(&only);
    sigaddset(&only, number);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    tgkill(getpid(), gettid(), number);
    _exit(128 + number); /* process 1 of a container does not die of its own signals */
}

/* A second fault on the thread that tells the first, or the alarm: what there
 * is of the line is written. A damaged stack may have cost the trace, which an
 * abort needs first; step and service can still be told. Should that fault as
 * well, the next round leaves it; a fault after that meets the defaults. */
static void on_second_fault(int number)
{
    (void)number;
    if (++lost_count == 1 && !context_is_told && gettid() == atomic_load(&telling_thread)) {
        safe_text_add(&line, "an unknown place");
        add_context(&line, 0);
    }
    restore_defaults();
    safe_text_add(&line, " ... (the rest of this line was lost: telling it failed)");
    write_line(&line);
    die_of(told_signal);
}

static void set_deadline(void)
{
    struct sigaction action = {.sa_handler = on_second_fault, .sa_flags = SA_ONSTACK};
    sigset_t alarm_only;

    sigfillset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    alarm(TELL_SECONDS);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
}

/* Another thread tells its crash already; it will end the process, and this
 * thread with it. */
static _Noreturn void wait_for_the_end(int number)
{
    for (int i = 0; i < 2 * TELL_SECONDS; i++)
        poll(NULL, 0, 1000);
    die_of(number);
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    const int me = gettid();
    int teller = 0;

    if (!atomic_compare_exchange_strong(&telling_thread, &teller, me)) {
        if (teller != me)
            wait_for_the_end(number);
        on_second_fault(number);
    }
    told_signal = number;
    safe_text_init(&line, line_bytes, sizeof line_bytes);
    set_deadline();
    tell_crash(info, context);
    write_line(&line);
    die_of(number);
}

/* Crash signals stay open within the handler: a fault in it must come here,
 * to what has been told so far, and not end in silence. All others are held
 * back: SIGPIPE, above all, must not change how the process dies. */
void crash_install(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    action.sa_sigaction = on_crash;
    sigfillset(&action.sa_mask);
    for (int i = 0; i < CRASH_SIGNALS; i++)
        sigdelset(&action.sa_mask, crash_signals[i]);
    for (int i = 0; i < CRASH_SIGNALS; i++)
        sigaction(crash_signals[i], &action, NULL);
}

void crash_prepare_backtrace(void)
{
    void *frames[2];

    backtrace(frames, 2);
    atomic_store(&backtrace_is_prepared, true);
}

void crash_thread_begin(const char *thread_name)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t size = page + STACK_SIZE;
    stack_t stack = {.ss_size = STACK_SIZE};
    char *mapping;

    crash_context_.thread = thread_name;
    if (own_stack.mapping)
        return;
    mapping = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (mapping == MAP_FAILED)
        return;
    stack.ss_sp = mapping + page; /* the guard page stays below */
    if (mprotect(stack.ss_sp, STACK_SIZE, PROT_READ | PROT_WRITE) < 0 ||
        sigaltstack(&stack, &own_stack.previous) < 0) {
        munmap(mapping, size);
        return;
    }
    own_stack.mapping = mapping;
    own_stack.size = size;
}

void crash_thread_end(void)
{
    crash_context_ = (struct crash_context){0};
    if (!own_stack.mapping)
        return;
    if (sigaltstack(&own_stack.previous, NULL) == 0)
        munmap(own_stack.mapping, own_stack.size);
    own_stack.mapping = NULL;
}

void crash_set_step(const char *literal)
{
    atomic_store(&current_step, literal);
}

/* ---- exit() ---- */

/* Who called exit(): past the guard's own frames and libc's. */
static uintptr_t find_caller(void)
{
    void *frames[MAX_FRAMES];
    const int count = backtrace(frames, MAX_FRAMES);
    int at = 0;

    while (at < count && !is_libc(frames[at]))
        at++;
    while (at < count && is_libc(frames[at]))
        at++;
    return at < count ? (uintptr_t)frames[at] : 0;
}

/* "plugin echo.so". Outside of callbacks the caller's object tells: a thread
 * that a plugin has started is that plugin's. */
static void add_culprit(struct safe_text *text, uintptr_t caller)
{
    struct symbol symbol;
    const char *name = "(unknown)";
    bool is_own = false;

    if (crash_context_.depth > 0 && crash_context_.plugin) {
        name = crash_context_.plugin;
    } else if (symbol_find(caller, SYMBOL_NO_FILES | SYMBOL_RETURN_ADDRESS, &symbol)) {
        name = symbol.object;
        is_own = symbol.is_program ||
                 symbol_object(caller) == symbol_object((uintptr_t)crash_guard_exit);
    }
    safe_text_add(text, is_own ? "program " : "plugin ");
    safe_text_add(text, symbol_base_name(name));
}

static void tell_exit(void)
{
    const uintptr_t caller = find_caller();
    struct safe_text text;
    char bytes[LINE_SIZE];

    safe_text_init(&text, bytes, sizeof bytes);
    safe_text_add(&text, "rpd: exit: ");
    add_culprit(&text, caller);
    safe_text_add(&text, " called exit(); from ");
    symbol_add(&text, caller, how_to_look(false));
    add_context(&text, caller);
    safe_text_add(&text, "; a plugin must not end the process: let it return an error instead");
    write_line(&text);
}

/* Runs within exit(). */
static void on_exit_called(void)
{
    sigset_t pipe_only;

    if (getpid() != guarded_process || !atomic_exchange(&exit_is_guarded, false))
        return;
    sigemptyset(&pipe_only); /* the code must be ours even if nobody reads stderr */
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, NULL);
    tell_exit();
    if (exit_cleanup)
        exit_cleanup();
    _exit(EXIT_INTERNAL);
}

void crash_guard_exit(void (*cleanup)(void))
{
    exit_cleanup = cleanup;
    guarded_process = getpid();
    atomic_store(&exit_is_guarded, true);
    /* Fails only without memory; the guard is then not there, and nothing else
     * is wrong. */
    (void)atexit(on_exit_called);
    (void)at_quick_exit(on_exit_called);
}

void crash_allow_exit(void)
{
    atomic_store(&exit_is_guarded, false);
}
