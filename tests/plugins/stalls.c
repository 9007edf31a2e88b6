/* A backend that blocks the thread it is called on, in a given place:
 *
 *     -o where=WHERE     on the loop: serve, attach, on_ready, on_data, on_close, done,
 *                        on_drain; timer: in an event of its own, after_ms after READY;
 *                        on a worker: job
 *     -o how=HOW         sleep; spin; mask: sleep with all signals blocked
 *     -o ms=N            for this long
 *
 * on_data does it at each line "stall", and then answers; "job" submits a job, whose run or done
 * does it; "abort" aborts all other clients, so that their on_close is called, one after the other,
 * in this one turn. Other lines are echoed. */
#include <rpd/backend.h>

#include <dlfcn.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("where", "", "where it stalls"),
    RPD_OPTION_STRING("how", "sleep", "how"),
    RPD_OPTION_INTEGER("ms", 600000, 0, 600000, "for how long"),
    RPD_OPTION_INTEGER("after_ms", 0, 0, 600000, "how long after READY"),
    RPD_OPTIONS_END,
};

struct client {
    struct rpd_conn *conn;
    LIST_ENTRY(client) link;
};

static LIST_HEAD(client_list, client) clients = LIST_HEAD_INITIALIZER(clients);
static char state_of_all;
static atomic_int calls; /* code after a call, so that its caller's frame is kept */
static const struct rpd_service *the_service;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The functions that the log line must name. Signals do not shorten the time. */
__attribute__((noinline)) static void sleep_for(int64_t ms)
{
    const int64_t end = now_ms() + ms;

    for (int64_t rest; (rest = end - now_ms()) > 0;)
        nanosleep(&(struct timespec){.tv_sec = rest / 1000, .tv_nsec = rest % 1000 * 1000000},
                  NULL);
}

__attribute__((noinline)) static void spin_for_ever(void)
{
    for (volatile uint64_t turns = 0;;)
        turns = turns + 1;
}

__attribute__((noinline)) static void stall(const struct rpd_service *service, const char *where)
{
    const char *how = rpd_option_string(service, "how");
    sigset_t all;

    if (strcmp(rpd_option_string(service, "where"), where) != 0)
        return;
    if (strcmp(where, "on_close") != 0) /* there are many of those */
        fprintf(stderr, "test: stalls in %s\n", where);
    if (strcmp(how, "spin") == 0)
        spin_for_ever();
    if (strcmp(how, "mask") == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, NULL);
    }
    sleep_for(rpd_option_integer(service, "ms"));
    calls++;
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    stall(service, "serve");
    return rpd_serve_connections(service, listener);
}

static void *load_part(struct rpd_load *load)
{
    (void)load;
    return &state_of_all;
}

static void attach_part(void *state, void *part)
{
    (void)state, (void)part;
    stall(the_service, "attach");
    calls++;
}

static void *load(struct rpd_load *load)
{
    the_service = rpd_load_service(load);
    if (rpd_load_add_part(load, &(struct rpd_load_part){
                                    .name = "part", .load = load_part, .attach = attach_part}) < 0)
        return rpd_load_fail(load, "the part was refused");
    return &state_of_all;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    stall(arg, "timer");
    calls++;
}

/* Calls the loop's own libevent: test plugins are linked with librpd alone. */
static void stall_later(struct rpd_service *service)
{
    static int (*once)(struct event_base *, evutil_socket_t, short, event_callback_fn, void *,
                       const struct timeval *);
    const int64_t ms = rpd_option_integer(service, "after_ms");
    const struct timeval after = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    *(void **)&once = dlsym(dlopen("libevent_core-2.1.so.7", RTLD_NOW | RTLD_NOLOAD),
                            "event_base_once");
    if (once(rpd_service_event_base(service), -1, EV_TIMEOUT, on_timer, service, &after) < 0)
        fprintf(stderr, "test: WRONG: no timer\n");
}

static void on_ready(struct rpd_service *service, void *state)
{
    (void)state;
    stall(service, "on_ready");
    if (strcmp(rpd_option_string(service, "where"), "timer") == 0)
        stall_later(service);
    calls++;
}

static void on_drain(struct rpd_service *service, void *state)
{
    (void)state;
    stall(service, "on_drain");
    calls++;
}

static void run(struct rpd_job *job, void *arg)
{
    (void)arg;
    stall(rpd_job_service(job), "job");
    calls++;
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    (void)arg, (void)cancelled;
    stall(service, "done");
    calls++;
    fprintf(stderr, "test: the job is done\n");
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    struct client *client = calloc(1, sizeof *client);

    (void)state;
    if (!client)
        abort();
    client->conn = conn;
    LIST_INSERT_HEAD(&clients, client, link);
    rpd_conn_set_data(conn, client);
}

static void on_close(struct rpd_conn *conn, void *state)
{
    struct client *client = rpd_conn_data(conn);

    (void)state;
    LIST_REMOVE(client, link);
    free(client);
    stall(rpd_conn_service(conn), "on_close");
}

static void abort_others(const struct rpd_conn *conn)
{
    struct client *client, *next;

    for (client = LIST_FIRST(&clients); client; client = next) {
        next = LIST_NEXT(client, link);
        if (client->conn != conn)
            rpd_conn_abort(client->conn);
    }
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct rpd_service *service = rpd_conn_service(conn);
    struct rpd_span line;

    (void)state;
    while (rpd_conn_read_line(conn, &line)) {
        if (line.size == 5 && memcmp(line.data, "stall", 5) == 0)
            stall(service, "on_data");
        if (line.size == 5 && memcmp(line.data, "abort", 5) == 0)
            abort_others(conn);
        if (line.size == 3 && memcmp(line.data, "job", 3) == 0 &&
            rpd_job_submit(service, run, done, NULL) < 0)
            rpd_conn_printf(conn, "busy\n");
        rpd_conn_printf(conn, "%.*s\n", (int)line.size, line.data);
    }
}

RPD_BACKEND(stalls, .summary = "Keeps the thread that it is called on", .options = options,
            .serve = serve, .load = load, .on_ready = on_ready, .on_drain = on_drain,
            .on_connect = on_connect, .on_data = on_data, .on_close = on_close);
