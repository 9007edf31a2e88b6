/* Signals. See signals.h. Handlers have no argument, so their state is global
 * to this file; all of it is atomic. */
#include "guard/signals.h"

#include "base/output.h"
#include "guard/outcome.h"
#include "guard/residue.h"
#include "guard/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
    atomic_int stops, interrupts, hangups;
    atomic_int stop_limit_ms;
    atomic_int fd;
} signals = {.fd = -1};

static void wake_loop(void)
{
    const uint64_t one = 1;

    if (signals.fd >= 0 && write(signals.fd, &one, sizeof one) < 0) {
        /* full: the loop is awake already */
    }
}

static void end_now(void)
{
#define WHY "stop: SIGINT: interrupted twice; ended without draining"
    static const char line[] = "rpd: " WHY "\n";

    residue_remove();
    output_write(line, sizeof line - 1);
    outcome_ended(EXIT_INTERNAL, WHY);
#undef WHY
    _exit(EXIT_INTERNAL);
}

static void on_signal(int number)
{
    const int saved = errno;

    if (number == SIGHUP) {
        atomic_fetch_add(&signals.hangups, 1);
    } else {
        if (number == SIGINT && atomic_fetch_add(&signals.interrupts, 1) > 0)
            end_now();
        if (atomic_fetch_add(&signals.stops, 1) == 0 && atomic_load(&signals.stop_limit_ms) > 0)
            watchdog_arm(WATCHDOG_STOP, atomic_load(&signals.stop_limit_ms));
    }
    wake_loop();
    errno = saved;
}

static void on_nothing(int number)
{
    (void)number;
}

void signals_tolerate_others(void)
{
    static const int harmless[] = {SIGUSR1, SIGUSR2, SIGIO,     SIGALRM, SIGVTALRM,
                                   SIGPROF, SIGPWR,  SIGSTKFLT, SIGXFSZ};
    const struct sigaction action = {.sa_handler = on_nothing, .sa_flags = SA_RESTART};

    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        sigaction(harmless[i], &action, NULL);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        sigaction(number, &action, NULL);
}

void signals_install(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action = {.sa_flags = SA_RESTART};
    sigset_t all;

    sigfillset(&action.sa_mask);
    action.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        sigaction(handled[i], &action, NULL);
    /* A handler that does nothing, where SIG_IGN would be inherited by programs
     * that a plugin starts. */
    action.sa_handler = on_nothing;
    sigaction(SIGPIPE, &action, NULL);
    /* Ignored, as some shells and supervisors leave it, a plugin's system() and
     * waitpid() would find no child. */
    signal(SIGCHLD, SIG_DFL);
    /* Whoever started us may have blocked them. */
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

int signals_open(struct error *error)
{
    /* (Not zero: the loop begins with what came before.) */
    signals.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    if (signals.fd < 0)
        return error_set(error, EXIT_SYSTEM, "start", "signals",
                         "cannot make an eventfd: %s; raise the limit of descriptors",
                         strerror(errno));
    return 0;
}

int signals_reopen(void)
{
    const int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd >= 0)
        signals.fd = fd;
    return fd < 0 ? -1 : 0;
}

bool signals_stop_requested(void)
{
    return atomic_load(&signals.stops) > 0;
}

int signals_take_hangups(void)
{
    return atomic_exchange(&signals.hangups, 0);
}

int signals_fd(void)
{
    return signals.fd;
}

void signals_clear(void)
{
    uint64_t count;

    if (read(signals.fd, &count, sizeof count) < 0) {
        /* nothing there: as it should be */
    }
}

void signals_limit_stop(int milliseconds)
{
    atomic_store(&signals.stop_limit_ms, milliseconds);
    if (signals_stop_requested())
        watchdog_arm(WATCHDOG_STOP, milliseconds);
}

void signals_finish(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP};

    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        signal(handled[i], SIG_IGN);
    if (signals.fd >= 0)
        close(signals.fd);
}
