/* A backend that answers each request, in order, by a way that chance chooses: at once, from
 * a job, from a timer, from another client's callback, or when its on_data comes again.
 * Meanwhile it makes random legal calls that change nothing. A request is a line
 *
 *     NUMBER SIZE [finish|abort]
 *
 * and its answer "NUMBER SIZE " with SIZE letters and a newline; then the connection is
 * finished, or aborted. tests/integration/random_client.c is the other side. */
#include <rpd/backend.h>

#include <dlfcn.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

enum { SIZE_MAX_ = 400000, PIECES = 3 };

/* One that is answered later: its connection is paused and kept until then. */
struct request {
    struct rpd_conn *conn;
    unsigned number, size;
    char verb; /* f, a, or - */
    bool is_listed;
    TAILQ_ENTRY(request) link;
};

static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("seed", 1, 0, 4294967295.0, "of what is called chance"),
    RPD_OPTIONS_END,
};

static TAILQ_HEAD(request_list, request) for_others = TAILQ_HEAD_INITIALIZER(for_others);
static int opened, closed, pending;
static uint32_t seed;

static void tell(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static unsigned chance(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

/* ---- timers ---- */

static void call_after(struct rpd_conn *conn, unsigned us, event_callback_fn callback, void *arg)
{
    static int (*once)(struct event_base *, evutil_socket_t, short, event_callback_fn, void *,
                       const struct timeval *);
    const struct timeval wait = {.tv_usec = us};

    if (!once)
        *(void **)&once = dlsym(dlopen("libevent_core-2.1.so.7", RTLD_NOW | RTLD_NOLOAD),
                                "event_base_once");
    if (once(rpd_service_event_base(rpd_conn_service(conn)), -1, EV_TIMEOUT, callback, arg,
             &wait) != 0)
        tell("test: WRONG: no timer\n");
}

/* ---- answers ---- */

static void write_answer(struct rpd_conn *conn, const struct request *request)
{
    static char text[SIZE_MAX_ + 64];
    size_t size = (size_t)snprintf(text, sizeof text, "%u %u ", request->number, request->size);
    size_t at = 0;

    for (unsigned i = 0; i < request->size; i++)
        text[size++] = (char)('a' + (request->number + i) % 26);
    text[size++] = '\n';
    for (unsigned i = 0; i < PIECES && chance(3) == 0; i++) {
        const size_t piece = chance((unsigned)(size - at) + 1);
        rpd_conn_write(conn, text + at, piece);
        at += piece;
    }
    if (size - at < 1000 && chance(2))
        rpd_conn_printf(conn, "%.*s", (int)(size - at), text + at);
    else
        rpd_conn_write(conn, text + at, size - at);
}

static void answer(struct rpd_conn *conn, const struct request *request)
{
    write_answer(conn, request);
    if (request->verb == 'f')
        rpd_conn_finish(conn);
    else if (request->verb == 'a')
        rpd_conn_abort(conn);
}

/* From outside: the resume comes before, after, or last of all. */
static void answer_later(struct request *request)
{
    struct rpd_conn *conn = request->conn;
    const unsigned order = chance(3);

    if (request->is_listed)
        TAILQ_REMOVE(&for_others, request, link);
    pending--;
    if (rpd_conn_is_open(conn)) {
        if (order == 0)
            rpd_conn_resume(conn);
        answer(conn, request);
        if (order == 1 || request->verb == 'a')
            rpd_conn_resume(conn);
        rpd_conn_release(conn);
        if (order == 2 && request->verb != 'a')
            rpd_conn_resume(conn);
    } else {
        rpd_conn_release(conn);
    }
    free(request);
}

static void run(struct rpd_job *job, void *arg)
{
    const struct request *request = arg;

    (void)job;
    nanosleep(&(const struct timespec){.tv_nsec = request->number % 7 * 100000}, NULL);
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    (void)service, (void)cancelled;
    answer_later(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    answer_later(arg);
}

/* Where no other client has come meanwhile. */
static void on_last_timer(evutil_socket_t fd, short what, void *arg)
{
    struct request *request;

    (void)fd, (void)what;
    TAILQ_FOREACH(request, &for_others, link)
        if (request == arg) {
            answer_later(request);
            return;
        }
}

static void on_resume_timer(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_conn *conn = arg;

    (void)fd, (void)what;
    pending--;
    rpd_conn_resume(conn);
    rpd_conn_release(conn);
}

static void postpone(struct rpd_conn *conn, const struct request *what, unsigned way)
{
    struct request *request = malloc(sizeof *request);

    *request = *what;
    request->conn = conn;
    rpd_conn_keep(conn);
    pending++;
    if (chance(2))
        rpd_conn_pause(conn);
    if (way == 0 && rpd_job_submit(rpd_conn_service(conn), run, done, request) < 0)
        way = 1;
    if (way == 1)
        call_after(conn, 1 + chance(2000), on_timer, request);
    if (way == 2) {
        request->is_listed = true;
        TAILQ_INSERT_TAIL(&for_others, request, link);
        call_after(conn, 5000, on_last_timer, request);
    }
    rpd_conn_pause(conn);
}

/* ---- requests ---- */

static bool parse(struct request *request, struct rpd_span line)
{
    char text[64], verb[16] = "-";

    snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
    *request = (struct request){0};
    if (sscanf(text, "%u %u %15s", &request->number, &request->size, verb) < 2 ||
        request->size > SIZE_MAX_)
        return false;
    request->verb = verb[0];
    return true;
}

/* By one of two ways. */
static bool take_line(struct rpd_conn *conn, struct rpd_span *ret_line)
{
    const struct rpd_span input = rpd_conn_input(conn);
    const char *end;

    if (chance(2))
        return rpd_conn_read_line(conn, ret_line);
    end = input.size > 0 ? memchr(input.data, '\n', input.size) : NULL;
    if (!end)
        return false;
    *ret_line = (struct rpd_span){input.data, (size_t)(end - input.data)};
    rpd_conn_consume(conn, ret_line->size + 1);
    return true;
}

/* Whether it goes on with the input now. */
static bool do_nothing(struct rpd_conn *conn)
{
    switch (chance(40)) {
    case 0: rpd_conn_yield(conn); return false;
    case 1:
        rpd_conn_pause(conn);
        rpd_conn_keep(conn);
        pending++;
        call_after(conn, 1 + chance(1000), on_resume_timer, conn);
        return false;
    case 2:
        rpd_conn_pause(conn);
        rpd_conn_resume(conn);
        return chance(2);
    case 3: return !rpd_conn_slice_is_over(conn);
    case 4:
        rpd_conn_keep(conn);
        rpd_conn_release(conn);
        return true;
    case 5: return rpd_conn_output_size(conn) < SIZE_MAX || rpd_conn_input_ended(conn);
    default: return true;
    }
}

static void answer_for_others(const struct rpd_conn *conn)
{
    struct request *request = TAILQ_FIRST(&for_others);

    if (request && request->conn != conn && chance(2))
        answer_later(request);
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_span line;

    (void)state;
    answer_for_others(conn);
    while (do_nothing(conn) && take_line(conn, &line)) {
        struct request request;
        if (!parse(&request, line))
            tell("test: WRONG: no request\n");
        if (chance(4) == 0) {
            postpone(conn, &request, chance(3));
            return;
        }
        answer(conn, &request);
    }
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)state;
    if (opened++ == 0)
        seed = (uint32_t)rpd_option_integer(rpd_conn_service(conn), "seed") * 2654435769u + 1;
    if (chance(8) == 0)
        rpd_conn_yield(conn);
}

static void on_writable(struct rpd_conn *conn, void *state)
{
    (void)state;
    if (chance(4) == 0)
        rpd_conn_yield(conn);
}

static void on_close(struct rpd_conn *conn, void *state)
{
    (void)state;
    closed++;
    if (rpd_conn_write(conn, "x", 1) == 0)
        tell("test: WRONG: written in on_close\n");
}

static void stop(struct rpd_service *service, void *state)
{
    (void)service, (void)state;
    if (opened != closed)
        tell("test: WRONG: not balanced\n");
}

RPD_BACKEND(chance, .summary = "Answers by a way that chance chooses", .options = options,
            .on_connect = on_connect, .on_data = on_data, .on_writable = on_writable,
            .on_close = on_close, .stop = stop);
