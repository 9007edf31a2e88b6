/* Crash lines and the exit guard. See crash.h for the invariants.
 *
 * Everything below on_crash() is async-signal-safe. The parts of the line that
 * need least come first, and the line is a static buffer: if making it faults,
 * what is there already is still written. */
#include "guard/crash.h"

#include "base/error.h"
#include "base/output.h"
#include "guard/crash_chain.h"
#include "guard/outcome.h"
#include "guard/registers.h"
#include "guard/symbol.h"
#include "guard/trace.h"

#include <errno.h>
#include <execinfo.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    LINE_SIZE = 4096, /* PIPE_BUF: one write of it is never torn */
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

static atomic_int telling_thread; /* its tid; 0: no crash */
static volatile sig_atomic_t told_signal;
static volatile sig_atomic_t context_is_told;
static volatile sig_atomic_t lost_count;
static char line_bytes[LINE_SIZE];
static struct safe_text line;

static bool (*take_sigsys)(siginfo_t *info, void *context);
static bool (*take_sigbus)(siginfo_t *info, void *context);
static void (*exit_cleanup)(void);
static pid_t guarded_process;
static atomic_bool exit_is_guarded;

/* ---- where and what ---- */

const struct crash_context *crash_context_here(void)
{
    return &crash_context_;
}

struct crash_place crash_place_of(const struct crash_context *context)
{
    if ((uint32_t)atomic_load_explicit(&context->calls, memory_order_relaxed) == 0)
        return (struct crash_place){NULL, NULL, NULL};
    return crash_last_place_of(context);
}

struct crash_place crash_last_place_of(const struct crash_context *context)
{
    return (struct crash_place){
        atomic_load_explicit(&context->service, memory_order_relaxed),
        atomic_load_explicit(&context->plugin, memory_order_relaxed),
        atomic_load_explicit(&context->callback, memory_order_relaxed),
    };
}

void crash_thread_is_loop(void)
{
    crash_context_.is_loop = true;
}

void crash_thread_is_forked(void)
{
    crash_context_.is_forked = true;
    atomic_store(&crash_context_.attention, CRASH_ATTENTION_FORKED);
    crash_context_.is_loop = false; /* so that nothing is sent to the daemon's clients */
}

const char *crash_callback_name(crash_code callback, char *room, size_t size)
{
    struct symbol symbol;
    struct safe_text text;

    if (!callback)
        return "constructors";
    safe_text_init(&text, room, size);
    if (symbol_find((uintptr_t)callback, 0, &symbol) && *symbol.function &&
        symbol.function_offset == 0)
        safe_text_add(&text, symbol.function);
    else
        symbol_add(&text, (uintptr_t)callback, 0);
    room[text.used] = '\0';
    return room;
}

/* A call through a bad pointer leaves the counter where there is no code. Then
 * this undoes the call in the context, so that the unwinder, which starts from
 * it, finds its way. May fault, where the stack is bad too. */
__attribute__((no_sanitize("address", "thread", "alignment"))) static bool
undo_call_to_nowhere(ucontext_t *user)
{
    const uintptr_t stack = (uintptr_t)REGISTERS_STACK(user);
    uintptr_t caller;

    if (symbol_object((uintptr_t)REGISTERS_COUNTER(user)) || !stack || stack % sizeof caller != 0)
        return false;
#ifdef REGISTERS_LINK
    caller = (uintptr_t)REGISTERS_LINK(user);
#else
    caller = *(const volatile uintptr_t *)stack;
#endif
    if (!symbol_object(caller))
        return false;
#ifndef REGISTERS_LINK
    REGISTERS_STACK(user) += (greg_t)sizeof caller;
#endif
    REGISTERS_COUNTER(user) = (__typeof__(REGISTERS_COUNTER(user)))caller;
    return true;
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
    const struct crash_place place = crash_place_of(&crash_context_);
    struct symbol symbol;

    context_is_told = true;
    add_step(text);
    if (place.service || place.plugin) {
        if (place.service) {
            safe_text_add(text, ", service ");
            safe_text_add(text, place.service);
        }
        if (place.plugin) {
            safe_text_add(text, place.service ? " (plugin " : ", plugin ");
            safe_text_add(text, place.plugin);
            safe_text_add(text, place.service ? ")" : "");
        }
    } else if (symbol_find(blamed, SYMBOL_NO_FILES, &symbol)) {
        safe_text_add(text, ", object ");
        safe_text_add(text, symbol.object);
    }
    add_thread(text);
}

/* One write(2). A stderr that nobody reads must not keep the process alive, so
 * it is only written when it can take the line; PIPE_BUF bytes fit then. */
static void write_line(struct safe_text *text)
{
    struct pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT};
    char head[OUTPUT_HEAD_MAX];
    struct iovec parts[] = {{head, output_head(OUTPUT_ERROR, head)}, {text->bytes, 0}};
    ssize_t written;

    if (text->used >= text->size)
        text->used = text->size - 1;
    text->bytes[text->used] = '\n';
    parts[1].iov_len = text->used + 1;
    if (poll(&stderr_poll, 1, STDERR_WAIT_MS) == 0)
        return;
    do
        written = writev(STDERR_FILENO, parts, 2);
    while (written < 0 && errno == EINTR);
}

