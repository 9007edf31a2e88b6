/* Clients. See client.h.
 *
 * Requests that have come together are run together: a batch is parsed first, and what
 * its keys need of the table and of the entries is fetched meanwhile, so that the
 * processor waits for memory once a batch and not at each key. */
#include "client.h"

#include <event2/event.h>

#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 24,
    BATCH_ARGS = 4, /* a request with more ends the batch: its arguments stay with the parser */
    HOLD_AGAIN_US = 5000,
    TURN_US = 4000 /* then others come first, however much of a client's input is left */
};

struct request {
    struct resp_request parsed;
    struct resp_arg args[BATCH_ARGS];
    const struct command *command;
    uint64_t hash; /* of the first key */
};

struct batch {
    struct request requests[BATCH];
    size_t count;
    size_t size;              /* of all requests in the input */
    enum resp_result parsing; /* of what follows */
    struct resp_request failed;
};

/* ---- sessions -------------------------------------------------------------------- */

static void count_session(struct kv *kv, struct session *session)
{
    if (!kv || session->is_counted)
        return;
    session->is_counted = true;
    kv->connections++;
    kv->sessions++;
}

void client_connect(struct rpd_conn *conn, void *state)
{
    static _Atomic uint64_t last_id;
    struct kv *kv = state;
    struct session *session = calloc(1, sizeof *session);

    if (!session) {
        rpd_conn_abort(conn);
        return;
    }
    session->conn = conn;
    session->id = ++last_id;
    session->since_us = kv_clock_monotonic_us();
    session->protocol = 2;
    session->is_authenticated = !kv_password(rpd_conn_service(conn));
    rpd_conn_set_data(conn, session);
    count_session(kv, session);
}

void client_close(struct rpd_conn *conn, void *state)
{
    struct kv *kv = state;
    struct session *session = rpd_conn_data(conn);

    if (!session)
        return;
    if (kv && session->is_held)
        TAILQ_REMOVE(&kv->held, session, link);
    if (kv && session->is_counted)
        kv->sessions--;
    if (session->again)
        event_free(session->again);
    resp_finish(&session->parser);
    free(session->name);
    free(session);
}

/* ---- a batch --------------------------------------------------------------------- */

static bool has_key(const struct request *request)
{
    return request->command && request->command->first_key == 1 && request->parsed.count > 1;
}

/* Copies the parser's arguments, which the next request overwrites. False: too many. */
static bool keep_args(struct request *request)
{
    struct resp_request *parsed = &request->parsed;

    if (parsed->count > BATCH_ARGS)
        return false;
    if (parsed->count > 0)
        memcpy(request->args, parsed->args, parsed->count * sizeof *request->args);
    parsed->args = request->args;
    return true;
}

static void prepare(struct request *request, const struct kv *kv, unsigned database)
{
    const struct resp_request *parsed = &request->parsed;

    request->command = NULL;
    if (parsed->count == 0)
        return;
    request->command = command_find(kv ? &kv->commands : NULL, parsed->base + parsed->args[0].at,
                                    parsed->args[0].size);
    if (!kv || !has_key(request))
        return;
    request->hash = siphash(kv->store.seed, parsed->base + parsed->args[1].at,
                            parsed->args[1].size);
    table_prefetch_slot(&kv->store.databases[database].parts[table_part(request->hash)],
                        request->hash);
}

static void prefetch_entries(const struct batch *batch, const struct kv *kv, unsigned database)
{
    for (size_t i = 0; kv && i < batch->count; i++) {
        const struct request *request = &batch->requests[i];
        if (has_key(request))
            table_prefetch_entry(&kv->store.databases[database].parts[table_part(request->hash)],
                                 request->hash);
    }
}

static void parse_batch(struct batch *batch, struct session *session, const struct kv *kv,
                        struct rpd_span input)
{
    const struct resp_limits limits = {.bulk_max = 512U * 1024 * 1024,
                                       .request_max = 1024U * 1024 * 1024,
                                       .is_stranger = !session->is_authenticated};
    const size_t most = limits.is_stranger ? 1 : BATCH;
    bool goes_on = true;

    batch->count = batch->size = 0;
    batch->parsing = RESP_REQUEST;
    while (goes_on && batch->count < most) {
        struct request *request = &batch->requests[batch->count];
        batch->parsing = resp_parse(&session->parser, &limits, input.data + batch->size,
                                    input.size - batch->size, &request->parsed);
        if (batch->parsing == RESP_ERROR)
            batch->failed = request->parsed;
        if (batch->parsing != RESP_REQUEST)
            return;
        /* (The line of an inline command is the parser's, too.) */
        goes_on = request->parsed.base == input.data + batch->size && keep_args(request);
        prepare(request, kv, session->database);
        batch->size += request->parsed.size;
        batch->count++;
    }
}

/* ---- running it -------------------------------------------------------------------- */

static void write_to_conn(void *conn, const char *data, size_t size)
{
    rpd_conn_write(conn, data, size);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_conn *conn = arg;

    (void)fd;
    (void)what;
    rpd_conn_resume(conn);
}

/* The client's input is offered anew later. (0 is after what has come of others meanwhile:
 * event_base_once() would have it before.) */
