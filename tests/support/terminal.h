/* A terminal for programs that need one: tmux, with a server of its own.
 *
 *     if (!terminal_can())
 *         cr_skip("tmux 3.3 is not installed");
 *     struct terminal terminal = terminal_open(dir, "redis-cli");
 *     TERMINAL(&terminal, "send-keys", "PING", "Enter");
 *     terminal_await(&terminal, "PONG");
 *     terminal_close(&terminal);
 *
 * Failures end in test_die(), with the content of the terminal. */
#ifndef TESTS_SUPPORT_TERMINAL_H
#define TESTS_SUPPORT_TERMINAL_H

#include "process.h"

struct terminal {
    const char *socket;
    struct process *server; /* ends with the test, and so do the programs in it */
};

/* Whether tmux 3.3 or later is installed. */
bool terminal_can(void);

/* 120 columns, 24 lines; its socket is in the directory. Runs the command in a shell, then
 * shows "ended with CODE". */
struct terminal terminal_open(const char *dir, const char *command);

/* Runs a command of tmux, and returns its output. */
const char *terminal_run(const struct terminal *terminal, const char *const *arguments);
#define TERMINAL(terminal, ...) terminal_run((terminal), ARGS(__VA_ARGS__))

const char *terminal_shown(const struct terminal *terminal);

/* Waits until the terminal shows the text. Returns everything that it shows. */
const char *terminal_await(const struct terminal *terminal, const char *text);

/* Ends tmux, and the programs in it. */
void terminal_close(const struct terminal *terminal);

#endif
