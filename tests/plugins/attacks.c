/* The backends with which bugs were once found. The option mode selects one:
 *
 *     until_end   consumes nothing until the end of input, then echoes it all
 *     big_at_end  writes 800 KiB at the end of input
 *     resume      resumes in on_data; consumes whole lines only
 *     slow        takes 2 ms for each on_data; reports a client that has sent much
 *     log         logs a line for each line, and answers "ok"
 *     log_long    the same, with the longest line that there is
 *     finish      answers "bye" and finishes
 *     fork        forks at each line; answers with the pid of the child, which sleeps
 *     roles       each client's first byte is its role; see on_role()
 *
 * With parts, the state is loaded in that many parts of part_ms each, which then wait at the gate,
 * if there is one. The option load selects a fault:
 *
 *     no_reason   fails, with an empty text
 *     gate        fails as soon as there is a byte in the FIFO $TEST_LOAD_GATE
 *     long        waits until it is cancelled
 *     deaf        parts block all signals and never return
 *     optional    the first of two parts is optional, and never returns */
#include <rpd/backend.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("mode", "", "what it does"),
    RPD_OPTION_STRING("load", "", "what is wrong with the load"),
    RPD_OPTION_INTEGER("parts", 0, 0, 1000, "how many parts"),
    RPD_OPTION_INTEGER("part_ms", 50, 0, 10000, "how long each takes"),
    RPD_OPTIONS_END,
};

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

/* Waits for a byte from the FIFO that the variable names, if it is set. */
static void wait_for_byte_of(const char *variable)
{
    const char *gate = getenv(variable);
    const int fd = gate ? open(gate, O_RDONLY | O_CLOEXEC) : -1;
    char byte;

    while (fd >= 0 && read(fd, &byte, 1) < 0 && errno == EINTR)
        continue;
    if (fd >= 0)
        close(fd);
}

static void wait_for_byte(void)
{
    wait_for_byte_of("TEST_GATE");
}

/* ---- loading ---- */

static bool load_is(const struct rpd_load *load, const char *what)
{
    return strcmp(rpd_option_string(rpd_load_service(load), "load"), what) == 0;
}

static void hang(void)
{
    for (;;)
        pause();
}