/* A fault: the counter is the place. The trace, which may itself fault where
 * the stack is damaged, comes last. A core shows the registers as they were. */
static void tell_fault(ucontext_t *user, struct trace *trace)
{
    const __typeof__(REGISTERS_COUNTER(user)) counter = REGISTERS_COUNTER(user);
    const __typeof__(REGISTERS_STACK(user)) stack = REGISTERS_STACK(user);
    bool was_call;

    symbol_add(&line, (uintptr_t)counter, trace_how_to_look(true));
    was_call = undo_call_to_nowhere(user);
    if (was_call) {
        safe_text_add(&line, " called from ");
        symbol_add(&line, (uintptr_t)REGISTERS_COUNTER(user), trace_how_to_look(false));
    }
    add_context(&line, (uintptr_t)REGISTERS_COUNTER(user));
    trace_take(trace, (uintptr_t)REGISTERS_COUNTER(user));
    trace->first_is_exact = !was_call;
    REGISTERS_COUNTER(user) = counter;
    REGISTERS_STACK(user) = stack;
}

static void add_exception(struct safe_text *text)
{
    const struct crash_place place = crash_place_of(&crash_context_);
    char name[128];

    safe_text_add(text, " as an exception left ");
    if (place.callback)
        safe_text_add(text, crash_callback_name(place.callback, name, sizeof name));
    else
        safe_text_add(text, "a thread");
    safe_text_add(text, ", thrown in ");
}

/* abort() and the like: the counter is in libc, and the trace has whom to name. */
static void tell_own_doing(const ucontext_t *user, struct trace *trace)
{
    uintptr_t blamed;

    trace_take(trace, (uintptr_t)REGISTERS_COUNTER(user));
    trace_skip_libc(trace);
    if (trace_skip_terminate(trace))
        add_exception(&line);
    else
        safe_text_add(&line, " in ");
    blamed = (uintptr_t)trace->frames[trace->first];
    symbol_add(&line, blamed, trace_how_to_look(trace->first_is_exact));
    add_context(&line, blamed);
}

static void tell_crash(const siginfo_t *info, ucontext_t *user)
{
    static struct trace trace; /* only one thread ever gets here; stacks are small */

    safe_text_add(&line, "rpd: crash: ");
    add_cause(&line, info, (uintptr_t)REGISTERS_STACK(user));
    if (is_own_doing(info)) {
        tell_own_doing(user, &trace);
    } else {
        safe_text_add(&line, " in ");
        tell_fault(user, &trace);
    }
    safe_text_add(&line, "; backtrace: ");
    trace_add(&line, &trace);
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

static _Noreturn void end_of(int number)
{
    write_line(&line);
    line.bytes[line.used] = '\0'; /* in place of the newline */
    outcome_ended(128 + number, line.bytes);
    die_of(number);
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
    end_of(told_signal);
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

    if ((number == SIGSYS && take_sigsys && take_sigsys(info, context)) ||
        (number == SIGBUS && take_sigbus && take_sigbus(info, context)))
        return;
    if (crash_chain_take(number, info, context))
        return;
    if (!atomic_compare_exchange_strong(&telling_thread, &teller, me)) {
        if (teller != me)
            wait_for_the_end(number);
        on_second_fault(number);
    }
    told_signal = number;
    safe_text_init(&line, line_bytes, sizeof line_bytes);
    set_deadline();
    tell_crash(info, context);
    end_of(number);
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

void crash_except_sigsys(bool (*take)(siginfo_t *info, void *context))
{
    take_sigsys = take;
}

void crash_except_sigbus(bool (*take)(siginfo_t *info, void *context))
{
    take_sigbus = take;
}

void crash_prepare_backtrace(void)
{
    trace_prepare();
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
    atomic_store(&crash_context_.calls, 0);
    crash_context_.thread = NULL;
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
    void *frames[TRACE_FRAMES_MAX];
    const int count = backtrace(frames, TRACE_FRAMES_MAX);
    int at = 0;

    while (at < count && !trace_is_libc(frames[at]))
        at++;
    while (at < count && trace_is_libc(frames[at]))
        at++;
    return at < count ? (uintptr_t)frames[at] : 0;
}

/* "plugin echo.so". Outside of callbacks the caller's object tells: a thread
 * that a plugin has started is that plugin's. */
static void add_culprit(struct safe_text *text, uintptr_t caller)
{
    const struct crash_place place = crash_place_of(&crash_context_);
    struct symbol symbol;
    const char *name = "(unknown)";
    bool is_own = false;

    if (place.plugin) {
        name = place.plugin;
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
    symbol_add(&text, caller, trace_how_to_look(false));
    add_context(&text, caller);
    safe_text_add(&text, "; a plugin must not end the process: let it return an error instead");
    write_line(&text);
    bytes[text.used] = '\0'; /* in place of the newline */
    outcome_note(bytes);
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
    outcome_ended(EXIT_INTERNAL, NULL);
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
