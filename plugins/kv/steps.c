/* See steps.h. */
#include "steps.h"

#include "client.h"
#include "request_copy.h"

#include <event2/event.h>

#include <stdlib.h>

enum { STEP_US = 2000 };

struct steps {
    struct kv *kv;
    struct event *event;
    struct request_copy *copy;
    struct call call;
    struct reply reply;
};

static void write_to_conn(void *conn, const char *data, size_t size)
{
    rpd_conn_write(conn, data, size);
}

static void end(struct steps *steps)
{
    struct kv *kv = steps->kv;
    struct rpd_conn *conn = steps->call.conn;
    struct session *session = steps->call.session;

    kv->steps = NULL;
    session->has_steps = false;
    reply_flush(&steps->reply);
    request_copy_free(steps->copy);
    if (session->is_closed) {
        client_free(kv, session);
    } else if (steps->call.end == CALL_CLOSE) {
        rpd_conn_finish(conn);
    } else if (steps->call.end != CALL_WAIT) {
        rpd_conn_resume(conn);
    }
    rpd_conn_release(conn);
    event_free(steps->event);
    free(steps);
    client_resume_held(kv);
}

static void go_on(struct steps *steps)
{
    const struct timeval soon = {0};

    event_add(steps->event, &soon);
}

/* Whether it is done. */
static bool run(struct steps *steps, int64_t for_us)
{
    const int64_t began_us = kv_clock_thread_us();
    struct call *call = &steps->call;

    call->step_ends = kv_clock_monotonic_us() + for_us;
    call->end = CALL_DONE;
    call->command->run(call);
    steps->kv->steps_done++;
    kv_note_step(steps->kv, began_us);
    return call->end != CALL_GO_ON;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct steps *steps = arg;

    (void)fd;
    (void)what;
    if (run(steps, STEP_US))
        end(steps);
    else
        go_on(steps);
}

static struct steps *make(struct call *call, struct request_copy *copy)
{
    struct steps *steps = calloc(1, sizeof *steps);

    if (!steps)
        return NULL;
    steps->event = event_new(rpd_service_event_base(call->service), -1, 0, on_event, steps);
    if (!copy) {
        copy = request_copy_make(&call->kv->copies, call, &call->session->parser);
        if (copy)
            request_copy_go_on(copy, call->base, copy->size);
    }
    steps->copy = copy;
    if (steps->event && copy)
        return steps;
    if (steps->event)
        event_free(steps->event);
    free(steps);
    return NULL;
}

/* Without memory for more. */
static void do_at_once(struct call *call, struct request_copy *copy)
{
    while (call->end == CALL_GO_ON) {
        call->step_ends = INT64_MAX;
        call->end = CALL_DONE;
        call->command->run(call);
    }
    request_copy_free(copy);
    client_abort_for_memory(call->kv, call->conn);
}

void steps_begin(struct call *call, struct request_copy *copy)
{
    struct steps *steps;

    reply_flush(call->reply);
    steps = make(call, copy);
    if (!steps) {
        do_at_once(call, copy);
        return;
    }
    steps->kv = call->kv;
    steps->call = *call;
    steps->reply.is_muted = call->reply->is_muted;
    steps->reply.protocol = call->reply->protocol;
    steps->reply.write = write_to_conn;
    steps->reply.to = call->conn;
    steps->call.reply = &steps->reply;
    request_copy_use(steps->copy, &steps->call);
    call->kv->steps = steps;
    call->session->has_steps = true;
    rpd_conn_keep(call->conn);
    rpd_conn_pause(call->conn);
    go_on(steps);
}

void steps_finish(struct kv *kv)
{
    if (!kv->steps)
        return;
    while (!run(kv->steps, INT64_MAX / 2))
        continue;
    end(kv->steps);
}
