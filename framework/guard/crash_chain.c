/* Handlers that came with plugins. See crash_chain.h. */
#include "guard/crash_chain.h"

#include "guard/registers.h"
#include "guard/symbol.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHAIN_MAX = 32,
    SAME_MAX = 1000 /* so many faults of one place in a row: no handler resolves them */
};

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE};
enum { FAULTS = sizeof faults / sizeof *faults };

/* Only grows. */
static struct {
    int number;
    struct sigaction theirs;
} chain[CHAIN_MAX];
static atomic_size_t chain_count;

/* Of this thread. */
static __thread struct {
    uintptr_t frame; /* of the last offer: below it, their handler has called ours */
    uintptr_t counter, address;
    unsigned same;
} here __attribute__((tls_model("initial-exec")));

bool crash_chain_add(int number, const struct sigaction *theirs)
{
    const size_t count = atomic_load(&chain_count);
    bool is_fault = false;

    for (size_t i = 0; i < FAULTS; i++)
        is_fault = is_fault || faults[i] == number;
    if (!is_fault || theirs->sa_handler == SIG_DFL || theirs->sa_handler == SIG_IGN ||
        count == CHAIN_MAX)
        return false;
    chain[count].number = number;
    chain[count].theirs = *theirs;
    atomic_store(&chain_count, count + 1);
    return true;
}

/* That of the object in whose code it happened. */
static const struct sigaction *find(int number, uintptr_t counter)
{
    const void *object = symbol_object(counter);
    const size_t count = atomic_load(&chain_count);

    for (size_t i = 0; object && i < count; i++)
        if (chain[i].number == number &&
            symbol_object((uintptr_t)chain[i].theirs.sa_sigaction) == object)
            return &chain[i].theirs;
    return NULL;
}

static bool is_endless(uintptr_t counter, uintptr_t address)
{
    here.same = counter == here.counter && address == here.address ? here.same + 1 : 0;
    here.counter = counter;
    here.address = address;
    return here.same > SAME_MAX;
}

/* While it runs, what it raises waits. Whether it has dealt with the fault. */
static bool offer(const struct sigaction *theirs, int number, siginfo_t *info, void *context)
{
    sigset_t raised, before, pending;
    struct sigaction now, ours;
    bool gave_up;

    sigemptyset(&raised);
    sigaddset(&raised, number);
    pthread_sigmask(SIG_BLOCK, &raised, &before);
    sigaction(number, NULL, &ours);
    if (theirs->sa_flags & SA_SIGINFO)
        theirs->sa_sigaction(number, info, context);
    else
        theirs->sa_handler(number);
    sigpending(&pending);
    sigaction(number, NULL, &now);
    gave_up = sigismember(&pending, number) == 1 || now.sa_handler == SIG_DFL;
    if (gave_up) /* What is pending dies with the process. */
        sigaction(number, &ours, NULL);
    else
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !gave_up;
}

bool crash_chain_take(int number, siginfo_t *info, void *context)
{
    const uintptr_t counter = (uintptr_t)REGISTERS_COUNTER((ucontext_t *)context);
    const uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    const struct sigaction *theirs;
    bool was_taken;

    if (info->si_code <= 0 || atomic_load(&chain_count) == 0 || frame < here.frame)
        return false;
    theirs = find(number, counter);
    if (!theirs || is_endless(counter, (uintptr_t)info->si_addr))
        return false;
    here.frame = frame;
    was_taken = offer(theirs, number, info, context); /* returns, or jumps where it likes */
    here.frame = 0;
    return was_taken;
}
