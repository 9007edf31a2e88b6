/* Clients. See client.h.
 *
 * Requests that have come together are run together: a batch is parsed first, and what
 * its keys need of the table and of the entries is fetched meanwhile, so that the
 * processor waits for memory once a batch and not at each key.
 *
 * A batch ends early where too much output waits. A large request is copied first, some of it in
 * each turn; then it does not matter how long it takes, nor whether its client goes. */
#include "client.h"

#include "multi.h"
#include "pubsub.h"
#include "request_copy.h"
#include "steps.h"

#include <event2/event.h>

#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 24,
    BATCH_ARGS = 4, /* a request with more ends the batch: its arguments stay with the parser */
    BATCH_BYTES = 128 * 1024,
    LARGE_BYTES = 2 * 1024 * 1024, /* of a request that is copied first */
    LARGE_ARGS = 4096,
    ARGS_AT_ONCE = 50000, /* are read */
    HOLD_AGAIN_US = 5000
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

/* In the order of their ids: those that came before there was a state are late. */
static void list_session(struct kv *kv, struct session *session)
{
    struct session *before = TAILQ_LAST(&kv->all, all_sessions);

    while (before && before->id > session->id)
        before = TAILQ_PREV(before, all_sessions, all_link);
    if (before)
        TAILQ_INSERT_AFTER(&kv->all, before, session, all_link);
    else
        TAILQ_INSERT_HEAD(&kv->all, session, all_link);
}

static void count_session(struct kv *kv, struct session *session)
{
    if (!kv || session->is_counted)
        return;
    session->is_counted = true;
    kv->connections++;
    kv->sessions++;
    list_session(kv, session);
}

void client_abort_for_memory(struct kv *kv, struct rpd_conn *conn)
{
    if (kv)
        kv->short_of_memory++;
    rpd_log(rpd_conn_service(conn), RPD_LOG_WARNING,
            "a client was closed: there was no memory for it; lower maxmemory");
    rpd_conn_abort(conn);
}

void client_connect(struct rpd_conn *conn, void *state)
{
    static _Atomic uint64_t last_id;
    struct kv *kv = state;
    struct session *session = calloc(1, sizeof *session);

    if (!session) {
        client_abort_for_memory(kv, conn);
        return;
    }
    session->conn = conn;
    session->id = ++last_id;
    session->since_us = session->used_us = kv_clock_monotonic_us();
    LIST_INIT(&session->watches);
    TAILQ_INIT(&session->subscriptions);
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
    if (kv && session->is_counted) {
        kv->sessions--;
        TAILQ_REMOVE(&kv->all, session, all_link);
    }
    if (session->again)
        event_free(session->again);
    session->again = NULL;
    session->is_closed = true;
    if (!session->has_steps)
        client_free(kv, session);
}

void client_free(struct kv *kv, struct session *session)
{
    if (kv) {
        multi_discard(kv, session);
        pubsub_forget(kv, session);
    }
    request_copy_free(session->copy);
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
    if (!kv || !has_key(request) || parsed->args[1].size > CALL_KEY_MAX)
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
        if (has_key(request) && request->parsed.args[1].size <= CALL_KEY_MAX)
            table_prefetch_entry(&kv->store.databases[database].parts[table_part(request->hash)],
                                 request->hash);
    }
}

/* The parser counts in 32 bits. */
static uint32_t request_limit(const struct rpd_conn *conn)
{
    const size_t limit = rpd_conn_input_limit(conn), most = (size_t)1024 * 1024 * 1024;

    return (uint32_t)(limit < most ? limit : most);
}

static void parse_batch(struct batch *batch, struct session *session, const struct kv *kv,
                        struct rpd_span input)
{
    const struct resp_limits limits = {.bulk_max = 512U * 1024 * 1024,
                                       .request_max = request_limit(session->conn),
                                       .at_once = ARGS_AT_ONCE,
                                       .is_stranger = !session->is_authenticated};
    const size_t most = limits.is_stranger ? 1 : BATCH;
    bool goes_on = true;

