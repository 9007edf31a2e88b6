/* A backend that does with a connection what the client's lines ask for:
 *
 *     echo TEXT        answers TEXT                      id   answers this client's number
 *     big N            answers N bytes and a newline     count   live connections, opened, closed
 *     finish N         answers N bytes, then finishes    writables   on_writable calls
 *     abort            aborts itself                     ended TEXT   answers at the end of input
 *     abort_other ID   aborts another                    later ID TEXT   writes to another
 *     abort_timer ID   aborts it from a timer
 *     job MS TEXT      kept; answered by a job           ordered MS TEXT   paused until the job
 *     get N TEXT       paused until a job has answered N bytes; TEXT "resume_first": only then
 *     put TEXT         likewise; a job answers the length of the line
 *     flood N          submits N jobs; answers how many were accepted
 *     runs             how many jobs have begun to run
 *     pause / resume_other ID
 *     trouble          reports its service as degraded, with a reason that has a newline, an umlaut
 * and a byte that is not UTF-8
 *
 * At stop it writes to stderr how many jobs and connections began and ended. */
#include <rpd/backend.h>

#include <dlfcn.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 100000 };

struct client {
    int id;
    int writables;
    char at_end[64];
};

struct work {
    struct rpd_conn *conn; /* NULL: part of a flood */
    unsigned ms;
    bool ordered, resumes_first;
    long many; /* how many bytes to answer before the text */
    char text[64];
};

static struct rpd_conn *clients[CLIENTS_MAX];
static char line_length[32]; /* of the current line */
static int opened, closed, gone_meanwhile, writables;
static int accepted, done_count, cancelled_count;
static atomic_int run_count;

static void tell(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static void write_many(struct rpd_conn *conn, long size)
{
    char block[65536];

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)('a' + i % 26);
    for (long left = size; left > 0; left -= (long)sizeof block)
        rpd_conn_write(conn, block, left < (long)sizeof block ? (size_t)left : sizeof block);
}

/* ---- jobs ---- */

static void run(struct rpd_job *job, void *arg)
{
    const struct work *work = arg;

    atomic_fetch_add(&run_count, 1);
    for (unsigned i = 0; i < work->ms && !rpd_job_cancelled(job); i++)
        nanosleep(&(const struct timespec){.tv_nsec = 1000000}, NULL);
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct work *work = arg;

    (void)service;
    done_count++;
    cancelled_count += cancelled;
    if (work->conn) {
        if (!rpd_conn_is_open(work->conn)) {
            gone_meanwhile++;
            if (rpd_conn_write(work->conn, "x", 1) == 0)
                tell("test: WRONG: written to a client that is gone\n");
        }
        if (work->ordered && work->resumes_first)
            rpd_conn_resume(work->conn);
        if (work->many > 0)
            write_many(work->conn, work->many);
        rpd_conn_printf(work->conn, "%s%s\n", work->text, cancelled ? " cancelled" : "");
        if (work->ordered)
            rpd_conn_resume(work->conn);
        rpd_conn_release(work->conn);
    }
    free(work);
}

static int submit_work(struct rpd_service *service, const struct work *what)
{
    struct work *work = calloc(1, sizeof *work);

    *work = *what;
    if (rpd_job_submit(service, run, done, work) < 0) {
        free(work);
        return -1;
    }
    accepted++;
    return 0;
}

static int submit(struct rpd_service *service, struct rpd_conn *conn, unsigned ms, bool ordered,
                  const char *text)
{
    struct work work = {.conn = conn, .ms = ms, .ordered = ordered};

    snprintf(work.text, sizeof work.text, "%s", text);
    return submit_work(service, &work);
}

static void answer_from_job(struct rpd_conn *conn, long many, bool resumes_first, const char *text)
{
    struct work work = {
        .conn = conn, .ordered = true, .resumes_first = resumes_first, .many = many};

    snprintf(work.text, sizeof work.text, "%s", text);
    rpd_conn_keep(conn);
    if (submit_work(rpd_conn_service(conn), &work) < 0)
        rpd_conn_abort(conn);
    rpd_conn_pause(conn);
}

static void submit_for(struct rpd_conn *conn, unsigned ms, bool ordered, const char *text)
{
    rpd_conn_keep(conn);
    if (submit(rpd_conn_service(conn), conn, ms, ordered, text) < 0) {
        rpd_conn_printf(conn, "busy\n");
        rpd_conn_release(conn);
    } else if (ordered) {
        rpd_conn_pause(conn);
    }
}

static void flood(struct rpd_conn *conn, int count)
{
    const int before = accepted;

    for (int i = 0; i < count; i++)
        if (submit(rpd_conn_service(conn), NULL, 3000000, false, "") < 0)
            break;
    rpd_conn_printf(conn, "%d\n", accepted - before);
}

/* ---- commands ---- */

static void abort_it(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_conn *conn = arg;

    (void)fd, (void)what;
    if (rpd_conn_is_open(conn))
        rpd_conn_abort(conn);
    rpd_conn_release(conn);
}

static struct rpd_conn *client_of(const char *id)
{
    const int number = atoi(id);

    return number > 0 && number < CLIENTS_MAX ? clients[number] : NULL;
}

/* Calls the loop's own libevent: test plugins are linked with librpd alone. */
static void call_soon(struct rpd_conn *conn, event_callback_fn callback, void *arg)
{
    static const struct timeval soon = {.tv_usec = 10000};
    void *library = dlopen("libevent_core-2.1.so.7", RTLD_NOW | RTLD_NOLOAD);
    int (*once)(struct event_base *, evutil_socket_t, short, event_callback_fn, void *,
                const struct timeval *) = NULL;

    *(void **)&once = library ? dlsym(library, "event_base_once") : NULL;
    if (once)
        once(rpd_service_event_base(rpd_conn_service(conn)), -1, EV_TIMEOUT, callback, arg, &soon);
    else
        tell("test: WRONG: no libevent\n");
}

