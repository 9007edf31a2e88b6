/* A backend that answers each request, in order, in a randomly chosen way: at once, from a job of
 * any kind, from a post, from a timer, from another client's callback, or when its on_data is
 * called again; written, or partly from a file. Meanwhile it makes random legal calls that change
 * nothing. A request is a line
 *
 *     NUMBER SIZE [finish|abort|take BODY]
 *
 * and its answer "NUMBER SIZE " with SIZE letters and a newline; then the connection is finished,
 * or aborted. "take" is followed by a body of that many letters. tests/integration/random_client.c
 * is the client. */
#include <rpd/backend.h>

#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

enum { SIZE_MAX_ = 400000, PIECES = 3, LETTERS = 26, WAYS = 5 };

/* A request that is answered later: its connection is paused and kept until then. */
struct request {
    struct rpd_conn *conn;
    unsigned number, size, body, taken;
    char verb; /* f, a, t, or - */
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
static struct rpd_queue *queue;
static int files[2]; /* letters, in memory and on a disk */

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

static char letter(unsigned number, size_t at)
{
    return (char)('a' + (number + at) % LETTERS);
}

/* ---- files ---- */

static void make_file(int fd)
{
    char text[LETTERS * 100];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = letter(0, i);
    for (size_t at = 0; at < SIZE_MAX_ + LETTERS; at += sizeof text)
        if (write(fd, text, sizeof text) != (ssize_t)sizeof text)
            tell("test: WRONG: no file\n");
    fsync(fd);
}

static void make_files(void)
{
    files[0] = memfd_create("letters", MFD_CLOEXEC);
    files[1] = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    for (int i = 0; i < 2; i++)
        make_file(files[i]);
}

/* Whether conn is NULL exactly if the client has left. */
static void check_done(struct rpd_conn *conn, const struct request *request)
{
    if (conn ? conn != request->conn || !rpd_conn_is_open(conn) : rpd_conn_is_open(request->conn))
        tell("test: WRONG: a done with another's client, or without its own\n");
}

static void end_done(struct request *request)
{
    pending--;
    rpd_conn_release(request->conn);
    free(request);
}

static void on_sent(struct rpd_conn *conn, void *arg, int error)
{
    check_done(conn, arg);
    if (error != (conn ? 0 : ECANCELED))
        tell("test: WRONG: a file is not sent\n");
    end_done(arg);
}

/* A request that is in progress until its done. */
static struct request *keep_request(struct rpd_conn *conn, const struct request *what)
{
    struct request *request = malloc(sizeof *request);