    batch->count = batch->size = 0;
    batch->parsing = RESP_REQUEST;
    while (goes_on && batch->count < most && batch->size < BATCH_BYTES) {
        struct request *request = &batch->requests[batch->count];
        batch->parsing = resp_parse(&session->parser, &limits, input.data + batch->size,
                                    input.size - batch->size, &request->parsed);
        if (batch->parsing == RESP_ERROR)
            batch->failed = request->parsed;
        if (batch->parsing != RESP_REQUEST)
            return;
        /* The line of an inline command is the parser's, too. */
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

/* The client's input is offered anew after HOLD_AGAIN_US. */
static void wait_for_state(struct rpd_conn *conn)
{
    static const struct timeval wait = {.tv_usec = HOLD_AGAIN_US};
    struct session *session = rpd_conn_data(conn);

    if (!session->again)
        session->again = event_new(rpd_service_event_base(rpd_conn_service(conn)), -1, 0, on_again,
                                   conn);
    if (session->again && event_add(session->again, &wait) == 0)
        rpd_conn_pause(conn);
    else
        client_abort_for_memory(NULL, conn);
}

/* Until the next part is there; without a state there is no list to be put in, but
 * that takes only moments. */
static void hold(struct rpd_conn *conn, struct kv *kv)
{
    struct session *session = rpd_conn_data(conn);

    if (!kv) {
        wait_for_state(conn);
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

/* Without a snapshot the state is there in a moment, and -LOADING would be a surprise. */
static bool is_to_be_held(const struct call *call)
{
    if (!call->command || (call->kv && call->kv->is_ready) || command_has_its_data(call) ||
        !call->session->is_authenticated)
        return false;
    return strcmp(rpd_option_string(call->service, "loading"), "hold") == 0 ||
           (!call->kv && !rpd_option_string(call->service, "snapshot"));
}

enum batch_end { BATCH_DONE, BATCH_STOPPED /* nothing more is read of this client now */ };

static bool is_large(const struct request *request)
{
    return request->parsed.size > LARGE_BYTES || request->parsed.count > LARGE_ARGS;
}

/* It is copied in the turns that follow, and then run. */
static enum batch_end begin_copy(struct call *call, const struct request *request)
{
    struct session *session = call->session;

    session->copy = request_copy_make(&call->kv->copies, call, &session->parser);
    if (session->copy) {
        session->copy->consumes = request->parsed.size;
        rpd_conn_yield(call->conn);
    } else {
        client_abort_for_memory(call->kv, call->conn);
    }
    return BATCH_STOPPED;
}

/* CLIENT REPLY OFF and SKIP: it runs, but what it answers is dropped. */
static void mute(struct call *call)
{
    struct session *session = call->session;
    const bool is_muted = session->is_muted || session->skips > 0;

    session->skips = 0;
    if (call->reply->is_muted == is_muted)
        return;
    reply_flush(call->reply);
    call->reply->is_muted = is_muted;
}

/* If a command takes several turns, the first is measured. */
static void run_and_count(struct call *call)
{
    struct kv *kv = call->kv;
    const struct metrics *metrics = &kv->metrics;
    const size_t at = call->command ? (size_t)(call->command - metrics->first) : 0;
    const bool is_measured = kv->commands_done++ % METRICS_MEASURED == 0 && call->command;
    const int64_t began_us = is_measured ? kv_clock_monotonic_us() : 0;

    rpd_metric_add_alone(call->command ? metrics->commands[at] : metrics->values[KV_COMMANDS], 1);
    command_run(call);
    if (is_measured)
        rpd_metric_observe(metrics->times[at], (uint64_t)(kv_clock_monotonic_us() - began_us));
}

/* Runs a request. Whether the next one may follow. */
static bool run(struct call *call)
{
    call->end = CALL_DONE;
    call->step_ends = 0;
    call->progress = (struct progress){0};
    mute(call);
    if (call->kv)
        run_and_count(call);
    else
        command_run(call);
    if (call->command)
        call->session->last_command = call->command->name;
    return call->end == CALL_DONE;
}

/* What follows one that is not just done; it counts as used but with CALL_AGAIN. */
static void stop_after(struct call *call, struct request_copy *copy)
{
    if (call->end == CALL_GO_ON) {
        steps_begin(call, copy);
        return;
    }
    if (call->end != CALL_AGAIN)
        reply_flush(call->reply); /* what is finished takes no more */
    if (call->end == CALL_CLOSE)
        rpd_conn_finish(call->conn);
    if (call->end == CALL_AGAIN)
        rpd_conn_yield(call->conn);
}

/* Too much output waits, or the turn is over as the framework has it. */
static bool is_full(struct call *call)
{
    if (!call->reply->has_written)
        return false;
    call->reply->has_written = false;
    return rpd_conn_input(call->conn).size == 0;
}

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
        if (call->argc > 0 && is_to_be_held(call)) {
            hold(call->conn, call->kv);
            return BATCH_STOPPED;
        }
        if (call->kv && is_large(request))
            return begin_copy(call, request);
        if (call->argc > 0 && !run(call)) {
            *ret_used += call->end == CALL_AGAIN ? 0 : request->parsed.size;
            stop_after(call, NULL);
            return BATCH_STOPPED;
        }
        *ret_used += request->parsed.size;
        if (is_full(call) || rpd_conn_slice_is_over(call->conn))
            return BATCH_STOPPED;
    }
    return BATCH_DONE;
}

/* Whether there may be more to do. MULTI may have taken the copy. */
static bool run_copy(struct call *call, struct request_copy *copy)
{
    struct session *session = call->session;
    const size_t consumes = copy->consumes;
    const bool is_done = run(call);
    bool is_ours;

    if (call->end == CALL_AGAIN) {
        rpd_conn_yield(call->conn);
        return false;
    }
    is_ours = session->copy == copy;
    session->copy = NULL;
    rpd_conn_consume(call->conn, consumes);
    if (call->end == CALL_GO_ON) {
        steps_begin(call, copy);
        return false;
    }
    if (is_ours)
        request_copy_free(copy);
    if (!call->kv->timer) /* while it loads, there is no tick that would do it */
        kv_unmap_discarded(call->kv);
    if (!is_done)
        stop_after(call, NULL);
    return is_done;
}

/* Some more of it; when that was all, it is run. Whether there may be more to do. */
static bool go_on_copying(struct call *call)
{
    struct session *session = call->session;
    struct request_copy *copy = session->copy;
    const struct rpd_span input = rpd_conn_input(call->conn);

    if (input.size < copy->consumes)
        return false;
    while (!request_copy_go_on(copy, input.data, CALL_PIECE))
        if (rpd_conn_slice_is_over(call->conn))
            return false;
    request_copy_use(copy, call);
    if (is_to_be_held(call)) {
        hold(call->conn, call->kv);
        return false;
    }
    return run_copy(call, copy);
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

    if (call->session->copy)
        return go_on_copying(call);
    if (input.size == 0)
        return false;
    parse_batch(&batch, call->session, call->kv, input);
    prefetch_entries(&batch, call->kv, call->session->database);
    end = run_batch(&batch, call, &used);
    if (used < batch.size || end == BATCH_STOPPED)
        resp_reset(&call->session->parser);
    if (end == BATCH_DONE && batch.parsing == RESP_ERROR)
        fail(call, &batch);
    rpd_conn_consume(call->conn, used);
    if (end == BATCH_DONE && batch.parsing == RESP_LATER)
        rpd_conn_yield(call->conn);
    return end == BATCH_DONE && batch.parsing == RESP_REQUEST;
}

/* Whether it is its turn: else another client's command is not done yet. */
static bool begin_turn(struct call *call, struct reply *reply)
{
    struct kv *kv = call->kv;
    struct session *session = call->session;

    reply->size = 0;
    reply->has_written = reply->is_muted = false;
    reply->protocol = session->protocol;
    reply->write = write_to_conn;
    reply->to = call->conn;
    if (!kv)
        return true;
    if (!kv->service)
        kv->service = call->service;
    count_session(kv, session);
    if (kv->steps) {
        hold(call->conn, kv);
        return false;
    }
    kv_clock_forget(&kv->store.clock);
    session->used_us = kv_clock_coarse_us();
    return true;
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
                        .reply = &reply};

    if (!begin_turn(&call, &reply))
        return;
    while (work(&call)) {
        /* A client that does not read its answers is not read: that is seen when
         * they are written. */
        if (reply.size >= REPLY_SIZE / 2)
            reply_flush(&reply);
    }
    reply_flush(&reply);
    if (!session->has_steps)
        resp_rest(&session->parser);
}