static void command(struct rpd_conn *conn, const char *name, const char *rest)
{
    struct client *client = rpd_conn_data(conn);
    struct rpd_conn *other = client_of(rest);
    const char *text = strchr(rest, ' ') ? strchr(rest, ' ') + 1 : "";

    if (strcmp(name, "echo") == 0) {
        rpd_conn_printf(conn, "%s\n", rest);
    } else if (strcmp(name, "id") == 0) {
        rpd_conn_printf(conn, "%d\n", client->id);
    } else if (strcmp(name, "count") == 0) {
        rpd_conn_printf(conn, "%d %d %d\n", opened - closed, opened, closed);
    } else if (strcmp(name, "writables") == 0) {
        rpd_conn_printf(conn, "%d\n", writables);
    } else if (strcmp(name, "ended") == 0) {
        snprintf(client->at_end, sizeof client->at_end, "%s", rest);
    } else if (strcmp(name, "big") == 0) {
        write_many(conn, atol(rest));
        rpd_conn_write(conn, "\n", 1);
    } else if (strcmp(name, "finish") == 0) {
        write_many(conn, atol(rest));
        rpd_conn_finish(conn);
    } else if (strcmp(name, "abort") == 0) {
        rpd_conn_abort(conn);
    } else if (strcmp(name, "abort_other") == 0) {
        if (other)
            rpd_conn_abort(other);
        rpd_conn_printf(conn, "aborted %d\n", other && !client_of(rest));
    } else if (strcmp(name, "finish_other") == 0) {
        if (other)
            rpd_conn_finish(other);
        rpd_conn_printf(conn, "ok\n");
    } else if (strcmp(name, "abort_timer") == 0) {
        if (other) {
            rpd_conn_keep(other);
            call_soon(conn, abort_it, other);
        }
        rpd_conn_printf(conn, "ok\n");
    } else if (strcmp(name, "later") == 0) {
        rpd_conn_printf(conn, "%d\n", other ? rpd_conn_printf(other, "%s\n", text) : -2);
    } else if (strcmp(name, "job") == 0) {
        submit_for(conn, (unsigned)atoi(rest), false, text);
    } else if (strcmp(name, "ordered") == 0) {
        submit_for(conn, (unsigned)atoi(rest), true, text);
    } else if (strcmp(name, "get") == 0) {
        answer_from_job(conn, atol(rest), strcmp(text, "resume_first") == 0, "");
    } else if (strcmp(name, "put") == 0) {
        answer_from_job(conn, 0, false, line_length);
    } else if (strcmp(name, "flood") == 0) {
        flood(conn, atoi(rest));
    } else if (strcmp(name, "runs") == 0) {
        rpd_conn_printf(conn, "%d\n", atomic_load(&run_count));
    } else if (strcmp(name, "pause") == 0) {
        rpd_conn_pause(conn);
    } else if (strcmp(name, "trouble") == 0) {
        rpd_service_set_degraded(rpd_conn_service(conn), "no room\nMAINPID=1\n\xc3\xbc \xff.");
        rpd_conn_printf(conn, "ok\n");
    } else if (strcmp(name, "resume_other") == 0) {
        if (other)
            rpd_conn_resume(other);
        rpd_conn_printf(conn, "ok\n");
    } else {
        rpd_conn_printf(conn, "what is %s?\n", name);
    }
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    struct client *client = calloc(1, sizeof *client);

    (void)state;
    client->id = ++opened;
    rpd_conn_set_data(conn, client);
    if (client->id < CLIENTS_MAX)
        clients[client->id] = conn;
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct client *client = rpd_conn_data(conn);
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line)) {
        char text[512], *rest;

        snprintf(line_length, sizeof line_length, "%zu", line.size);
        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        rest = strchr(text, ' ');
        if (rest)
            *rest++ = '\0';
        command(conn, text, rest ? rest : "");
    }
    if (rpd_conn_input_ended(conn) && *client->at_end) {
        rpd_conn_printf(conn, "%s\n", client->at_end);
        client->at_end[0] = '\0';
    }
}

static void on_writable(struct rpd_conn *conn, void *state)
{
    (void)conn, (void)state;
    writables++;
}

static void on_close(struct rpd_conn *conn, void *state)
{
    struct client *client = rpd_conn_data(conn);

    (void)state;
    closed++;
    if (rpd_conn_write(conn, "x", 1) == 0)
        tell("test: WRONG: written in on_close\n");
    if (client->id < CLIENTS_MAX)
        clients[client->id] = NULL;
    free(client);
}

static void stop(struct rpd_service *service, void *state)
{
    char line[200];

    (void)service, (void)state;
    snprintf(line, sizeof line,
             "test: jobs accepted %d, done %d; clients opened %d, closed %d; cancelled %d, "
             "run %d, gone %d\n",
             accepted, done_count, opened, closed, cancelled_count, atomic_load(&run_count),
             gone_meanwhile);
    tell(line);
    tell(accepted == done_count && opened == closed ? "test: balanced\n" : "test: NOT BALANCED\n");
}

RPD_BACKEND(talk, .summary = "Does what it is asked", .on_connect = on_connect, .on_data = on_data,
            .on_writable = on_writable, .on_close = on_close, .stop = stop);
