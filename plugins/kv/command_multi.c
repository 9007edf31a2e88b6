/* MULTI, EXEC, DISCARD, WATCH, UNWATCH. See multi.h. */
#include "multi.h"
#include "request_copy.h"

#include <stdlib.h>

struct queued {
    STAILQ_ENTRY(queued) link;
    struct request_copy *copy;
};

struct multi {
    STAILQ_HEAD(queue, queued) queue;
    int count;
    size_t bytes;
    bool has_failed;
    /* Of EXEC: */
    struct call call; /* of the request that is run */
    bool is_on;       /* it has begun */
    bool closes;      /* one of them ends the connection */
};

static void drop_first(struct multi *multi)
{
    struct queued *queued = STAILQ_FIRST(&multi->queue);

    STAILQ_REMOVE_HEAD(&multi->queue, link);
    request_copy_free(queued->copy);
    free(queued);
}

static void free_multi(struct multi *multi)
{
    while (!STAILQ_EMPTY(&multi->queue))
        drop_first(multi);
    free(multi);
}

void multi_discard(struct kv *kv, struct session *session)
{
    if (session->multi)
        free_multi(session->multi);
    session->multi = NULL;
    if (kv)
        watch_forget(kv, session);
}

void multi_fail(struct session *session)
{
    if (session->multi)
        session->multi->has_failed = true;
}

int multi_count(const struct session *session)
{
    return session->multi ? session->multi->count : -1;
}

/* ---- queueing ------------------------------------------------------------------- */

/* So that what waits for EXEC is bounded as a single request is. */
static bool has_room(const struct call *call, const struct multi *multi)
{
    const struct resp_arg *last = &call->args[call->argc - 1];

    return multi->bytes + last->at + last->size + call->argc * sizeof *last <=
           rpd_conn_input_limit(call->conn);
}

static struct queued *make_queued(const struct call *call)
{
    struct session *session = call->session;
    struct queued *queued = malloc(sizeof *queued);

    if (!queued)
        return NULL;
    queued->copy = session->copy; /* of a large request there is one already */
    session->copy = NULL;
    if (queued->copy)
        return queued;
    queued->copy = request_copy_make(&call->kv->copies, call, NULL);
    if (queued->copy) {
        request_copy_go_on(queued->copy, call->base, queued->copy->size);
        return queued;
    }
    free(queued);
    return NULL;
}

void multi_queue(struct call *call)
{
    struct multi *multi = call->session->multi;
    struct queued *queued;

    if (!has_room(call, multi)) {
        multi->has_failed = true;
        reply_error(call->reply, "ERR the transaction is larger than limits.input_bytes");
        return;
    }
    queued = make_queued(call);
    if (!queued) {
        multi->has_failed = true;
        call_no_memory(call);
        return;
    }
    STAILQ_INSERT_TAIL(&multi->queue, queued, link);
    multi->bytes += queued->copy->size + queued->copy->argc * sizeof *queued->copy->args;
    multi->count++;
    reply_status(call->reply, "QUEUED");
}

void command_multi(struct call *call)
{
    struct multi *multi;

    if (call->session->multi) {
        reply_error(call->reply, "ERR MULTI calls can not be nested");
        return;
    }
    multi = calloc(1, sizeof *multi);
    if (!multi) {
        call_no_memory(call);
        return;
    }
    STAILQ_INIT(&multi->queue);
    call->session->multi = multi;
    reply_status(call->reply, "OK");
}

void command_discard(struct call *call)
{
    if (!call->session->multi) {
        reply_error(call->reply, "ERR DISCARD without MULTI");
        return;
    }
    multi_discard(call->kv, call->session);
    reply_status(call->reply, "OK");
}

/* ---- EXEC ------------------------------------------------------------------------ */

static bool grows(const struct multi *multi)
{
    const struct queued *queued;

    STAILQ_FOREACH(queued, &multi->queue, link)
    if (queued->copy->command->flags & COMMAND_GROWS)
        return true;
    return false;
}

