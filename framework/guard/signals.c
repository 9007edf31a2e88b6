/* Signals. See signals.h. Handlers have no argument, so their state is global
 * to this file; all of it is atomic. */
#include "guard/signals.h"

#include "base/output.h"
#include "base/safe_text.h"
#include "guard/outcome.h"
#include "guard/residue.h"
#include "guard/symbol.h"
#include "guard/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SENDER_NONE, SENDER_IS_WRITTEN, SENDER_IS_KNOWN };

/* The sender of a signal. A handler fills it, and the loop reads it, as the state allows. */
struct sender {
    atomic_int state; /* one of these */
    int number;
    bool is_process; /* not the kernel, for a terminal */
    pid_t pid;
    uid_t uid;
    char command[17];
};

static struct {
    atomic_int stops, interrupts, hangups, reopens;
    atomic_int stop_limit_ms;
    atomic_int fd;
    struct sender stop, hangup; /* whose signal it was */
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
    output_write(OUTPUT_ERROR, line, sizeof line - 1);
    outcome_ended(EXIT_INTERNAL, WHY);
#undef WHY
    _exit(EXIT_INTERNAL);
}

/* While it lives: `kill` is gone by the time the loop turns. "": /proc does not say. */
static void read_command(pid_t pid, char command[17])
{
    char path[32];
    struct text_builder text;
    ssize_t got = -1;
    int fd;

    text_init(&text, path, sizeof path - 1);
    text_add(&text, "/proc/");
    text_add_decimal(&text, pid);
    text_add(&text, "/comm");
    path[text.used] = '\0';
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        got = read(fd, command, 16);
        close(fd);
    }
    if (got > 0 && command[got - 1] == '\n')
        got--;
    command[got > 0 ? got : 0] = '\0';
}

static void note_sender(struct sender *sender, const siginfo_t *info)
{
    int none = SENDER_NONE;

    if (!atomic_compare_exchange_strong(&sender->state, &none, SENDER_IS_WRITTEN))
        return;
    sender->number = info->si_signo;
    sender->is_process = info->si_code <= 0;
    sender->pid = sender->is_process ? info->si_pid : 0;
    sender->uid = sender->is_process ? info->si_uid : 0;
    sender->command[0] = '\0';
    if (sender->pid > 0)
        read_command(sender->pid, sender->command);
    atomic_store(&sender->state, SENDER_IS_KNOWN);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    const int saved = errno;

    (void)context;
    if (number == SIGUSR1) {
        atomic_fetch_add(&signals.reopens, 1);
    } else if (number == SIGHUP) {
        note_sender(&signals.hangup, info);
        atomic_fetch_add(&signals.hangups, 1);
    } else {
        if (number == SIGINT && atomic_fetch_add(&signals.interrupts, 1) > 0)
            end_now();
        note_sender(&signals.stop, info);
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
    static const int harmless[] = {SIGUSR2, SIGIO,  SIGALRM,   SIGVTALRM,
                                   SIGPROF, SIGPWR, SIGSTKFLT, SIGXFSZ};
    const struct sigaction action = {.sa_handler = on_nothing, .sa_flags = SA_RESTART};

    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        sigaction(harmless[i], &action, NULL);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        sigaction(number, &action, NULL);
}

void signals_install(void)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct sigaction action = {.sa_flags = SA_RESTART | SA_SIGINFO};
    sigset_t all;

    sigfillset(&action.sa_mask);
    action.sa_sigaction = on_signal;
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        sigaction(handled[i], &action, NULL);
    /* A handler that does nothing, where SIG_IGN would be inherited by programs
     * that a plugin starts. */
    action.sa_flags = SA_RESTART;
    action.sa_handler = on_nothing;
    sigaction(SIGPIPE, &action, NULL);
    /* Ignored, as some shells and supervisors leave it, waitpid() and all that
     * stands on it would find no child in a plugin. */
    signal(SIGCHLD, SIG_DFL);
    /* The process that started us may have blocked them. */
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

int signals_open(struct error *error)
{
    /* Not zero: the loop begins with the signals that came before. */
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

bool signals_take_reopen(void)
{
    return atomic_exchange(&signals.reopens, 0) > 0;
}

static void describe(struct sender *sender, char ret_text[SIGNALS_TEXT_MAX])
{
    const bool is_known = atomic_load(&sender->state) == SENDER_IS_KNOWN;
    const char *name = is_known ? sigabbrev_np(sender->number) : NULL;

    if (!name) {
        snprintf(ret_text, SIGNALS_TEXT_MAX, "a signal");
        return;
    }
    safe_text(sender->command); /* a process may choose any name */
    if (!sender->is_process)
        snprintf(ret_text, SIGNALS_TEXT_MAX, "SIG%s from the kernel (for a terminal)", name);
    else if (sender->pid == 0)
        snprintf(ret_text, SIGNALS_TEXT_MAX, "SIG%s from outside of this pid namespace", name);
    else
        snprintf(ret_text, SIGNALS_TEXT_MAX, "SIG%s from pid %d (%s), uid %u", name,
                 (int)sender->pid, *sender->command ? sender->command : "its command is hidden",
                 (unsigned)sender->uid);
}

void signals_describe_stop(char ret_text[SIGNALS_TEXT_MAX])
{
    describe(&signals.stop, ret_text);
}

void signals_describe_hangup(char ret_text[SIGNALS_TEXT_MAX])
{
    describe(&signals.hangup, ret_text);
    atomic_store(&signals.hangup.state, SENDER_NONE);
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
    static const int handled[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
        signal(handled[i], SIG_IGN);
    if (signals.fd >= 0)
        close(signals.fd);
}