static void go_on_after(struct rpd_conn *conn, int64_t wait_us)
{
    const struct timeval wait = {.tv_usec = wait_us};
    struct session *session = rpd_conn_data(conn);

    if (!session->again)
        session->again = event_new(rpd_service_event_base(rpd_conn_service(conn)), -1, 0, on_again,
                                   conn);
    if (session->again && event_add(session->again, &wait) == 0)
        rpd_conn_pause(conn);
    else
        rpd_conn_abort(conn); /* no memory */
}

/* Until the next part is there; without a state there is no list to be put in, but
 * that takes only moments. */
static void hold(struct rpd_conn *conn, struct kv *kv)
{
    struct session *session = rpd_conn_data(conn);

    if (!kv) {
        go_on_after(conn, HOLD_AGAIN_US);
        return;
    }
    rpd_conn_pause(conn);
    session->is_held = true;
    TAILQ_INSERT_TAIL(&kv->held, session, link);
}

void client_resume_held(struct kv *kv)
{
    struct session *session;

    while ((session = TAILQ_FIRST(&kv->held))) {
        TAILQ_REMOVE(&kv->held, session, link);
        session->is_held = false;
        rpd_conn_resume(session->conn);
    }
}

/* (Without a snapshot the state is there in a moment, and -LOADING would be a surprise.) */
static bool is_to_be_held(const struct call *call)
{
    if (!call->command || (call->kv && call->kv->is_ready) || command_has_its_data(call) ||
        !call->session->is_authenticated)
        return false;
    return strcmp(rpd_option_string(call->service, "loading"), "hold") == 0 ||
           (!call->kv && !rpd_option_string(call->service, "snapshot"));
}

enum batch_end { BATCH_DONE, BATCH_STOPPED /* nothing more is read of this client now */ };

/* ret_used: of the input. */
static enum batch_end run_batch(const struct batch *batch, struct call *call, size_t *ret_used)
{
    *ret_used = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct request *request = &batch->requests[i];
        call->command = request->command;
        call->argc = request->parsed.count;
        call->args = request->parsed.args;
        call->base = request->parsed.base;
        call->hash = request->hash;
        call->end = CALL_DONE;
        if (call->argc > 0 && is_to_be_held(call)) {
            hold(call->conn, call->kv);
            return BATCH_STOPPED;
        }
        if (call->argc > 0)
            command_run(call);
        if (call->end == CALL_AGAIN) {
            go_on_after(call->conn, 0);
            return BATCH_STOPPED;
        }
        *ret_used += request->parsed.size;
        if (call->end == CALL_DONE && kv_clock_coarse_us() < call->turn_ends)
            continue;
        if (call->end == CALL_DONE) {
            go_on_after(call->conn, 0);
            return BATCH_STOPPED;
        }
        reply_flush(call->reply); /* what is finished takes no more */
        if (call->end == CALL_CLOSE)
            rpd_conn_finish(call->conn);
        return BATCH_STOPPED;
    }
    return BATCH_DONE;
}

static void fail(struct call *call, const struct batch *batch)
{
    if (batch->failed.error[0])
        reply_errorf(call->reply, "ERR %s", batch->failed.error);
    else
        reply_error(call->reply, "OOM the machine has no memory left for this request");
    reply_flush(call->reply);
    rpd_conn_finish(call->conn);
}

/* One batch of the input. Whether there may be more to do. */
static bool work(struct call *call)
{
    struct batch batch;
    const struct rpd_span input = rpd_conn_input(call->conn);
    size_t used;
    enum batch_end end;

    if (input.size == 0)
        return false;
    parse_batch(&batch, call->session, call->kv, input);
    prefetch_entries(&batch, call->kv, call->session->database);
    end = run_batch(&batch, call, &used);
    if (used < batch.size || end == BATCH_STOPPED)
        resp_reset(&call->session->parser);
    if (call->kv)
        call->kv->commands_done += batch.count;
    if (end == BATCH_DONE && batch.parsing == RESP_ERROR)
        fail(call, &batch);
    rpd_conn_consume(call->conn, used);
    return end == BATCH_DONE && batch.parsing == RESP_REQUEST;
}

void client_data(struct rpd_conn *conn, void *state)
{
    struct kv *kv = state;
    struct session *session = rpd_conn_data(conn);
    struct reply reply;
    struct call call = {.kv = kv,
                        .store = kv ? &kv->store : NULL,
                        .service = rpd_conn_service(conn),
                        .session = session,
                        .conn = conn,
                        .reply = &reply,
                        .turn_ends = kv_clock_coarse_us() + TURN_US};

    reply.size = 0;
    reply.protocol = session->protocol;
    reply.write = write_to_conn;
    reply.to = conn;
    if (kv) {
        if (!kv->service)
            kv->service = call.service;
        count_session(kv, session);
        kv_clock_forget(&kv->store.clock);
    }
    while (work(&call)) {
        /* A client that does not read its answers is not read: that is seen when
         * they are written. */
        if (reply.size >= REPLY_SIZE / 2)
            reply_flush(&reply);
    }
    reply_flush(&reply);
    resp_rest(&session->parser);
}
