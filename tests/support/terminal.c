/* See terminal.h. */
#include "terminal.h"

#include <poll.h>
#include <string.h>

enum { ARGUMENTS_MAX = 16, OURS = 6 };

/* A server in the foreground ends with its parent; -D needs version 3.3. */
bool terminal_can(void)
{
    struct process *probe = process_start(
        &(struct process_options){.argv = ARGS("tmux", "-D", "-V")});
    const int code = process_code(process_wait_exit(probe));

    process_free(probe);
    return code == 0;
}

/* Returns its exit code. */
static int run(const struct terminal *terminal, const char *const *arguments, const char **ret_out,
               const char **ret_err)
{
    const char *argv[ARGUMENTS_MAX] = {"tmux", "-N", "-S", terminal->socket, "-f", "/dev/null"};
    struct process *tmux;
    int code;

    for (size_t i = OURS; *arguments && i < ARGUMENTS_MAX - 1; i++)
        argv[i] = *arguments++;
    tmux = process_start(
        &(struct process_options){.argv = argv, .env = ARGS("TMUX", "LC_ALL=C.UTF-8")});
    code = process_code(process_wait_exit(tmux));
    *ret_out = textf("%s", process_stdout(tmux));
    *ret_err = textf("%s", process_stderr(tmux));
    process_free(tmux);
    return code;
}

const char *terminal_run(const struct terminal *terminal, const char *const *arguments)
{
    const char *out, *err;
    const int code = run(terminal, arguments, &out, &err);

    if (code != 0)
        test_die("tmux %s: %d: %s", *arguments, code, err);
    return out;
}

/* Returns once its server listens. */
struct terminal terminal_open(const char *dir, const char *command)
{
    const char *const begin[] = {"new-session",
                                 "-d",
                                 "-x",
                                 "120",
                                 "-y",
                                 "24",
                                 textf("%s; echo \"ended with $?\"; read -r line", command),
                                 NULL};
    const int64_t until = now_ns() + 20000000000;
    struct terminal terminal = {.socket = textf("%s/tmux", dir)};
    const char *out, *err;

    terminal.server = process_start(&(struct process_options){
        .argv = ARGS("tmux", "-D", "-S", terminal.socket, "-f", "/dev/null"),
        .env = ARGS("TMUX", "LC_ALL=C.UTF-8")});
    while (run(&terminal, begin, &out, &err) != 0) {
        if (now_ns() > until || !process_alive(terminal.server))
            test_die("tmux: %s%s", err, process_stderr(terminal.server));
        poll(NULL, 0, 5);
    }
    return terminal;
}

const char *terminal_shown(const struct terminal *terminal)
{
    return TERMINAL(terminal, "capture-pane", "-p");
}

const char *terminal_await(const struct terminal *terminal, const char *text)
{
    const int64_t until = now_ns() + 20000000000;
    const char *screen;

    while (!strstr(screen = terminal_shown(terminal), text)) {
        if (now_ns() > until)
            test_die("no \"%s\" on the terminal:\n%s", text, screen);
        poll(NULL, 0, 10);
    }
    return screen;
}

void terminal_close(const struct terminal *terminal)
{
    TERMINAL(terminal, "kill-server");
    process_wait_exit(terminal->server);
    process_free(terminal->server);
}
