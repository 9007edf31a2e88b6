/* A backend that can change each metric: its own, and rpd's.
 *
 *     -o fails=N       the load fails this often before it succeeds
 *     -o waits_for=F   ... and waits for this file
 *
 * A listener whose name ends in "taken.sock" is served with rpd_accept(). A line of a client is one
 * of: "write N" gets N bytes, "jobs N" submits N jobs, "log TEXT" logs the text, "logs N" logs N
 * lines, "debug" logs one at level debug, "later" makes a post and a timer, "sleep N" blocks the
 * loop for N milliseconds. All other lines get "ok". */
#include <rpd/backend.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct rpd_option options[] = {
    RPD_OPTION_INTEGER("fails", 0, 0, 100, "how often the load fails"),
    RPD_OPTION_STRING("waits_for", "", "a file that the load waits for"),
    RPD_OPTIONS_END,
};

enum { LINES, OPEN, LENGTH, DONE_GOOD, DONE_BAD, BY_WORKERS };

static const struct rpd_metric metrics[] = {
    [LINES] = RPD_COUNTER("counts_lines", "", "Lines \"as they came\", and \\ too"),
    [OPEN] = RPD_GAUGE("counts_open", "", "Clients"),
    [LENGTH] = RPD_HISTOGRAM("counts_length", "bytes", "How long lines were"),
    [DONE_GOOD] = RPD_COUNTER_OF("counts_jobs", "end=good", "", "Jobs"),
    [DONE_BAD] = RPD_COUNTER_OF("counts_jobs", "end=bad \"quoted\"\nwhy=none", "", "Jobs"),
    [BY_WORKERS] = RPD_COUNTER("counts_by_workers", "", "Adds of several workers at once"),
    RPD_METRICS_END,
};

static uint64_t *const *values;
static atomic_int loads;
static char state;

static int claim(struct rpd_service *service)
{
    values = rpd_service_metrics(service);
    return 0;
}

static void *load_part(struct rpd_load *load)
{
    (void)load;
    return &state;
}

static void attach_part(void *whole, void *part)
{
    (void)whole, (void)part;
}

static void *load(struct rpd_load *load)
{
    const struct rpd_service *service = rpd_load_service(load);
    const char *file = rpd_option_string(service, "waits_for");

    while (*file && access(file, F_OK) != 0)
        if (!rpd_load_wait(load, 5))
            return NULL;
    if (atomic_fetch_add(&loads, 1) < rpd_option_integer(service, "fails"))
        return rpd_load_fail(load, "it was told to");
    if (rpd_load_add_part(load, &(struct rpd_load_part){.name = "a\tpart \"1\"",
                                                        .load = load_part,
                                                        .attach = attach_part}) < 0)
        return rpd_load_fail(load, "the part was refused");
    return &state;
}

static void on_taken(struct rpd_service *service, int fd, const struct sockaddr *peer,
                     socklen_t length, void *arg)
{
    (void)peer, (void)length, (void)arg;
    close(fd);
    rpd_client_gone(service, fd);
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    return strstr(rpd_listener_text(listener), "taken.sock")
               ? rpd_accept(service, listener, on_taken, NULL)
               : rpd_serve_connections(service, listener);
}

static void run(struct rpd_job *job, void *arg)
{
    (void)job, (void)arg;
    for (int i = 0; i < 1000; i++)
        rpd_metric_add(values[BY_WORKERS], 1);
    poll(NULL, 0, 20);
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    (void)service, (void)arg;
    rpd_metric_add(values[cancelled ? DONE_BAD : DONE_GOOD], 1);
}

static void do_nothing(struct rpd_service *service, void *arg)
{
    (void)service, (void)arg;
}

static bool do_nothing_later(struct rpd_service *service)
{
    return rpd_post(service, do_nothing, NULL) == 0 && rpd_timer(service, 1, do_nothing, NULL);
}