    *request = *what;
    request->conn = conn;
    rpd_conn_keep(conn);
    pending++;
    return request;
}

static void send_letters(struct rpd_conn *conn, const struct request *request, size_t at)
{
    const int fd = files[chance(2)];
    struct request *kept = chance(2) ? keep_request(conn, request) : NULL;

    if (chance(4) == 0)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (rpd_conn_send_file(conn, fd, (request->number + at) % LETTERS, request->size - at,
                           kept ? on_sent : NULL, kept) == 0)
        return;
    if (rpd_conn_is_open(conn))
        tell("test: WRONG: a file cannot be sent\n");
    if (kept)
        end_done(kept);
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

    if (chance(4) == 0) {
        const size_t by_hand = chance(request->size + 1);

        for (unsigned i = 0; i < by_hand; i++)
            text[size++] = letter(request->number, i);
        rpd_conn_write(conn, text, size);
        send_letters(conn, request, by_hand);
        rpd_conn_write(conn, "\n", 1);
        return;
    }
    for (unsigned i = 0; i < request->size; i++)
        text[size++] = letter(request->number, i);
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

/* Called from outside: the resume comes before the answer, after it, or last. */
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

static void on_own_timer(struct rpd_service *service, void *arg)
{
    (void)service;
    answer_later(arg);
}

static void never(struct rpd_service *service, void *arg)
{
    (void)service, (void)arg;
    tell("test: WRONG: a cancelled timer\n");
}

static void start_timer(struct rpd_conn *conn, struct request *request)
{
    struct rpd_service *service = rpd_conn_service(conn);

    if (chance(2))
        rpd_timer_cancel(rpd_timer(service, chance(2), never, NULL));
    if (chance(2) || !rpd_timer(service, chance(3), on_own_timer, request))
        call_after(conn, 1 + chance(2000), on_timer, request);
}

/* Answers here if no other client has come meanwhile. */
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

static void on_post(struct rpd_service *service, void *arg)
{
    (void)service;
    answer_later(arg);
}

static void postpone(struct rpd_conn *conn, const struct request *what, unsigned way)
{
    struct rpd_service *service = rpd_conn_service(conn);
    struct request *request = keep_request(conn, what);

    if (chance(2))
        rpd_conn_pause(conn);
    if (way == 0 && rpd_job_submit(service, run, done, request) < 0)
        way = 3;
    if (way == 1 && rpd_queue_submit(queue, run, done, request) < 0)
        way = 3;
    if (way == 2 && rpd_post(service, on_post, request) < 0)
        way = 3;
    if (way == 3)
        start_timer(conn, request);
    if (way == 4) {
        request->is_listed = true;
        TAILQ_INSERT_TAIL(&for_others, request, link);
        call_after(conn, 5000, on_last_timer, request);
    }
    rpd_conn_pause(conn);
}

/* ---- with the calls that pause by themselves ---- */

static void on_answered(struct rpd_conn *conn, void *arg, int error)
{
    check_done(conn, arg);
    if (conn && error)
        tell("test: WRONG: a job has failed\n");
    if (conn)
        answer(conn, arg);
    end_done(arg);
}

static void answer_by_job(struct rpd_conn *conn, const struct request *what)
{
    struct request *request = keep_request(conn, what);

    if (rpd_conn_job(conn, run, on_answered, request) == 0)
        return;
    tell("test: WRONG: no job\n");
    end_done(request);
}

static int sink(void *arg, const void *data, size_t size)
{
    struct request *request = arg;

    for (size_t i = 0; i < size; i++, request->taken++)
        if (((const char *)data)[i] != letter(request->number, request->taken))
            return EBADMSG;
    nanosleep(&(const struct timespec){.tv_nsec = request->number % 3 * 100000}, NULL);
    return 0;
}

static void on_taken(struct rpd_conn *conn, void *arg, int error)
{
    struct request *request = arg;

    check_done(conn, request);
    if (conn && error != ENODATA && (error || request->taken != request->body))
        tell("test: WRONG: a body is not what was sent\n");
    if (conn && error != ENODATA)
        answer(conn, request);
    end_done(request);
}

static void take_body(struct rpd_conn *conn, const struct request *what)
{
    struct request *request = keep_request(conn, what);

    if (rpd_conn_receive(conn, request->body, sink, on_taken, request) < 0) {
        tell("test: WRONG: no body is received\n");
        end_done(request);
    }
    if (rpd_conn_receive(conn, 1, sink, on_taken, NULL) == 0 || rpd_conn_input(conn).size > 0)
        tell("test: WRONG: a second body, or input\n");
}

/* ---- requests ---- */

static bool parse(struct request *request, struct rpd_span line)
{
    char text[64], verb[16] = "-";

    snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
    *request = (struct request){0};
    if (sscanf(text, "%u %u %15s %u", &request->number, &request->size, verb, &request->body) < 2 ||
        request->size > SIZE_MAX_)
        return false;
    request->verb = verb[0];
    return true;
}

/* In one of two ways. */
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

static void pause_for_a_while(struct rpd_conn *conn)
{
    rpd_conn_pause(conn);
    rpd_conn_keep(conn);
    pending++;
    call_after(conn, 1 + chance(1000), on_resume_timer, conn);
}

/* Whether it continues with the input now. */
static bool do_nothing(struct rpd_conn *conn)
{
    switch (chance(40)) {
    case 0: rpd_conn_yield(conn); return false;
    case 1: pause_for_a_while(conn); return false;
    case 2:
        rpd_conn_pause(conn);
        rpd_conn_resume(conn);
        return chance(2);
    case 3: return !rpd_conn_slice_is_over(conn);
    case 4:
        rpd_conn_keep(conn);
        rpd_conn_release(conn);
        return true;
    case 5:
        pause_for_a_while(conn); /* and continues: a body requested meanwhile comes later */
        return true;
    case 6: return rpd_conn_output_size(conn) < SIZE_MAX || rpd_conn_input_ended(conn);
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
        if (request.verb == 't') {
            take_body(conn, &request);
        } else if (chance(8) == 0) {
            answer_by_job(conn, &request);
        } else if (chance(4) == 0) {
            postpone(conn, &request, chance(WAYS));
            return;
        } else {
            answer(conn, &request);
        }
    }
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)state;
    if (opened++ == 0) {
        seed = (uint32_t)rpd_option_integer(rpd_conn_service(conn), "seed") * 2654435769u + 1;
        queue = rpd_queue_create(rpd_conn_service(conn));
        make_files();
    }
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
    if (opened != closed || pending != 0)
        tell("test: WRONG: not balanced\n");
}

RPD_BACKEND(chance, .summary = "Answers by a way that chance chooses", .options = options,
            .on_connect = on_connect, .on_data = on_data, .on_writable = on_writable,
            .on_close = on_close, .stop = stop);
