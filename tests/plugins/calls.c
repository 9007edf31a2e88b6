/* A backend that makes the calls that a test chooses: which calls of rpd/conn.h, in which order,
 * from which callback. There is one subject at a time: the first client after
 *
 *     script CONTEXT CALLS SIZE PAUSES
 *
 * CONTEXT is connect, data, writable or close for the subject's own callbacks; done, timer or other
 * for those of a job, a timer or another client. CALLS: w write, p printf (of SIZE bytes), R
 * resume, P pause, r release, f finish, a abort, c consume (3 bytes). The other commands are
 *
 *     trigger    makes the calls, if no callback of the subject does
 *     state      closed? lines of the subject made? results (of writes 0 or -)
 *     unpause    resumes the subject          release    releases it, if it is kept
 *
 * The subject is kept from the beginning. Its line "go" pauses it if PAUSES is 1, and writes much
 * if CONTEXT is writable; "ping" is answered; any other line gets "what". */
#include <rpd/backend.h>

#include <dlfcn.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MUCH = 1000000, CALLS_MAX = 8 };

static struct {
    struct rpd_conn *conn; /* NULL: closed and released */
    char context[16], calls[CALLS_MAX + 1], results[CALLS_MAX + 1];
    size_t size;
    int pauses, keeps, lines;
    bool is_awaited, made, closed;
} subject;

static struct rpd_conn *control;
static char block[MUCH];
static int opened, closed;

static void tell(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

/* ---- the calls ---- */

static void release(void)
{
    struct rpd_conn *conn = subject.conn;

    if (subject.keeps > 0 && --subject.keeps == 0 && subject.closed)
        subject.conn = NULL;
    rpd_conn_release(conn);
}

static char call(char what)
{
    struct rpd_conn *conn = subject.conn;

    if (!conn)
        return '.';
    switch (what) {
    case 'w':
        memset(block, 'w', subject.size);
        return rpd_conn_write(conn, block, subject.size) == 0 ? '0' : '-';
    case 'p': return rpd_conn_printf(conn, "%*s", (int)subject.size, "p") == 0 ? '0' : '-';
    case 'R': rpd_conn_resume(conn); break;
    case 'P': rpd_conn_pause(conn); break;
    case 'r': release(); break;
    case 'f': rpd_conn_finish(conn); break;
    case 'a': rpd_conn_abort(conn); break;
    case 'c': rpd_conn_consume(conn, 3); break;
    default: tell("test: WRONG: an unknown call\n");
    }
    return '+';
}

static void make_calls(void)
{
    subject.made = true;
    for (size_t i = 0; subject.calls[i]; i++)
        subject.results[i] = call(subject.calls[i]);
}

static void make_calls_in(const char *context)
{
    if (!subject.made && strcmp(subject.context, context) == 0)
        make_calls();
}

/* ---- from elsewhere ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    make_calls();
    rpd_conn_printf(control, "ok\n");
}

static void call_soon(struct rpd_service *service)
{
    static const struct timeval soon = {.tv_usec = 1};
    void *library = dlopen("libevent_core-2.1.so.7", RTLD_NOW | RTLD_NOLOAD);
    int (*once)(struct event_base *, evutil_socket_t, short, event_callback_fn, void *,
                const struct timeval *) = NULL;

    *(void **)&once = library ? dlsym(library, "event_base_once") : NULL;
    if (!once || once(rpd_service_event_base(service), -1, EV_TIMEOUT, on_timer, NULL, &soon) != 0)
        tell("test: WRONG: no timer\n");
}

static void run(struct rpd_job *job, void *arg)
{
    (void)job, (void)arg;
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    (void)service, (void)arg, (void)cancelled;
    make_calls();
    rpd_conn_printf(control, "ok\n");
}

/* ---- the control client ---- */

static void begin_script(struct rpd_conn *conn, const char *line)
{
    if (subject.conn)
        tell("test: WRONG: the last subject is still here\n");
    memset(&subject, 0, sizeof subject);
    subject.is_awaited = sscanf(line, "script %15s %8s %zu %d", subject.context, subject.calls,
                                &subject.size, &subject.pauses) == 4 &&
                         subject.size <= MUCH;
    rpd_conn_printf(conn, subject.is_awaited ? "ok\n" : "what is that?\n");
}

static void trigger(struct rpd_conn *conn)
{
    struct rpd_service *service = rpd_conn_service(conn);

    if (strcmp(subject.context, "timer") == 0) {
        call_soon(service);
    } else if (strcmp(subject.context, "done") == 0) {
        if (rpd_job_submit(service, run, done, NULL) < 0)
            tell("test: WRONG: no job\n");
    } else {
        make_calls();
        rpd_conn_printf(conn, "ok\n");
    }
}

static void command(struct rpd_conn *conn, const char *line)
{
    control = conn;
    if (strncmp(line, "script ", 7) == 0) {
        begin_script(conn, line);
    } else if (strcmp(line, "trigger") == 0) {
        trigger(conn);
    } else if (strcmp(line, "state") == 0) {
        rpd_conn_printf(conn, "%d %d %d %s\n", subject.closed, subject.lines, subject.made,
                        subject.results[0] ? subject.results : "none");
    } else if (strcmp(line, "unpause") == 0) {
        if (subject.conn)
            rpd_conn_resume(subject.conn);
        rpd_conn_printf(conn, "ok\n");
    } else if (strcmp(line, "release") == 0) {
        if (subject.conn && subject.keeps > 0)
            release();
        rpd_conn_printf(conn, "ok\n");
    }
}

/* ---- the callbacks ---- */

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)state;
    opened++;
    if (!subject.is_awaited)
        return;
    subject.is_awaited = false;
    subject.conn = conn;
    rpd_conn_keep(conn);
    subject.keeps = 1;
    make_calls_in("connect");
}

static void subject_line(struct rpd_conn *conn, const char *line)
{
    subject.lines++;
    if (strcmp(line, "go") == 0) {
        memset(block, 'g', sizeof block);
        if (strcmp(subject.context, "writable") == 0)
            rpd_conn_write(conn, block, sizeof block);
        if (subject.pauses)
            rpd_conn_pause(conn);
    } else {
        rpd_conn_printf(conn, strcmp(line, "ping") == 0 ? "pong\n" : "what\n");
    }
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const bool is_subject = conn == subject.conn;
    struct rpd_span line;

    (void)state;
    if (is_subject && rpd_conn_input(conn).size > 0)
        make_calls_in("data");
    while (rpd_conn_read_line(conn, &line)) {
        char text[256];

        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        if (is_subject)
            subject_line(conn, text);
        else
            command(conn, text);
    }
}

static void on_writable(struct rpd_conn *conn, void *state)
{
    (void)state;
    if (conn == subject.conn)
        make_calls_in("writable");
}

static void on_close(struct rpd_conn *conn, void *state)
{
    (void)state;
    closed++;
    if (conn != subject.conn)
        return;
    make_calls_in("close");
    if (subject.closed)
        tell("test: WRONG: closed twice\n");
    subject.closed = true;
    if (subject.keeps == 0)
        subject.conn = NULL;
}

static void stop(struct rpd_service *service, void *state)
{
    (void)service, (void)state;
    tell(opened == closed ? "test: balanced\n" : "test: NOT BALANCED\n");
}

RPD_BACKEND(calls, .summary = "Makes the calls that a test chooses", .on_connect = on_connect,
            .on_data = on_data, .on_writable = on_writable, .on_close = on_close, .stop = stop);