__attribute__((noinline)) static void keep_the_loop(long ms)
{
    struct timespec now, end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ms / 1000;
    end.tv_nsec += ms % 1000 * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    do { /* A signal would shorten a sleep; the code of a sanitizer shows no frames. */
        for (int i = 0; i < 400000; i++)
            __asm__ volatile("");
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

static void answer(struct rpd_conn *conn, const char *line, size_t size)
{
    char text[64] = "";
    char *block;

    snprintf(text, sizeof text, "%.*s", (int)size, line);
    if (strncmp(text, "write ", 6) == 0) {
        const size_t count = strtoul(text + 6, NULL, 10);
        block = calloc(1, count);
        if (block)
            rpd_conn_write(conn, block, count);
        free(block);
        return;
    }
    if (strncmp(text, "jobs ", 5) == 0)
        for (unsigned long i = strtoul(text + 5, NULL, 10); i > 0; i--)
            if (rpd_job_submit(rpd_conn_service(conn), run, done, NULL) < 0)
                rpd_metric_add(values[DONE_BAD], 1);
    if (size > 4 && strncmp(line, "log ", 4) == 0)
        rpd_log(rpd_conn_service(conn), RPD_LOG_INFO, "said: %.*s", (int)size - 4, line + 4);
    if (strncmp(text, "logs ", 5) == 0)
        for (unsigned long i = 0, count = strtoul(text + 5, NULL, 10); i < count; i++)
            rpd_log(rpd_conn_service(conn), RPD_LOG_INFO, "number %lu.", i);
    if (strcmp(text, "debug") == 0)
        rpd_log(rpd_conn_service(conn), RPD_LOG_DEBUG, "for those who debug");
    if (strcmp(text, "later") == 0 && !do_nothing_later(rpd_conn_service(conn)))
        return;
    if (strncmp(text, "sleep ", 6) == 0)
        keep_the_loop(strtol(text + 6, NULL, 10));
    rpd_conn_write(conn, "ok\n", 3);
}

static void on_data(struct rpd_conn *conn, void *unused)
{
    struct rpd_span line;

    (void)unused;
    while (rpd_conn_read_line(conn, &line)) {
        rpd_metric_add_alone(values[LINES], 1);
        rpd_metric_observe(values[LENGTH], line.size);
        answer(conn, line.data, line.size);
    }
}

static void on_connect(struct rpd_conn *conn, void *unused)
{
    (void)conn, (void)unused;
    rpd_metric_add(values[OPEN], 1);
}

static void on_close(struct rpd_conn *conn, void *unused)
{
    (void)conn, (void)unused;
    rpd_metric_add(values[OPEN], -1);
}

static void on_writable(struct rpd_conn *conn, void *unused)
{
    (void)conn, (void)unused;
}

static void on_busy(struct rpd_conn *conn)
{
    rpd_conn_write(conn, "busy\n", 5);
}

static void on_ready(struct rpd_service *service, void *unused)
{
    (void)service, (void)unused;
}

static void on_drain(struct rpd_service *service, void *unused)
{
    (void)service, (void)unused;
}

static void on_part(struct rpd_service *service, const char *name, enum rpd_part_outcome outcome)
{
    (void)service, (void)name, (void)outcome;
}

/* So that the effects of on_drain() and of this function can still be seen. */
static void stop(struct rpd_service *service, void *unused)
{
    (void)service, (void)unused;
}

/* The state is freed last: until the file exists, the page stays. */
static void unload(void *unused)
{
    const char *file = getenv("TEST_UNLOAD_WAITS_FOR");

    (void)unused;
    for (int i = 0; file && access(file, F_OK) != 0 && i < 6000; i++)
        poll(NULL, 0, 5);
}

RPD_BACKEND(counts, .summary = "Moves metrics", .options = options, .metrics = metrics,
            .claim = claim, .load = load, .unload = unload, .serve = serve,
            .on_connect = on_connect, .on_data = on_data, .on_close = on_close,
            .on_writable = on_writable, .on_busy = on_busy, .on_ready = on_ready,
            .on_drain = on_drain, .on_part = on_part, .stop = stop);
