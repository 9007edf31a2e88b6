/* The exit guard. See exit_guard.h. */
#include "guard/exit_guard.h"

#include "base/error.h"
#include "guard/foreign.h"
#include "guard/last_line.h"
#include "guard/outcome.h"
#include "guard/symbol.h"
#include "guard/trace.h"

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static void (*exit_cleanup)(void);
static pid_t guarded_process;
static atomic_bool exit_is_guarded;

/* The caller of exit(): past the guard's own frames and libc's. */
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

/* "plugin echo.so". Outside of callbacks the caller's object names it: a thread
 * that a plugin has started is that plugin's. */
static void add_culprit(struct text_builder *text, uintptr_t caller)
{
    const struct foreign_place place = foreign_place_of(&foreign_context_);
    struct symbol symbol;
    const char *name = "(unknown)";
    bool is_own = false;

    if (place.plugin) {
        name = place.plugin;
    } else if (symbol_find(caller, SYMBOL_NO_FILES | SYMBOL_RETURN_ADDRESS, &symbol)) {
        name = symbol.object;
        is_own = symbol.is_program ||
                 symbol_object(caller) == symbol_object((uintptr_t)exit_guard_install);
    }
    text_add(text, is_own ? "program " : "plugin ");
    text_add(text, symbol_base_name(name));
}

static void tell_exit(void)
{
    const uintptr_t caller = find_caller();
    struct text_builder text;
    char bytes[LAST_LINE_MAX];

    text_init(&text, bytes, sizeof bytes);
    text_add(&text, "rpd: exit: ");
    add_culprit(&text, caller);
    text_add(&text, " called exit(); from ");
    symbol_add(&text, caller, trace_how_to_look(false));
    last_line_add_context(&text, caller);
    text_add(&text, "; a plugin must not end the process: let it return an error instead");
    last_line_write(&text);
    bytes[text.used] = '\0'; /* in place of the newline */
    outcome_note(bytes);
}

/* Runs within exit(). */
static void on_exit_called(void)
{
    sigset_t pipe_only;

    if (getpid() != guarded_process || !atomic_exchange(&exit_is_guarded, false))
        return;
    sigemptyset(&pipe_only); /* the code must be ours even if stderr has no reader */
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, NULL);
    tell_exit();
    if (exit_cleanup)
        exit_cleanup();
    outcome_ended(EXIT_INTERNAL, NULL);
    _exit(EXIT_INTERNAL);
}

void exit_guard_install(void (*cleanup)(void))
{
    exit_cleanup = cleanup;
    guarded_process = getpid();
    atomic_store(&exit_is_guarded, true);
    /* Fails only without memory; the guard is then not there, and nothing else
     * is wrong. */
    (void)atexit(on_exit_called);
    (void)at_quick_exit(on_exit_called);
}

void exit_guard_allow(void)
{
    atomic_store(&exit_is_guarded, false);
}