static void *load_part(struct rpd_load *load)
{
    static char part;
    const int64_t ms = rpd_option_integer(rpd_load_service(load), "part_ms");
    sigset_t all;

    if (load_is(load, "deaf")) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, NULL);
        hang();
    }
    if (rpd_load_arg(load))
        hang();

    nanosleep(&(const struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    wait_for_byte();
    return &part;
}

static void attach(void *state, void *part)
{
    (void)state, (void)part;
}

static void discard(void *part)
{
    (void)part;
}

static void *load(struct rpd_load *load)
{
    static char state;
    const int64_t parts = rpd_option_integer(rpd_load_service(load), "parts");
    const bool first_hangs = load_is(load, "optional");

    if (load_is(load, "no_reason"))
        return rpd_load_fail(load, "%s", "");
    if (load_is(load, "gate")) {
        wait_for_byte_of("TEST_LOAD_GATE");
        return rpd_load_fail(load, "told to");
    }
    while (load_is(load, "long"))
        if (!rpd_load_wait(load, 60000))
            return NULL;
    for (int64_t i = 0; i < parts; i++)
        if (rpd_load_add_part(load,
                              &(struct rpd_load_part){.name = "part",
                                                      .load = load_part,
                                                      .attach = attach,
                                                      .discard = discard,
                                                      .arg = i == 0 && first_hangs ? &state : NULL,
                                                      .optional = i == 0 && first_hangs}) < 0)
            return rpd_load_fail(load, "a part was refused");
    return &state;
}

/* ---- roles ---- */

struct client {
    char role;
    bool not_now; /* paused or finished: on_data must not be called */
    int inputs;
};

static struct rpd_conn *victim;

/* V: the victim, echoes its input. W: blocks the loop at the gate, so that several clients become
 * readable in one turn. P, R, F: pauses, resumes, finishes the victim at each input. */
static void on_role(struct rpd_conn *conn)
{
    struct client *client = rpd_conn_data(conn);
    struct rpd_span input = rpd_conn_input(conn);

    if (client->not_now)
        say("test: VIOLATION: on_data of a client that another has paused or finished\n");
    if (!client->role && input.size > 0) {
        client->role = input.data[0];
        rpd_conn_consume(conn, 1);
        input = rpd_conn_input(conn);
        if (client->role == 'V')
            victim = conn;
        rpd_conn_write(conn, "+", 1);
    }
    if (input.size == 0)
        return;
    if (client->role == 'V') {
        rpd_conn_write(conn, input.data, input.size);
    } else if (client->role == 'W') {
        say("test: waits at the gate\n");
        wait_for_byte();
    } else if (victim && client->role == 'P') {
        ((struct client *)rpd_conn_data(victim))->not_now = true;
        rpd_conn_pause(victim);
    } else if (victim && client->role == 'R') {
        ((struct client *)rpd_conn_data(victim))->not_now = false;
        rpd_conn_resume(victim);
    } else if (victim && client->role == 'F') {
        ((struct client *)rpd_conn_data(victim))->not_now = true;
        rpd_conn_finish(victim);
    }
    if (client->role != 'V')
        rpd_conn_write(conn, "+", 1);
    rpd_conn_consume(conn, input.size);
}

/* ---- the other modes ---- */

static void fork_child(struct rpd_conn *conn)
{
    const pid_t pid = fork();

    if (pid == 0) {
        alarm(60); /* in case the test is killed */
        for (;;)
            pause();
    }
    rpd_conn_printf(conn, "%d\n", (int)pid);
}

static void on_line(struct rpd_conn *conn, const char *mode)
{
    static const char filler[] =
        "a line of about a hundred bytes, as any backend would log for a request";
    char longest[2048];

    if (strcmp(mode, "fork") == 0) {
        fork_child(conn);
        return;
    }
    if (strcmp(mode, "log_long") == 0) {
        memset(longest, 1, sizeof longest - 1); /* each becomes four bytes when it is escaped */
        longest[sizeof longest - 1] = '\0';
        rpd_log(rpd_conn_service(conn), RPD_LOG_INFO, "%s", longest);
    } else {
        rpd_log(rpd_conn_service(conn), RPD_LOG_INFO, "%s", filler);
    }
    rpd_conn_write(conn, "ok\n", 3);
}

static void write_at_end(struct rpd_conn *conn, const char *mode, struct rpd_span input)
{
    static char big[800 * 1024];

    if (strcmp(mode, "until_end") == 0) {
        if (!rpd_conn_input_ended(conn))
            return;
        rpd_conn_write(conn, input.data, input.size);
    } else if (rpd_conn_input_ended(conn)) {
        memset(big, 'x', sizeof big);
        rpd_conn_write(conn, big, sizeof big);
    }
    rpd_conn_consume(conn, input.size);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const char *mode = rpd_option_string(rpd_conn_service(conn), "mode");
    const struct rpd_span input = rpd_conn_input(conn);
    struct rpd_span line;

    (void)state;
    if (strcmp(mode, "roles") == 0) {
        on_role(conn);
    } else if (strcmp(mode, "until_end") == 0 || strcmp(mode, "big_at_end") == 0) {
        write_at_end(conn, mode, input);
    } else if (strcmp(mode, "resume") == 0) {
        rpd_conn_resume(conn);
        while (input.size > 0 && input.data[input.size - 1] == '\n' &&
               rpd_conn_read_line(conn, &line))
            rpd_conn_printf(conn, "%.*s\n", (int)line.size, line.data);
    } else if (strcmp(mode, "slow") == 0) {
        nanosleep(&(const struct timespec){.tv_nsec = 2000000}, NULL);
        if (++((struct client *)rpd_conn_data(conn))->inputs == 10)
            say("test: is flooded\n");
        rpd_conn_consume(conn, input.size);
    } else if (strcmp(mode, "finish") == 0) {
        rpd_conn_consume(conn, input.size);
        rpd_conn_write(conn, "bye\n", 4);
        rpd_conn_finish(conn);
    } else {
        while (rpd_conn_read_line(conn, &line))
            on_line(conn, mode);
    }
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_set_data(conn, calloc(1, sizeof(struct client)));
}

static void on_close(struct rpd_conn *conn, void *state)
{
    (void)state;
    if (victim == conn)
        victim = NULL;
    free(rpd_conn_data(conn));
}

RPD_BACKEND(attacks, .summary = "By which bugs were found", .options = options, .load = load,
            .on_connect = on_connect, .on_data = on_data, .on_close = on_close,
            .serves_without_state = true);
