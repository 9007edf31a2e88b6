/* A plugin of ABI v1 that uses every function and every field of the
 * descriptor. It never changes: see README.md.
 *
 * Callbacks say on stderr that they ran: "every: on_ready". Clients ask, a line
 * each; what begins with "#" is answered from rpd_conn_input() alone:
 *
 *     options   service   fd   lines   job   big   writables   finish   abort
 *
 * An endpoint whose path ends in /invalid, /in_use, /io or /other cannot be
 * bound; one that ends in /made is bound without rpd's help; clients of one that
 * ends in /direct are taken by rpd_accept(). */
#include <rpd/backend.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state {
    char *required; /* a part */
};

struct client {
    int lines;
};

struct work {
    struct rpd_conn *conn;
    char name[32];
};

static const struct rpd_option options[] = {
    RPD_OPTION_STRING("text", "a", "a text"),
    RPD_OPTION_INTEGER("integer", 2, -10, 10, "an integer"),
    RPD_OPTION_NUMBER("number", 0.5, 0, 1, "a number"),
    RPD_OPTION_BOOLEAN("boolean", true, "a boolean"),
    RPD_OPTION_STRING("fail", "", "what fails: load, serve"),
    RPD_OPTION_BOOLEAN("endless", false, "whether a part loads until it is cancelled"),
    RPD_OPTIONS_END,
};

static int writables;

static void say(const char *what)
{
    char line[80];
    const int size = snprintf(line, sizeof line, "every: %s\n", what);

    if (write(STDERR_FILENO, line, (size_t)size) < 0)
        return;
}

/* ---- bind ---- */

static bool ends_in(const char *text, const char *end)
{
    return strlen(text) > strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static struct rpd_bound make_listener(const struct rpd_endpoint *endpoint)
{
    socklen_t length;
    const struct sockaddr *address = rpd_endpoint_address(endpoint, &length);
    const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, address, length) < 0 || listen(fd, rpd_endpoint_backlog(endpoint)) < 0)
        return rpd_bound_io(errno);
    return rpd_bound_listening(fd);
}

static struct rpd_bound bind_every(const struct rpd_endpoint *endpoint)
{
    const char *text = rpd_endpoint_text(endpoint);

    if (ends_in(text, "/invalid"))
        return rpd_bound_invalid("%s is not for me", "it");
    if (ends_in(text, "/in_use"))
        return rpd_bound_in_use();
    if (ends_in(text, "/io"))
        return rpd_bound_io(ENETDOWN);
    if (ends_in(text, "/other"))
        return rpd_bound_other("for reason %d", 7);
    return ends_in(text, "/made") ? make_listener(endpoint) : rpd_bind_plainly(endpoint);
}

/* ---- serve ---- */

static void take(struct rpd_service *service, int take_fd, const struct sockaddr *peer,
                 socklen_t peer_length, void *arg)
{
    const char *answer = arg;

    if (peer && peer_length > 0 && write(take_fd, answer, strlen(answer)) < 0)
        say("WRONG: a client cannot be written to");
    rpd_client_gone(service, take_fd);
    close(take_fd);
}

static int serve(struct rpd_service *service, struct rpd_listener *listener)
{
    static char answer[] = "direct\n";

    if (strcmp(rpd_option_string(service, "fail"), "serve") == 0)
        return rpd_serve_fail(service, "cannot serve, on %s", "purpose");
    if (ends_in(rpd_listener_text(listener), "/direct"))
        return rpd_accept(service, listener, take, answer);
    return rpd_serve_connections(service, listener);
}

/* ---- load ---- */

static void *load_required(struct rpd_load *load)
{
    const char *given = rpd_load_arg(load);

    while (rpd_option_boolean(rpd_load_service(load), "endless") && !rpd_load_cancelled(load))
        rpd_load_wait(load, 10);
    rpd_load_progress(load, 1, 1, "part");
    return strdup(given);
}

static void attach_required(void *state, void *part)
{
    ((struct state *)state)->required = part;
    say("attach");
}

static void discard(void *part)
{
    free(part);
    say("discard");
}

static void *load_optional(struct rpd_load *load)
{
    return rpd_load_arg(load);
}

static void attach_optional(void *state, void *part)
{
    say(state && part ? "attach optional" : "WRONG: nothing to attach");
}

static void discard_optional(void *part)
{
    (void)part;
}

static void *load(struct rpd_load *load)
{
    static char first[] = "one", second[] = "two";
    const struct rpd_load_part required = {.name = "required",
                                           .load = load_required,
                                           .attach = attach_required,
                                           .discard = discard,
                                           .arg = first};
    const struct rpd_load_part optional = {.name = "optional",
                                           .load = load_optional,
                                           .attach = attach_optional,
                                           .discard = discard_optional,
                                           .arg = second,
                                           .optional = true};
    struct state *state;

    if (strcmp(rpd_option_string(rpd_load_service(load), "fail"), "load") == 0)
        return rpd_load_fail(load, "cannot load, on %s", "purpose");
    if (rpd_load_arg(load) || rpd_load_add_part(load, &required) < 0 ||
        rpd_load_add_part(load, &optional) < 0)
        return rpd_load_fail(load, "a part was refused");
    rpd_load_progress(load, 0, 1, "states");
    state = calloc(1, sizeof *state);
    rpd_load_progress(load, 1, 1, "states");
    return state;
}

static void unload(void *state)
{
    free(((struct state *)state)->required);
    free(state);
    say("unload");
}

static void on_ready(struct rpd_service *service, void *state)
{
    say(rpd_service_state(service) == state ? "on_ready" : "WRONG: another state");
}

