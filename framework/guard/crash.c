/* Crash lines. See crash.h for the invariants.
 *
 * Everything below on_crash() is async-signal-safe. The parts of the line that
 * need least come first, and the line is a static buffer: if making it faults,
 * what is there already is still written. */
#include "guard/crash.h"

#include "guard/crash_chain.h"
#include "guard/foreign.h"
#include "guard/last_line.h"
#include "guard/outcome.h"
#include "guard/registers.h"
#include "guard/symbol.h"
#include "guard/trace.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    STACK_SIZE = 64 * 1024,
    OVERFLOW_REACH = 64 * 1024, /* a fault this near to the stack pointer is an overflow */
    TELL_SECONDS = 5            /* a line that takes longer hangs */
};

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
enum { CRASH_SIGNALS = sizeof crash_signals / sizeof *crash_signals };

/* A thread's stack for handlers, and what was there before (a sanitizer's). */
static __thread struct {
    void *mapping; /* NULL: none */
    size_t size;
    stack_t previous;
} own_stack __attribute__((tls_model("initial-exec")));

static atomic_int telling_thread; /* its tid; 0: no crash */
static volatile sig_atomic_t told_signal;
static volatile sig_atomic_t context_is_told;
static volatile sig_atomic_t lost_count;
static char line_bytes[LAST_LINE_MAX];
static struct text_builder line;

static bool (*take_sigsys)(siginfo_t *info, void *context);
static bool (*take_sigbus)(siginfo_t *info, void *context);

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

static void add_cause(struct text_builder *text, const siginfo_t *info, uintptr_t stack)
{
    const uintptr_t address = (uintptr_t)info->si_addr;

    text_add(text, signal_name(info->si_signo));
    if (info->si_code <= 0) { /* not a fault: kill() or raise() */
        if (!is_own_doing(info)) {
            text_add(text, " sent by process ");
            text_add_decimal(text, info->si_pid);
        }
    } else if (info->si_signo == SIGSYS) {
        text_add(text, " for system call ");
        text_add_decimal(text, info->si_syscall);
    } else if (info->si_signo != SIGSEGV && info->si_signo != SIGBUS) {
        return;                              /* the address is the instruction's, which follows */
    } else if (info->si_code == SI_KERNEL) { /* the kernel does not report it */
        text_add(text, " at an impossible address");
    } else {
        text_add(text, " at address ");
        text_add_hex(text, address);
        if (address + OVERFLOW_REACH > stack && address < stack + OVERFLOW_REACH)
            text_add(text, " (stack overflow)");
    }
}

static void add_context(struct text_builder *text, uintptr_t blamed)
{
    context_is_told = true;
    last_line_add_context(text, blamed);
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
        text_add(&line, " called from ");
        symbol_add(&line, (uintptr_t)REGISTERS_COUNTER(user), trace_how_to_look(false));
    }
    add_context(&line, (uintptr_t)REGISTERS_COUNTER(user));
    trace_take(trace, (uintptr_t)REGISTERS_COUNTER(user));
    trace->first_is_exact = !was_call;
    REGISTERS_COUNTER(user) = counter;
    REGISTERS_STACK(user) = stack;
}

static void add_exception(struct text_builder *text)
{
    const struct foreign_place place = foreign_place_of(&foreign_context_);
    char name[128];

    text_add(text, " as an exception left ");
    if (place.callback)
        text_add(text, foreign_callback_name(place.callback, name, sizeof name));
    else
        text_add(text, "a thread");
    text_add(text, ", thrown in ");
}

/* abort() and the like: the counter is in libc, and the trace has the function to name. */
static void tell_own_doing(const ucontext_t *user, struct trace *trace)
{
    uintptr_t blamed;

    trace_take(trace, (uintptr_t)REGISTERS_COUNTER(user));
    trace_skip_libc(trace);
    if (trace_skip_terminate(trace))
        add_exception(&line);
    else
        text_add(&line, " in ");
    blamed = (uintptr_t)trace->frames[trace->first];
    symbol_add(&line, blamed, trace_how_to_look(trace->first_is_exact));
    add_context(&line, blamed);
}

static void tell_crash(const siginfo_t *info, ucontext_t *user)
{
    static struct trace trace; /* only one thread ever gets here; stacks are small */

    text_add(&line, "rpd: crash: ");
    add_cause(&line, info, (uintptr_t)REGISTERS_STACK(user));
    if (is_own_doing(info)) {
        tell_own_doing(user, &trace);
    } else {
        text_add(&line, " in ");
        tell_fault(user, &trace);
    }
    text_add(&line, "; backtrace: ");
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
    last_line_write(&line);
    line.bytes[line.used] = '\0'; /* in place of the newline */
    outcome_ended(128 + number, line.bytes);
    die_of(number);
}

/* A second fault on the thread that reports the first, or the alarm: what there
 * is of the line is written. A damaged stack may have cost the trace, which an
 * abort needs first; step and service can still be reported. Should that fault as
 * well, the next round leaves it; a fault after that meets the defaults. */
static void on_second_fault(int number)
{
    (void)number;
    if (++lost_count == 1 && !context_is_told && gettid() == atomic_load(&telling_thread)) {
        text_add(&line, "an unknown place");
        add_context(&line, 0);
    }
    restore_defaults();
    text_add(&line, " ... (the rest of this line was lost: reporting it failed)");
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

/* Another thread reports its crash already; it will end the process, and this
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
    text_init(&line, line_bytes, sizeof line_bytes);
    set_deadline();
    tell_crash(info, context);
    end_of(number);
}

/* Crash signals stay open within the handler: a fault in it must come here,
 * to what has been reported so far, and not end in silence. All others are held
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

    foreign_context_.thread = thread_name;
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
    atomic_store(&foreign_context_.calls, 0);
    foreign_context_.thread = NULL;
    if (!own_stack.mapping)
        return;
    if (sigaltstack(&own_stack.previous, NULL) == 0)
        munmap(own_stack.mapping, own_stack.size);
    own_stack.mapping = NULL;
}
