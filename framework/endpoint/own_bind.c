/* A backend's own bind: on a thread of its own, sealed, and judged by what it did. See
 * listener.h. */
#include "endpoint/listener_inside.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "guard/foreign.h"
#include "guard/thread.h"
#include "plugin/seal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct bind_call {
    const struct listener_bind *how;
    const struct rpd_endpoint *endpoint;
    struct seal seal;
    int seal_error;                   /* an errno */
    struct descriptors before, after; /* what was open */
    bool are_listed;
    struct rpd_bound bound;
};

static void run_bind(void *argument)
{
    struct bind_call *call = argument;

    if (!seal_this_thread(&call->seal))
        call->seal_error = errno;
    foreign_enter(call->how->owner, (foreign_code)call->how->bind);
    call->bound = call->how->bind(call->endpoint);
    foreign_leave();
}

/* On a thread of its own: what bind does to its thread ends with it. */
static int call_bind(struct bind_call *call, struct error *error)
{
    pthread_t thread;
    int failed;

    seal_init(&call->seal, call->how->seal);
    failed = thread_create(&thread, "bind", 0, run_bind, call);
    if (failed)
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, call->how->owner.plugin,
                         "cannot make a thread for bind(): %s; raise the limit of processes",
                         strerror(failed));
    seal_watch(&call->seal);
    pthread_join(thread, NULL);
    if (call->seal_error)
        log_line(RPD_LOG_WARNING, call->how->owner.service,
                 "bind() is not sealed: the kernel says %s", strerror(call->seal_error));
    return 0;
}

/* What it was denied, or would have been. */
static int judge_breach(const struct bind_call *call, struct error *error)
{
    char what[512];

    if (call->seal.breach.count == 0)
        return 0;
    seal_describe(&call->seal.breach, what, sizeof what);
    if (call->how->seal == SEAL_ENFORCE)
        return error_set(
            error, EXIT_CONTRACT, LISTENER_STEP, call->how->owner.plugin,
            "its bind() called %s; it may only make sockets: leave all else to load(), "
            "or set \"seal\" to \"log\"",
            what);
    log_line(RPD_LOG_WARNING, call->how->owner.service,
             "bind() of %s called %s; it should only make sockets", call->how->owner.plugin, what);
    return 0;
}

/* A socket of its own, and nothing else: neither left open, nor closed. */
static int judge_descriptors(const struct bind_call *call, struct error *error)
{
    const int fd = call->bound.fd;
    const char *object = call->how->owner.plugin;
    char what[320];

    if (!call->are_listed || call->bound.outcome != RPD_BIND_LISTENING)
        return 0;
    switch (descriptors_compare(&call->before, &call->after, fd, what, sizeof what)) {
    case DESCRIPTORS_CLOSED:
        return error_set(error, EXIT_CONTRACT, LISTENER_STEP, object,
                         "its bind() closed or replaced %s, which was not its own; close only "
                         "what it has opened",
                         what);
    case DESCRIPTORS_LEFT_OPEN:
        return error_set(error, EXIT_CONTRACT, LISTENER_STEP, object,
                         "its bind() left %s open; close all but the socket that it returns", what);
    case DESCRIPTORS_SAME: break;
    }
    if (!descriptors_have(&call->before, fd))
        return 0;
    return error_set(error, EXIT_CONTRACT, LISTENER_STEP, object,
                     "its bind() returned descriptor %d, which was open before; return a socket "
                     "of its own making",
                     fd);
}

/* Takes what was bound, even where bind has broken its contract: to be taken away. */
static int judge_bind(struct rpd_listener *listener, const struct rpd_endpoint *endpoint,
                      const struct bind_call *call, struct error *error)
{
    struct error breach;
    const bool is_broken = judge_breach(call, &breach) < 0 || judge_descriptors(call, &breach) < 0;
    const int accepted = listener_accept_bound(listener, endpoint, &call->bound, error);

    if (is_broken)
        *error = breach;
    return is_broken ? -1 : accepted;
}

int listener_bind_own(struct rpd_listener *listener, const struct listener_bind *bind,
                      struct error *error)
{
    struct rpd_endpoint endpoint;
    struct bind_call call = {.how = bind, .endpoint = &endpoint};
    int result;

    listener->way = LISTENER_OWN;
    if (listener->endpoint.kind == ENDPOINT_PATH && listener_check_public_name(listener, error) < 0)
        return -1;
    endpoint = listener_endpoint_to_bind(listener);
    call.are_listed = descriptors_list(&call.before) == 0;
    result = call_bind(&call, error);
    if (result == 0) {
        call.are_listed = call.are_listed && descriptors_list(&call.after) == 0;
        if (!call.are_listed)
            log_line(RPD_LOG_WARNING, bind->owner.service,
                     "cannot see whether bind() left descriptors open: %s", strerror(errno));
        result = judge_bind(listener, &endpoint, &call, error);
    }
    descriptors_free(&call.before);
    descriptors_free(&call.after);
    return result;
}