/* ---- jobs ---- */

static void run(struct rpd_job *job, void *arg)
{
    struct work *work = arg;

    snprintf(work->name, sizeof work->name, "%s%s", rpd_service_name(rpd_job_service(job)),
             rpd_job_cancelled(job) ? ", cancelled" : "");
    rpd_log(rpd_job_service(job), RPD_LOG_INFO, "every: a job of %s", work->name);
}

static void done(struct rpd_service *service, void *arg, bool cancelled)
{
    struct work *work = arg;

    (void)service;
    if (rpd_conn_is_open(work->conn))
        rpd_conn_printf(work->conn, "job of %s%s\n", work->name, cancelled ? " WRONG" : "");
    rpd_conn_resume(work->conn);
    rpd_conn_release(work->conn);
    free(work);
}

static void submit(struct rpd_conn *conn)
{
    struct work *work = calloc(1, sizeof *work);

    work->conn = conn;
    rpd_conn_keep(conn);
    rpd_conn_pause(conn);
    if (rpd_job_submit(rpd_conn_service(conn), run, done, work) < 0)
        done(rpd_conn_service(conn), work, true);
}

/* ---- connections ---- */

static void answer_service(struct rpd_conn *conn, const struct state *state)
{
    const struct rpd_service *service = rpd_conn_service(conn);
    const struct rpd_progress progress = rpd_service_progress(service);

    rpd_conn_printf(conn, "%s %s ready=%d fraction=%g eta=%d parts=%u/%u loop=%d\n",
                    rpd_service_name(service), state ? state->required : "-", progress.ready,
                    progress.fraction, (int)progress.eta_ms, progress.loaded, progress.parts,
                    rpd_service_event_base(service) != NULL);
}

static void answer_options(struct rpd_conn *conn)
{
    const struct rpd_service *service = rpd_conn_service(conn);

    rpd_conn_printf(conn, "%s %d %g %d\n", rpd_option_string(service, "text"),
                    (int)rpd_option_integer(service, "integer"),
                    rpd_option_number(service, "number"), rpd_option_boolean(service, "boolean"));
}

/* More than the kernel takes at once, and more than on_writable waits for. */
static void answer_big(struct rpd_conn *conn)
{
    static char block[1 << 20];

    memset(block, 'b', sizeof block);
    for (int i = 0; i < 4; i++)
        rpd_conn_write(conn, block, sizeof block);
    if (rpd_conn_output_size(conn) < sizeof block)
        say("WRONG: no output waits");
    rpd_conn_write(conn, "\n", 1);
}

static void answer(struct rpd_conn *conn, const struct state *state, const char *line)
{
    const struct client *client = rpd_conn_data(conn);
    struct sockaddr_storage name;
    socklen_t length = sizeof name;

    if (strcmp(line, "options") == 0)
        answer_options(conn);
    else if (strcmp(line, "service") == 0)
        answer_service(conn, state);
    else if (strcmp(line, "fd") == 0)
        rpd_conn_printf(conn, "%d\n",
                        getsockname(rpd_conn_fd(conn), (struct sockaddr *)&name, &length));
    else if (strcmp(line, "lines") == 0)
        rpd_conn_printf(conn, "%d\n", client->lines);
    else if (strcmp(line, "job") == 0)
        submit(conn);
    else if (strcmp(line, "big") == 0)
        answer_big(conn);
    else if (strcmp(line, "writables") == 0)
        rpd_conn_printf(conn, "%d\n", writables);
    else if (strcmp(line, "finish") == 0)
        rpd_conn_finish(conn);
    else if (strcmp(line, "abort") == 0)
        rpd_conn_abort(conn);
    else
        rpd_conn_printf(conn, "what is %s?\n", line);
}

static void on_connect(struct rpd_conn *conn, void *state)
{
    (void)state;
    rpd_conn_set_data(conn, calloc(1, sizeof(struct client)));
    say("on_connect");
}

static void on_data(struct rpd_conn *conn, void *state)
{
    struct client *client = rpd_conn_data(conn);
    const struct rpd_span input = rpd_conn_input(conn);
    struct rpd_span line;

    if (input.size > 0 && *input.data == '#') {
        rpd_conn_consume(conn, input.size);
        rpd_conn_printf(conn, "%zu bytes\n", input.size);
        return;
    }
    while (rpd_conn_read_line(conn, &line)) {
        char text[64];

        client->lines++;
        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        answer(conn, state, text);
    }
    if (rpd_conn_input_ended(conn))
        rpd_conn_printf(conn, "bye\n");
}

static void on_writable(struct rpd_conn *conn, void *state)
{
    (void)conn, (void)state;
    writables++;
}

static void on_close(struct rpd_conn *conn, void *state)
{
    (void)state;
    free(rpd_conn_data(conn));
    say("on_close");
}

static void on_drain(struct rpd_service *service, void *state)
{
    (void)service, (void)state;
    say("on_drain");
}

static void stop(struct rpd_service *service, void *state)
{
    (void)service, (void)state;
    say("stop");
}

static void on_busy(struct rpd_conn *conn)
{
    rpd_conn_write(conn, "busy\n", 5);
}

RPD_BACKEND_BIND(bind_every);
RPD_BACKEND(every, .summary = "Uses all of ABI v1", .version = "1", .options = options,
            .serve = serve, .load = load, .unload = unload, .on_ready = on_ready,
            .on_connect = on_connect, .on_data = on_data, .on_writable = on_writable,
            .on_close = on_close, .on_drain = on_drain, .stop = stop, .warmup = RPD_WARMUP_REFUSE,
            .serves_without_state = true, .on_busy = on_busy);
