/* A terminal for programs that want one: tmux, with a server of its own.
 *
 *     if (!terminal_can())
 *         cr_skip("tmux 3.3 is not installed");
 *     struct terminal terminal = terminal_open(dir, "redis-cli");
 *     TERMINAL(&terminal, "send-keys", "PING", "Enter");
 *     terminal_await(&terminal, "PONG");
 *     terminal_close(&terminal);
 *
 * What fails ends in test_die(), with what the terminal showed. */
#ifndef TESTS_SUPPORT_TERMINAL_H
#define TESTS_SUPPORT_TERMINAL_H

#include "process.h"

struct terminal {
    const char *socket;
    struct process *server; /* ends with the test, and what runs in it */
};

/* Whether there is tmux, 3.3 or later. */
bool terminal_can(void);

/* 120 columns, 24 lines; its socket is in the directory. Runs the command in a shell, then
 * shows "ended with CODE". */
struct terminal terminal_open(const char *dir, const char *command);

/* A command of tmux, and what it says. */
const char *terminal_run(const struct terminal *terminal, const char *const *arguments);
#define TERMINAL(terminal, ...) terminal_run((terminal), ARGS(__VA_ARGS__))

const char *terminal_shown(const struct terminal *terminal);

/* Until it shows the text: all that it shows. */
const char *terminal_await(const struct terminal *terminal, const char *text);

/* Ends tmux, and what runs in it. */
void terminal_close(const struct terminal *terminal);

#endif
