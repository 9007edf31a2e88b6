/* A backend that makes the calls of rpd/conn.h, rpd/body.h and rpd/job.h in the order that its
 * client gives, even those that no sane backend would make. A line is
 *
 *     do CALLS/DONES/CLOSE
 *
 * with one letter per call. CALLS are made in on_data, DONES in each done, timer or post that these
 * begin, CLOSE in on_close. Some milliseconds later the connection is resumed and released, as
 * often as it was kept. "count" is answered with the number of missing dones and the number of
 * connections.
 *
 *     p pause  r resume  k keep  l release  y yield  f finish  a abort  w write
 *     s sends a small file  S a large one  j job  q job of a queue  Q frees that queue  o post
 *     t timer  c cancels one  b receives a body of 5 bytes  B of 1 MiB  F to a file  x stops */
#include <rpd/backend.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LETTERS_MAX = 16, CLEAN_MS = 5, LARGE = 3 * 1024 * 1024 };

struct script {
    struct rpd_service *service;
    struct rpd_conn *conn;
    char calls[LETTERS_MAX], dones[LETTERS_MAX], close[LETTERS_MAX];
    unsigned keeps, uses;
    bool is_nested; /* a done's calls begin no operation that makes calls */
};

/* One operation that has a done. */
struct deed {
    struct script *script;
    bool is_nested, is_over;
};

static int file = -1;
static int begun, ended, opened, closed;

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static void leave_script(struct script *script)
{
    if (--script->uses == 0)
        free(script);
}

static struct deed *begin(struct script *script)
{
    struct deed *deed = calloc(1, sizeof *deed);

    if (!deed)
        abort();
    deed->script = script;
    deed->is_nested = script->is_nested;
    script->uses++;
    begun++;
    return deed;
}

static void end(struct deed *deed)
{
    if (deed->is_over)
        say("test: WRONG: done twice\n");
    deed->is_over = true;
    ended++;
    leave_script(deed->script);
    free(deed);
}

/* The operation did not begin. */
static void undo(struct deed *deed)
{
    begun--;
    ended--;
    end(deed);
}

static void make_calls(struct script *script, const char *calls);

static void make_nested(struct script *script, const char *calls)
{
    const bool was_nested = script->is_nested;

    script->is_nested = true;
    make_calls(script, calls);
    script->is_nested = was_nested;
}

static void make_dones(struct deed *deed)
{
    if (!deed->is_nested && deed->script->keeps > 0)
        make_nested(deed->script, deed->script->dones);
    end(deed);
}

static void on_conn_done(struct rpd_conn *conn, void *arg, int error)
{
    struct deed *deed = arg;

    if (conn && conn != deed->script->conn)
        say("test: WRONG: another's client\n");
    if (!conn && !error)
        say("test: WRONG: no client, and no error\n");
    make_dones(deed);
}

static void on_job_done(struct rpd_service *service, void *arg, bool cancelled)
{
    (void)service, (void)cancelled;
    make_dones(arg);
}

static void on_post(struct rpd_service *service, void *arg)
{
    (void)service;
    make_dones(arg);
}

static void run(struct rpd_job *job, void *arg)
{
    (void)job, (void)arg;
    usleep(200);
}

static int sink(void *arg, const void *data, size_t size)
{
    (void)arg, (void)data, (void)size;
    return 0;
}

