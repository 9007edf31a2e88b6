/* Handles faults in its own code, as a language runtime does: with a handler that its constructor
 * installs, and that remembers the previous one. A client says how.
 *
 *     step     the handler continues behind the fault, as Go's does
 *     jump     it jumps out of the handler
 *     pass     it calls the previous handler: the fault is not its own
 *     raise    it raises the signal again, with the default action
 *     again    it raises the signal again, and does nothing else
 *     nothing  it returns, and the fault is repeated
 *     libc     the fault is in libc's code
 *     libcjump likewise, and it tries to jump out of it */
#include <rpd/backend.h>

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

static struct sigaction before;
static sigjmp_buf out;
static char how[16];

static __attribute__((noinline)) int fault(const volatile int *nowhere)
{
    return *nowhere;
}

static int recovered(void)
{
    return 7;
}

/* The fault is the first instruction of a function that returns an int. */
static void step_past(ucontext_t *user)
{
#if defined(__x86_64__)
    user->uc_mcontext.gregs[REG_RIP] = (greg_t)recovered;
#elif defined(__aarch64__)
    user->uc_mcontext.pc = (unsigned long long)recovered;
#else
    (void)user;
    siglongjmp(out, 1);
#endif
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    if (strcmp(how, "step") == 0)
        step_past(context);
    else if (strcmp(how, "jump") == 0 || strcmp(how, "libcjump") == 0)
        siglongjmp(out, 1);
    else if (strcmp(how, "again") == 0)
        raise(number);
    else if (strcmp(how, "raise") == 0) {
        signal(number, SIG_DFL);
        raise(number);
    } else if (strcmp(how, "pass") == 0)
        before.sa_sigaction(number, info, context);
}

static __attribute__((constructor)) void install(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    action.sa_sigaction = on_fault;
    sigfillset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before);
}

static int try_it(void)
{
    void *volatile nowhere = NULL;

    if (sigsetjmp(out, 1))
        return 8;
    return strncmp(how, "libc", 4) == 0 ? (int)strlen(nowhere) : fault(nowhere);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line)) {
        const size_t size = line.size < sizeof how ? line.size : sizeof how - 1;

        memcpy(how, line.data, size);
        how[size] = '\0';
        rpd_conn_printf(conn, "%s: %d\n", how, try_it());
    }
}

RPD_BACKEND(own_faults, .summary = "Deals with its own faults", .on_data = on_data);