/* Whether it may run; else that has been answered, or it is not time yet. */
static bool judge(struct call *call, struct multi *multi)
{
    if (multi->has_failed) {
        reply_error(call->reply, "EXECABORT Transaction discarded because of previous errors.");
        return false;
    }
    if (watch_has_lost(call->kv, call->session)) {
        reply_null_array(call->reply);
        return false;
    }
    if (call->store->limit > 0 && grows(multi)) {
        const int result = store_keep_limit(call->store);
        if (result > 0)
            call->end = CALL_AGAIN;
        if (result < 0)
            reply_error(call->reply, "EXECABORT Transaction discarded because of: command not "
                                     "allowed when used memory > 'maxmemory'.");
        return result == 0;
    }
    return true;
}

/* It was let in when it was queued: where nothing can be evicted, it is run all the same. */
static bool may_grow(struct call *one)
{
    if ((one->command->flags & COMMAND_GROWS) && one->store->limit > 0 &&
        store_keep_limit(one->store) > 0)
        one->end = CALL_AGAIN;
    return one->end == CALL_DONE;
}

/* One request of it. False: it is not done. */
static bool run_first(struct call *call, struct multi *multi)
{
    struct call *one = &multi->call;

    if (!multi->is_on) {
        *one = *call;
        one->progress = (struct progress){0};
        request_copy_use(STAILQ_FIRST(&multi->queue)->copy, one);
    }
    one->reply = call->reply;
    one->step_ends = call->step_ends;
    one->end = CALL_DONE;
    if (multi->is_on || may_grow(one))
        one->command->run(one);
    call->step_ends = one->step_ends;
    multi->is_on = one->end == CALL_GO_ON;
    if (one->end == CALL_GO_ON || one->end == CALL_AGAIN) { /* again: what is to be evicted first */
        call->end = CALL_GO_ON;
        return false;
    }
    multi->closes |= one->end == CALL_CLOSE;
    drop_first(multi);
    return true;
}

enum { LOOK_EVERY = 32 };

/* progress.data: the transaction, which is the session's no more. */
void command_exec(struct call *call)
{
    struct session *session = call->session;
    struct progress *progress = &call->progress;
    struct multi *multi = progress->data ? progress->data : session->multi;

    if (!multi) {
        reply_error(call->reply, "ERR EXEC without MULTI");
        return;
    }
    if (!progress->data) {
        const bool may_run = judge(call, multi);
        if (call->end == CALL_AGAIN)
            return;
        if (!may_run) {
            multi_discard(call->kv, session);
            return;
        }
        session->multi = NULL;
        watch_forget(call->kv, session);
        progress->data = multi;
        reply_array(call->reply, (size_t)multi->count);
    }
    while (!STAILQ_EMPTY(&multi->queue)) {
        if (!run_first(call, multi) || (++progress->count % LOOK_EVERY == 0 && call_is_late(call)))
            return;
    }
    progress->data = NULL;
    call->end = multi->closes ? CALL_CLOSE : CALL_DONE;
    free_multi(multi);
}

/* ---- WATCH --------------------------------------------------------------------------- */

void command_watch(struct call *call)
{
    struct progress *progress = &call->progress;

    if (call->session->multi) {
        reply_error(call->reply, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    while (progress->arg + 1 < call->argc) {
        const struct store_key key = call_key(call, ++progress->arg);
        const int result = watch_key(call->kv, call->session, &key);
        if (result < 0)
            call_no_memory(call);
        else if (result > 0)
            reply_error(call->reply, "ERR too many keys are watched");
        if (result != 0 || (progress->arg % LOOK_EVERY == 0 && call_is_late(call)))
            return;
    }
    reply_status(call->reply, "OK");
}

void command_unwatch(struct call *call)
{
    watch_forget(call->kv, call->session);
    reply_status(call->reply, "OK");
}
