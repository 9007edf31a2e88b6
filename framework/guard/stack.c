/* Stacks of other threads. See stack.h.
 *
 * There is one exchange, for one question at a time. Its state has the
 * question's number, so that an answer that comes after the asker has given up
 * finds that it is not wanted any more:
 *
 *     IDLE ──ask──► ASKED ──handler begins──► ANSWERING ──it ends──► ANSWERED ──► IDLE
 *                     │ asker gives up            │ asker gives up
 *                     └──► IDLE                   └──► ABANDONED ──handler ends──► IDLE
 *
 * All waiting is by looking again each millisecond, a bounded number of times:
 * questions are rare, and a process that was stopped meanwhile goes on where it
 * was. No lock is held that a thread could be stuck with. */
#include "guard/stack.h"

#include "guard/foreign.h"
#include "guard/registers.h"
#include "guard/symbol.h"
#include "guard/trace.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MS = 200, TURN_MS = 500 };

enum phase { IDLE, ASKED, ANSWERING, ANSWERED, ABANDONED, PHASES };

static struct {
    atomic_uint state; /* question's number * PHASES + phase */
    struct trace trace;
    struct foreign_place place;
} exchange;

static atomic_uint last_question;

const char stack_unknown[] = "an unknown place (it blocks all signals, or hangs in the kernel)";

int stack_signal(void)
{
    return SIGRTMAX - 2; /* the first ones are those that libraries take */
}

static unsigned state_of(unsigned question, enum phase phase)
{
    return question * PHASES + phase;
}

static bool change(unsigned question, enum phase from, enum phase to)
{
    unsigned expected = state_of(question, from);

    return atomic_compare_exchange_strong(&exchange.state, &expected, state_of(question, to));
}

/* ---- the thread that is asked ---- */

static void answer(unsigned question, const ucontext_t *user)
{
    if (!change(question, ASKED, ANSWERING))
        return; /* too late */
    trace_take(&exchange.trace, (uintptr_t)REGISTERS_COUNTER(user));
    exchange.place = foreign_place_of(foreign_here());
    if (!change(question, ANSWERING, ANSWERED))
        atomic_store(&exchange.state, state_of(question, IDLE));
}

/* Any process of the user may send us this signal; it means nothing then. */
static void on_asked(int number, siginfo_t *info, void *user)
{
    const int saved = errno;

    (void)number;
    if (info->si_code == SI_QUEUE && info->si_pid == getpid())
        answer((unsigned)info->si_value.sival_int, user);
    errno = saved;
}

/* Each time: a plugin may have put its own in its place. */
static void install(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    action.sa_sigaction = on_asked;
    sigemptyset(&action.sa_mask); /* a fault must be reported, here, too */
    sigaction(stack_signal(), &action, NULL);
}

/* ---- the asker ---- */

static void wait_a_millisecond(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    nanosleep(&pause, NULL);
}

static bool is_idle(unsigned state)
{
    return state % PHASES == IDLE;
}

/* Waits until no other question is open. */
static bool begin(unsigned *ret_question)
{
    const unsigned question = atomic_fetch_add(&last_question, 1) % (1U << 24);

    for (int i = 0; i < TURN_MS; i++) {
        unsigned state = atomic_load(&exchange.state);

        if (is_idle(state) &&
            atomic_compare_exchange_strong(&exchange.state, &state, state_of(question, ASKED))) {
            *ret_question = question;
            return true;
        }
        wait_a_millisecond();
    }
    return false;
}

static bool wait_for_answer(unsigned question)
{
    for (int i = 0; i < ANSWER_MS; i++) {
        if (atomic_load(&exchange.state) == state_of(question, ANSWERED))
            return true;
        wait_a_millisecond();
    }
    return false;
}

static bool ask(pthread_t thread, unsigned question)
{
    const union sigval value = {.sival_int = (int)question};

    install();
    if (pthread_sigqueue(thread, stack_signal(), value) == 0 && wait_for_answer(question))
        return true;
    if (change(question, ASKED, IDLE))
        return false;
    /* It answers at this very moment. */
    return wait_for_answer(question) || !change(question, ANSWERING, ABANDONED);
}

static const char *object_of(const struct trace *trace)
{
    struct trace outside = *trace;
    uintptr_t blamed;
    struct symbol symbol;

    trace_skip_libc(&outside);
    blamed = (uintptr_t)outside.frames[outside.first];
    if (symbol_object(blamed) == symbol_object((uintptr_t)stack_of_thread) ||
        !symbol_find(blamed, SYMBOL_NO_FILES | SYMBOL_RETURN_ADDRESS, &symbol))
        return NULL;
    return symbol.object;
}

bool stack_of_thread(pthread_t thread, struct stack *ret)
{
    struct text_builder text;
    struct trace trace;
    unsigned question;

    if (!begin(&question) || !ask(thread, question))
        return false;
    trace = exchange.trace;
    ret->place = exchange.place;
    atomic_store(&exchange.state, state_of(question, IDLE));
    ret->object = ret->place.plugin ? NULL : object_of(&trace);
    trace_cut_callers(&trace);
    text_init(&text, ret->text, sizeof ret->text);
    trace_add(&text, &trace);
    return true;
}
