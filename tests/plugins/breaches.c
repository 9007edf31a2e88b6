/* Echoes lines, and breaks the contract in one way, which -o breach= names: one for each check of
 * `rpdctl check`. Breaches in a constructor or a bind come from the environment:
 * TEST_CONSTRUCTOR=slow, TEST_BIND of own_bind.c. */
#include <rpd/backend.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("breach", "", "what it does wrong"),
    RPD_OPTIONS_END,
};

enum {
    LEAKED = 65536,
    IGNORED_MS = 3500,
    STOP_MS = 9000,
    BLOCKED_MS = 2000,
    LATER_MS = 2000,
    ABANDONED_MS = 8000
};

struct client {
    int opened; /* a descriptor that it opened */
    bool answered;
    struct rpd_timer_handle *timer;
};

static char the_state;
static int closed_fd = -1; /* the last client's descriptor */
static char *volatile leaked;

/* The signal that asks a thread where it is interrupts a sleep. */
static void sleep_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&left, &left) < 0)
        continue;
}

__attribute__((constructor)) static void constructor(void)
{
    const char *what = getenv("TEST_CONSTRUCTOR");

    if (what && strcmp(what, "slow") == 0)
        sleep_ms(200);
    else if (what)
        abort();
}

static bool does(const struct rpd_service *service, const char *breach)
{
    return strcmp(rpd_option_string(service, "breach"), breach) == 0;
}

static void leave_file(void)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/left", getenv("RPD_RUNTIME_DIR"));
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static void *load(struct rpd_load *load)
{
    const struct rpd_service *service = rpd_load_service(load);

    if (does(service, "ignores_cancel"))
        sleep_ms(IGNORED_MS);
    if (does(service, "leaves_file"))
        leave_file();
    return &the_state;
}

static void run_nothing(struct rpd_job *job, void *arg)
{
    (void)job;
    (void)arg;
}

/* Runs on the loop. */
static void block(struct rpd_service *service, void *arg, bool cancelled)
{
    (void)service;
    (void)arg;
    if (!cancelled)
        sleep_ms(BLOCKED_MS);
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    if (does(service, "blocks_loop") && rpd_job_submit(service, run_nothing, block, NULL) < 0)
        return rpd_serve_fail(service, "no job can be had");
    return rpd_serve_connections(service, listener);
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    const struct rpd_service *service = rpd_conn_service(conn);
    struct client *client = calloc(1, sizeof *client);

    if (!client || (does(service, "needs_state") && !state))
        abort();
    client->opened = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (client->opened < 0 && does(service, "dies_of_emfile"))
        abort();
    rpd_conn_set_data(conn, client);
}

/* The connection is not kept meanwhile. */
static void answer_later(struct rpd_service *service, void *conn)
{
    struct client *client = rpd_conn_data(conn);

    (void)service;
    client->timer = NULL;
    rpd_conn_printf(conn, "hello\n");
}

static void run_long(struct rpd_job *job, void *arg)
{
    (void)job;
    (void)arg;
    sleep_ms(ABANDONED_MS);
}

static void run_and_write(struct rpd_job *job, void *conn)
{
    (void)job;
    rpd_conn_printf(conn, "hello\n");
}

static void greet(struct rpd_conn *conn, void *arg, int error)
{
    (void)arg;
    (void)error;
    if (conn)
        rpd_conn_printf(conn, "hello\n");
}

/* The first request is answered at once. Whether a job answers this one. */
static bool answers_by_job(struct rpd_conn *conn)
{
    static int requests;
    const struct rpd_service *service = rpd_conn_service(conn);

    if (does(service, "outlives_clients") && ++requests > 1)
        return rpd_conn_job(conn, run_long, greet, NULL) == 0;
    if (does(service, "writes_on_a_worker"))
        return rpd_conn_job(conn, run_and_write, greet, conn) == 0;
    return false;
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const struct rpd_service *service = rpd_conn_service(conn);
    const struct rpd_span input = rpd_conn_input(conn);
    struct client *client = rpd_conn_data(conn);
    struct rpd_span line;

    (void)state;
    if (does(service, "writes_late") && closed_fd >= 0 && write(closed_fd, "late\n", 5) < 0)
        closed_fd = -1;
    if (does(service, "loses_bytes") && !memchr(input.data, '\n', input.size))
        rpd_conn_consume(conn, input.size);
    while (rpd_conn_read_line(conn, &line)) {
        client->answered = true;
        if (does(service, "forgets_clients")) {
            client->timer = rpd_timer(rpd_conn_service(conn), LATER_MS, answer_later, conn);
            return;
        }
        if (answers_by_job(conn))
            continue;
        if (does(service, "keeps_clients"))
            rpd_conn_keep(conn);
        rpd_conn_printf(conn, "%s%.*s\n", does(service, "answers_wrongly") ? "no " : "",
                        (int)line.size, line.data);
        if (does(service, "answers_one"))
            return;
    }
}

static void on_close(struct rpd_conn *conn, void *state)
{
    const struct rpd_service *service = rpd_conn_service(conn);
    struct client *client = rpd_conn_data(conn);

    (void)state;
    closed_fd = rpd_conn_fd(conn);
    rpd_timer_cancel(client->timer);
    if (does(service, "dies_of_hang_ups") && !client->answered)
        abort();
    if (client->opened >= 0 && !does(service, "leaks_descriptors"))
        close(client->opened);
    if (does(service, "leaks_memory")) {
        leaked = malloc(LEAKED);
        if (leaked)
            memset(leaked, 1, LEAKED);
    }
    free(client);
}

static void stop(struct rpd_service *service, void *state)
{
    (void)state;
    if (does(service, "hangs_at_stop"))
        sleep_ms(STOP_MS);
}

RPD_BACKEND(breaches, .summary = "Breaks the contract where it is told to", .options = options,
            .load = load, .serve = serve, .on_connect = on_connect, .on_data = on_data,
            .on_close = on_close, .stop = stop, .serves_without_state = true,
            .probe = RPD_PROBE("hello\n", "hello\n"));