/* Whether it began. */
static bool begin_deed(struct script *script, char letter, struct deed *deed)
{
    static struct rpd_queue *queue;
    struct rpd_conn *conn = script->conn;
    struct rpd_timer_handle *timer;

    switch (letter) {
    case 's': return rpd_conn_send_file(conn, file, 1, 100, on_conn_done, deed) == 0;
    case 'S': return rpd_conn_send_file(conn, file, 0, LARGE, on_conn_done, deed) == 0;
    case 'j': return rpd_conn_job(conn, run, on_conn_done, deed) == 0;
    case 'b': return rpd_conn_receive(conn, 5, sink, on_conn_done, deed) == 0;
    case 'B': return rpd_conn_receive(conn, 1024 * 1024, sink, on_conn_done, deed) == 0;
    case 'F': return rpd_conn_receive_file(conn, 5, file, LARGE, on_conn_done, deed) == 0;
    case 'o': return rpd_post(script->service, on_post, deed) == 0;
    case 't': return rpd_timer(script->service, 0, on_post, deed);
    case 'c':
        timer = rpd_timer(script->service, 1, on_post, deed);
        rpd_timer_cancel(timer);
        return false;
    case 'q':
        if (!queue)
            queue = rpd_queue_create(script->service);
        return queue && rpd_queue_submit(queue, run, on_job_done, deed) == 0;
    default: /* Q */
        if (queue)
            rpd_queue_free(queue);
        queue = NULL;
        return false;
    }
}

static void make_call(struct script *script, char letter)
{
    struct rpd_conn *conn = script->conn;
    struct deed *deed;

    switch (letter) {
    case 'p': rpd_conn_pause(conn); return;
    case 'r': rpd_conn_resume(conn); return;
    case 'y': rpd_conn_yield(conn); return;
    case 'f': rpd_conn_finish(conn); return;
    case 'a': rpd_conn_abort(conn); return;
    case 'w': rpd_conn_write(conn, "word\n", 5); return;
    case 'x': rpd_stop(script->service, "a client wants it"); return;
    case 'k':
        if (script->keeps > 0) { /* no cleaner runs for it */
            rpd_conn_keep(conn);
            script->keeps++;
        }
        return;
    case 'l':
        if (script->keeps > 1) { /* the last one belongs to the cleaner */
            script->keeps--;
            rpd_conn_release(conn);
        }
        return;
    default:
        deed = begin(script);
        if (!begin_deed(script, letter, deed))
            undo(deed);
    }
}

static void make_calls(struct script *script, const char *calls)
{
    for (; *calls; calls++)
        make_call(script, *calls);
}

static void clean(struct rpd_service *service, void *arg)
{
    struct script *script = arg;

    (void)service;
    rpd_conn_resume(script->conn);
    for (; script->keeps > 0; script->keeps--)
        rpd_conn_release(script->conn);
    ended++;
    leave_script(script);
}

static void start_script(struct rpd_conn *conn, const char *line)
{
    struct script *script = calloc(1, sizeof *script);

    if (!script)
        abort();
    script->conn = conn;
    script->service = rpd_conn_service(conn);
    script->uses = 2;
    script->keeps = 1;
    sscanf(line, "do %15[^/]/%15[^/]/%15s", script->calls, script->dones, script->close);
    rpd_conn_keep(conn);
    rpd_conn_set_data(conn, script);
    if (!rpd_timer(script->service, CLEAN_MS, clean, script))
        abort();
    begun++;
    make_calls(script, script->calls);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;
    char text[64];

    (void)state;
    while (rpd_conn_read_line(conn, &line)) {
        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        if (strncmp(text, "do ", 3) == 0 && !rpd_conn_data(conn))
            start_script(conn, text);
        else if (strcmp(text, "count") == 0)
            rpd_conn_printf(conn, "%d %d\n", begun - ended, opened - closed);
    }
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)conn, (void)state;
    if (opened++ > 0)
        return;
    file = memfd_create("file", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, LARGE) < 0)
        abort();
}

static void on_close(struct rpd_conn *conn, void *state)
{
    struct script *script = rpd_conn_data(conn);

    (void)state;
    closed++;
    if (!script)
        return;
    make_nested(script, script->close);
    leave_script(script);
}

/* Timers that are no longer due are forgotten, so dones are not counted here. */
static void stop(struct rpd_service *service, void *state)
{
    (void)service, (void)state;
    say(opened == closed ? "test: all clients are closed\n" : "test: WRONG: clients are left\n");
    if (file >= 0)
        close(file);
}

RPD_BACKEND(orders, .on_connect = on_connect, .on_data = on_data, .on_close = on_close,
            .stop = stop);
