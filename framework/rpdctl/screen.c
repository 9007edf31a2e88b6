/* The terminal. See rpdctl/screen.h. */
#include "rpdctl/screen.h"

#include "rpdctl/draw.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted, suspended;

static struct {
    char *shown; /* NULL: nothing yet */
    struct winsize size;
    sigset_t outside; /* the signal mask in which signals are taken */
    bool failed;
} screen;

static void on_signal(int number)
{
    if (number == SIGTSTP)
        suspended = 1;
    else if (number != SIGWINCH) /* SIGWINCH only ends the pause */
        interrupted = 1;
}

static bool flush(void)
{
    if (fflush(stdout) != 0)
        screen.failed = true;
    return !screen.failed;
}

/* Signals are only taken during a pause, so none is lost between a look at its flag and the
 * pause. */
static void take_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;

    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sigaddset(&blocked, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &blocked, &screen.outside);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigdelset(&screen.outside, numbers[i]);
}

static void forget(void)
{
    free(screen.shown);
    screen.shown = NULL;
}

static void clear(void)
{
    fputs("\x1b[?25l\x1b[H\x1b[J", stdout);
    forget();
}

void screen_begin(void)
{
    take_signals();
    clear();
}

static struct winsize terminal_size(void)
{
    struct winsize size = {0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    return size;
}

bool screen_show(const char *text)
{
    const struct winsize size = terminal_size();

    if (screen.shown && strcmp(screen.shown, text) == 0 && size.ws_row == screen.size.ws_row &&
        size.ws_col == screen.size.ws_col)
        return true;
    forget();
    screen.shown = strdup(text); /* without memory, the text is drawn again */
    screen.size = size;
    draw_screen(text, size.ws_row, size.ws_col, stdout);
    return flush();
}

/* Suspends the process as the shell expects; the text is drawn again when the process goes on. */
static void suspend(void)
{
    suspended = 0;
    fputs("\x1b[?25h", stdout);
    flush();
    raise(SIGSTOP);
    clear();
}

bool screen_pause(uint64_t us)
{
    const struct timespec pause = {.tv_sec = (time_t)(us / 1000000u),
                                   .tv_nsec = (long)(us % 1000000u) * 1000};

    ppoll(NULL, 0, &pause, &screen.outside);
    if (suspended)
        suspend();
    return !interrupted;
}

bool screen_has_failed(void)
{
    return screen.failed;
}

void screen_end(void)
{
    forget();
    fputs("\x1b[?25h", stdout);
    flush();
}
