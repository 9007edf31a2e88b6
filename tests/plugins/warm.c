/* A backend whose load follows its options, run by run. A run is "load", or a part: "part-0",
 * "part-1", ... In this order a run
 *
 *   fails            where -o failing names it, for the first -o failures times; with
 *                      -o fails_at_gate when GATES/RUN is there
 *   hangs            where -o hanging names it, for the first -o hangs times: -o how=
 *                      heed    waits until it is cancelled
 *                      poll    checks its cancel flag every millisecond
 *                      ignore  sleeps, for ever
 *                      spin    uses the processor until its gate opens, and reports nothing
 *                      report  the same, and reports its progress
 *   makes steps      -o steps of twice as many, each of -o step_ms, and reports its progress
 *   waits            until the file GATES/RUN exists; "-o gates=" means no gates
 *
 * Each line of a client is answered with "NUMBER LINE PARTS": the client's number in the order of
 * on_connect, and how many parts are attached, or "cold" if there is no state. But "job" is
 * answered when GATES/job exists; "work MS" submits a job for which no client waits; "block MS"
 * blocks the loop.
 *
 * Lines on stderr begin with "test: ". WARM adds fields to the descriptor. */
#include <rpd/backend.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef WARM
#define WARM .serves_without_state = true, .on_busy = on_busy
#endif

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("gates", "", "the directory of the gates"),
    RPD_OPTION_INTEGER("parts", 0, 0, 1000, "how many parts"),
    RPD_OPTION_INTEGER("optional", -1, -1, 1000, "the part that is optional"),
    RPD_OPTION_STRING("failing", "", "the run that fails"),
    RPD_OPTION_INTEGER("failures", 1, 0, 1000, "how often"),
    RPD_OPTION_BOOLEAN("fails_at_gate", 0, "whether it waits for its gate before it fails"),
    RPD_OPTION_STRING("hanging", "", "the run that hangs"),
    RPD_OPTION_INTEGER("hangs", 1000, 0, 1000, "how often"),
    RPD_OPTION_STRING("how", "heed", "how"),
    RPD_OPTION_INTEGER("steps", 0, 0, 100000, "steps with progress"),
    RPD_OPTION_INTEGER("step_ms", 10, 0, 100000, "how long one takes"),
    RPD_OPTION_INTEGER("attach_ms", 0, 0, 100000, "for how long an optional attach keeps the loop"),
    RPD_OPTION_INTEGER("connect_ms", 0, 0, 1000, "for how long on_connect keeps the loop"),
    RPD_OPTION_INTEGER("data_ms", 0, 0, 1000, "for how long a line keeps the loop"),
    RPD_OPTION_INTEGER("busy_bytes", 0, 0, 10000000, "how much precedes the busy answer"),
    RPD_OPTIONS_END,
};

struct state {
    int attached;
};

struct run {
    char name[32];
    bool optional;
    const struct rpd_service *service;
};

struct work {
    struct rpd_conn *conn; /* NULL: no client waits */
    int64_t ms;            /* or the gate */
    int number;
};

static int opened, closed;
static volatile int returned; /* code after a call, so that its caller's frame is kept */
static atomic_int failed, hung, states, parts;

static void tell(const char *text)
{
    char line[160];
    const int size = snprintf(line, sizeof line, "test: %s\n", text);

    if (write(STDERR_FILENO, line, (size_t)size) < 0)
        return;
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void keep_thread(int64_t ms)
{
    const int64_t end = now_us() + ms * 1000;

    while (now_us() < end)
        continue;
}

/* ---- the load ---------------------------------------------------------------- */

static bool gate_is_open(const struct rpd_service *service, const char *name)
{
    const char *dir = rpd_option_string(service, "gates");
    char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return *dir == '\0' || access(path, F_OK) == 0;
}

/* The functions that the log line must name. */
__attribute__((noinline)) static void heed_and_hang(struct rpd_load *load)
{
    while (rpd_load_wait(load, 60000))
        continue;
    returned++;
}

__attribute__((noinline)) static void sleep_for_ever(void)
{
    for (;;)
        nanosleep(&(struct timespec){.tv_sec = 1000}, NULL);
}

__attribute__((noinline)) static void poll_and_hang(struct rpd_load *load)
{
    while (!rpd_load_cancelled(load))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    returned++;
}

static bool spin(struct rpd_load *load, const char *name, bool reports)
{
    for (uint64_t done = 1; !gate_is_open(rpd_load_service(load), name); done++) {
        if (rpd_load_cancelled(load))
            return false;
        if (reports)
            rpd_load_progress(load, done, 0, "turns");
        keep_thread(1);
    }
    return true;
}

/* False: the run must return NULL. */
static bool hang(struct rpd_load *load, const char *name)
{
    const char *how = rpd_option_string(rpd_load_service(load), "how");

    tell("hangs");
    if (strcmp(how, "heed") == 0)
        heed_and_hang(load);
    else if (strcmp(how, "poll") == 0)
        poll_and_hang(load);
    else if (strcmp(how, "ignore") == 0)
        sleep_for_ever();
    else
        return spin(load, name, strcmp(how, "report") == 0);
    return false;
}

static bool make_steps(struct rpd_load *load)
{
    const struct rpd_service *service = rpd_load_service(load);
    const uint64_t steps = (uint64_t)rpd_option_integer(service, "steps");

    for (uint64_t done = 1; done <= steps; done++) {
        if (!rpd_load_wait(load, (unsigned)rpd_option_integer(service, "step_ms")))
            return false;
        rpd_load_progress(load, done, 2 * steps, "keys");
    }
    return true;
}

static bool wait_at_gate(struct rpd_load *load, const char *name)
{
    while (!gate_is_open(rpd_load_service(load), name))
        if (!rpd_load_wait(load, 3))
            return false;
    return true;
}

static bool is_meant(const struct rpd_service *service, const char *option, const char *name)
{
    return strcmp(rpd_option_string(service, option), name) == 0;
}

/* False: the run must return NULL. */
static bool perform(struct rpd_load *load, const char *name)
{
    const struct rpd_service *service = rpd_load_service(load);
    char text[80];

    snprintf(text, sizeof text, "%s begins", name);
    tell(text);
    if (is_meant(service, "failing", name) &&
        atomic_fetch_add(&failed, 1) < rpd_option_integer(service, "failures")) {
        if (rpd_option_boolean(service, "fails_at_gate") && !wait_at_gate(load, name))
            return false;
        rpd_load_fail(load, "%s is broken; fix it", name);
        return false;
    }
    if (is_meant(service, "hanging", name) &&
        atomic_fetch_add(&hung, 1) < rpd_option_integer(service, "hangs") && !hang(load, name))
        return false;
    return make_steps(load) && wait_at_gate(load, name);
}

static void *load_part(struct rpd_load *load)
{
    struct run *run = rpd_load_arg(load);

    if (!perform(load, run->name))
        return NULL;
    atomic_fetch_add(&parts, 1);
    return run;
}

static void attach(void *state_, void *part)
{
    struct state *state = state_;
    const struct run *run = part;
    char text[80];

    snprintf(text, sizeof text, "%s attached", run->name);
    tell(text);
    state->attached++;
    atomic_fetch_sub(&parts, 1);
    if (run->optional)
        keep_thread(rpd_option_integer(run->service, "attach_ms"));
}

static void discard(void *part)
{
    (void)part;
    atomic_fetch_sub(&parts, 1);
}

static void *load(struct rpd_load *load)
{
    static struct run runs[1000];
    const struct rpd_service *service = rpd_load_service(load);
    struct state *state;

    if (!perform(load, "load"))
        return NULL;
    for (int i = 0; i < rpd_option_integer(service, "parts"); i++) {
        snprintf(runs[i].name, sizeof runs[i].name, "part-%d", i);
        runs[i].optional = i == rpd_option_integer(service, "optional");
        runs[i].service = service;
        if (rpd_load_add_part(load, &(struct rpd_load_part){.name = runs[i].name,
                                                            .load = load_part,
                                                            .attach = attach,
                                                            .discard = discard,
                                                            .arg = &runs[i],
                                                            .optional = runs[i].optional}) < 0)
            tell("WRONG: a part was refused");
    }
    state = calloc(1, sizeof *state);
    atomic_fetch_add(&states, 1);
    return state;
}

static void unload(void *state)
{
    free(state);
    if (atomic_fetch_sub(&states, 1) != 1 || atomic_load(&parts) != 0)
        tell("WRONG: states or parts are left");
}

static void on_ready(struct rpd_service *service, void *state)
{
    if (rpd_service_state(service) != state)
        tell("WRONG: another state");
}

/* ---- clients ------------------------------------------------------------------ */

static void run_job(struct rpd_job *job, void *arg)
{
    const struct work *work = arg;
    const int64_t end = now_us() + work->ms * 1000;

    while (!rpd_job_cancelled(job) &&
           (work->conn ? !gate_is_open(rpd_job_service(job), "job") : now_us() < end))
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
}

static void job_done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct work *work = arg;

    (void)service;
    if (work->conn) {
        rpd_conn_printf(work->conn, "%d job%s\n", work->number, cancelled ? " cancelled" : "");
        rpd_conn_release(work->conn);
    }
    free(work);
}

static void submit(struct rpd_conn *conn, bool waits, int64_t ms, int number)
{
    struct work *work = calloc(1, sizeof *work);

    *work = (struct work){.conn = waits ? conn : NULL, .ms = ms, .number = number};
    if (waits)
        rpd_conn_keep(conn);
    if (rpd_job_submit(rpd_conn_service(conn), run_job, job_done, work) < 0)
        tell("WRONG: a job was refused");
}

static void answer(struct rpd_conn *conn, int number, const struct rpd_span *line,
                   const struct state *state)
{
    if (state)
        rpd_conn_printf(conn, "%d %.*s %d\n", number, (int)line->size, line->data, state->attached);
    else
        rpd_conn_printf(conn, "%d %.*s cold\n", number, (int)line->size, line->data);
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_set_data(conn, (void *)(intptr_t)++opened);
    keep_thread(rpd_option_integer(rpd_conn_service(conn), "connect_ms"));
}

static void on_data(struct rpd_conn *conn, void *state)
{
    const int number = (int)(intptr_t)rpd_conn_data(conn);
    struct rpd_span line;

    if (number == 0)
        tell("WRONG: on_data before on_connect");
    while (rpd_conn_read_line(conn, &line) || rpd_conn_read_rest(conn, &line)) {
        char text[64];

        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        if (strcmp(text, "job") == 0) {
            submit(conn, true, 0, number);
            continue;
        }
        if (strncmp(text, "work ", 5) == 0)
            submit(conn, false, atoi(text + 5), number);
        if (strncmp(text, "block ", 6) == 0)
            keep_thread(atoi(text + 6));
        keep_thread(rpd_option_integer(rpd_conn_service(conn), "data_ms"));
        answer(conn, number, &line, state);
    }
}

static void on_close(struct rpd_conn *conn, void *state)
{
    (void)state;
    closed++;
    if (rpd_conn_data(conn) == NULL)
        tell("WRONG: on_close without on_connect");
}

__attribute__((unused)) static void on_busy(struct rpd_conn *conn)
{
    static const char filler[1000] = "";
    const int64_t bytes = rpd_option_integer(rpd_conn_service(conn), "busy_bytes");

    for (int64_t left = bytes; left > 0; left -= (int64_t)sizeof filler)
        rpd_conn_write(conn, filler, left < (int64_t)sizeof filler ? (size_t)left : sizeof filler);
    rpd_conn_printf(conn, "busy\n");
}

static void stop(struct rpd_service *service, void *state)
{
    (void)service, (void)state;
    tell(opened == closed ? "balanced" : "WRONG: clients are left");
}

RPD_BACKEND(warm, .summary = "Loads as it is told", .options = options, .load = load,
            .unload = unload, .on_ready = on_ready, .on_connect = on_connect, .on_data = on_data,
            .on_close = on_close, .stop = stop, WARM);
