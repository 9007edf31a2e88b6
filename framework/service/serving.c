/* One service on the loop: its clients, its load, its drain and its end.
 * See service.h for the phases.
 *
 * The event that ends a phase, such as the last client gone, the last job done or a
 * load cancelled, may occur deep inside a callback. So it only requests a check, and
 * look(), called by the loop itself, checks whether the phase is over. */
#include "guard/foreign.h"
#include "service/service.h"

#include "base/clock.h"
#include "base/fork_guard.h"
#include "base/log.h"
#include "base/probe.h"
#include "guard/loop_only.h"
#include "guard/outcome.h"
#include "guard/rest.h"
#include "library/libevent.h"
#include "publish/callback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void look_later(struct rpd_service *service)
{
    event_active(service->look, 0, 0);
}

static struct callback enter(const struct rpd_service *service, enum metric_callback kind,
                             foreign_code code)
{
    return callback_enter(service->metrics.metrics, kind, service_owner(service), code);
}

/* To observers. */
static void show_phase(struct rpd_service *service, enum rpd_phase phase)
{
    /* A keeper has announced the next phase in its runner's page. */
    const bool is_new = state_page_phase(&service->state_page) != phase ||
                        service->role == SERVICE_OF_RUNNER;

    state_page_set_phase(&service->state_page, phase, clock_us());
    if (is_new)
        service->events->phase(service->daemon, service, phase);
}

static void enter_phase(struct rpd_service *service, enum rpd_phase phase)
{
    service->phase = phase;
    if (phase == RPD_PHASE_READY) /* a process that waits for it then finds how much was loaded */
        loading_show(&service->loading);
    service_show(service);
    show_phase(service, phase);
}

/* ---- clients ------------------------------------------------------------------ */

/* [loop] From the waiting room to the backend. */
static void admit(void *arg, int take_fd, const struct sockaddr *peer, socklen_t peer_length)
{
    struct attachment *attachment = arg;
    struct rpd_service *service = attachment->service;
    struct callback call;

    PROBE2(admitted, service->name, take_fd);
    if (!attachment->accept) {
        conn_open(&service->conns, take_fd, &attachment->listener);
        return;
    }
    places_give(&service->places, take_fd);
    call = enter(service, METRIC_ACCEPT, (foreign_code)attachment->accept);
    attachment->accept(service, take_fd, peer, peer_length, attachment->accept_arg);
    callback_leave(&call);
}

/* [loop] Accepted. Held clients are let in at READY; the hold of a service that
 * serves from the start is open from the start. */
static void on_client(void *arg, int take_fd, const struct sockaddr *peer, socklen_t peer_length)
{
    struct attachment *attachment = arg;
    struct rpd_service *service = attachment->service;

    PROBE2(accepted, service->name, take_fd);
    if (service->phase == RPD_PHASE_WARMING && service->warmup == RPD_WARMUP_REFUSE) {
        service->refused++;
        conn_refuse(&service->conns, take_fd, &attachment->listener);
        return;
    }
    if (!service->hold.open)
        PROBE2(held, service->name, take_fd);
    hold_add(&service->hold, take_fd, peer, peer_length, attachment);
}

static int start_accepting(struct attachment *attachment)
{
    return acceptor_start(&attachment->acceptor, attachment->service->base,
                          attachment->listener.fd);
}

static int attach(struct rpd_service *service, struct rpd_listener *listener, rpd_accept_fn accept,
                  void *arg)
{
    struct attachment *attachment = (struct attachment *)listener;

    if (attachment->attached)
        return -1;
    attachment->accept = accept;
    attachment->accept_arg = arg;
    acceptor_init(&attachment->acceptor, service->name,
                  listener->endpoint.kind == ENDPOINT_ABSTRACT, on_client, attachment);
    /* A runner accepts when its keeper requests it. */
    attachment->attached = service->warmup == RPD_WARMUP_BACKLOG ||
                           service->role == SERVICE_OF_RUNNER || start_accepting(attachment) == 0;
    return attachment->attached ? 0 : -1;
}

int rpd_accept(struct rpd_service *service, struct rpd_listener *listener, rpd_accept_fn accept,
               void *arg)
{
    if (loop_only_refuses())
        return -1;
    return accept ? attach(service, listener, accept, arg) : -1;
}

int rpd_serve_connections(struct rpd_service *service, struct rpd_listener *listener)
{
    if (loop_only_refuses())
        return -1;
    return service->plugin.backend.on_data ? attach(service, listener, NULL, NULL) : -1;
}

void rpd_client_gone(struct rpd_service *service, int fd)
{
    if (loop_only_refuses())
        return;
    if (!places_take_back(&service->places, fd))
        return;
    rpd_metric_add(service->metrics.metrics[METRIC_CLIENTS_CLOSED], 1);
    look_later(service);
}

int rpd_serve_fail(struct rpd_service *service, const char *format, ...)
{
    if (loop_only_refuses())
        return -1;
    char text[512];
    struct error unasked;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(service->error ? service->error : &unasked, EXIT_SYSTEM, "serve",
                     service->name, "%s", text);
}

/* Of any service: better than of none. */
static struct error without_memory;

void rpd_unload_fail(struct rpd_service *service, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!service->unload_error)
        service->unload_error = calloc(1, sizeof *service->unload_error);
    if (!service->unload_error)
        service->unload_error = &without_memory;
    error_set(service->unload_error, EXIT_SYSTEM, "unload", service->name, "%s", text);
}

int rpd_unload_time_left_ms(const struct rpd_service *service)
{
    const uint64_t due_us = atomic_load(&service->stop_due_us);
    const uint64_t now_us = clock_us();

    return due_us > now_us ? (int)((due_us - now_us) / 1000) : 0;
}

void rpd_service_set_degraded(struct rpd_service *service, const char *reason)
{
    const char *text = reason ? reason : "";

    if (strncmp(service->trouble, text, sizeof service->trouble - 1) == 0)
        return;
    snprintf(service->trouble, sizeof service->trouble, "%s", text);
    if (*text)
        state_page_error(&service->state_page, text);
    service_show(service);
    service->events->degraded(service->daemon, service);
}

bool service_is_degraded(const struct rpd_service *service)
{
    return service->loading.degraded || *service->trouble;
}

const char *rpd_listener_text(const struct rpd_listener *listener)
{
    loop_only_warns();
    return listener->text;
}

void *rpd_service_state(const struct rpd_service *service)
{
    loop_only_warns();
    return service->conns.state;
}

struct event_base *rpd_service_event_base(const struct rpd_service *service)
{
    loop_only_warns();
    rest_forbid();
    return service->base;
}

struct rpd_progress rpd_service_progress(const struct rpd_service *service)
{
    loop_only_warns();
    const struct loading *loading = &service->loading;

    return (struct rpd_progress){
        .ready = service->phase == RPD_PHASE_READY,
        .fraction = loading->fraction,
        .eta_ms = loading->eta_ms == RPD_STATE_UNKNOWN ? -1 : (int64_t)loading->eta_ms,
        .parts = (uint32_t)loading->run_count,
        .loaded = loading->loaded_count,
    };
}

/* ---- with a keeper ---------------------------------------------------------------- */

static void admit_passed(void *arg, int take_fd, const struct sockaddr *peer, socklen_t peer_length)
{
    struct attachment *attachment = arg;
    struct rpd_service *service = attachment->service;

    service->events->admits(service->daemon, service);
    if (places_take(&service->places, take_fd, peer, peer_length) < 0)
        return;
    if (service->phase == RPD_PHASE_WARMING && service->warmup == RPD_WARMUP_REFUSE) {
        service->refused++;
        conn_refuse(&service->conns, take_fd, &attachment->listener);
        return;
    }
    admit(arg, take_fd, peer, peer_length);
}

void service_take_passed(struct rpd_service *service, unsigned attachment_number, int take_fd)
{
    struct attachment *attachment = service_attachment(service, attachment_number);
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    socklen_t length = sizeof peer;

    if (!attachment) {
        close(take_fd);
        service->events->admits(service->daemon, service);
        return;
    }
    if (getpeername(take_fd, (struct sockaddr *)&peer, &length) < 0)
        length = sizeof peer.ss_family;
    if (service->hold.open)
        hold_add_passed(&service->hold, take_fd, (struct sockaddr *)&peer, length, admit_passed,
                        attachment);
    else
        admit_passed(attachment, take_fd, (struct sockaddr *)&peer, length);
}

void service_cease(struct rpd_service *service)
{
    service->accepts = false;
    for (size_t i = 0; i < service->attachment_count; i++)
        acceptor_stop(&service->attachments[i].acceptor);
}

void service_accept(struct rpd_service *service)
{
    service->accepts = true;
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct attachment *attachment = &service->attachments[i];

        if (attachment->attached && !attachment->acceptor.started &&
            service->phase < RPD_PHASE_DRAINING && start_accepting(attachment) < 0)
            log_line(RPD_LOG_ERROR, service->name, "out of memory: %s is not accepted from",
                     attachment->listener.text);
    }
}

/* Clients queued at the old one go to the runner if it accepts, and else to the keeper. */
void service_follow_listener(struct rpd_service *service, unsigned attachment_number, int take_fd)
{
    struct attachment *attachment = service_attachment(service, attachment_number);
    const int old_fd = attachment ? attachment->listener.fd : -1;

    if (!attachment || attachment->listener.state != LISTENER_PUBLIC) {
        close(take_fd);
        return;
    }
    listener_keep(&attachment->listener, take_fd, attachment->listener.way);
    if (attachment->attached && service->accepts)
        acceptor_take_queued(&attachment->acceptor, old_fd);
    if (attachment->acceptor.started)
        acceptor_switch(&attachment->acceptor, take_fd);
    fork_guard_close(old_fd);
}

void service_mirror_phase(struct rpd_service *service, enum rpd_phase phase, bool is_degraded)
{
    const bool is_new = service->phase != phase;

    service->phase = phase;
    service->loading.degraded = is_degraded;
    state_page_keep(&service->state_page); /* the runner has written it there */
    if (is_new)
        service->events->phase(service->daemon, service, phase);
}

/* ---- loading -------------------------------------------------------------------- */

static void on_state(struct rpd_service *service, void *state)
{
    service->conns.state = state;
}

/* The clients that the policy has kept waiting. */
static void let_in(struct rpd_service *service)
{
    hold_open(&service->hold);
    if (service->warmup != RPD_WARMUP_BACKLOG || service->role == SERVICE_OF_RUNNER)
        return;
    for (size_t i = 0; i < service->attachment_count; i++)
        if (start_accepting(&service->attachments[i]) < 0)
            log_line(RPD_LOG_ERROR, service->name, "out of memory: not accepting clients on %s",
                     service->attachments[i].listener.text);
}

static void on_ready(struct rpd_service *service)
{
    const struct rpd_backend *backend = &service->plugin.backend;

    if (service->phase != RPD_PHASE_WARMING)
        return; /* too late: a stop was requested meanwhile */
    enter_phase(service, RPD_PHASE_READY);
    service->busy_us = clock_us(); /* until now it was */
    if (backend->on_ready) {
        const struct callback call = enter(service, METRIC_ON_READY,
                                           (foreign_code)backend->on_ready);

        backend->on_ready(service, service->conns.state);
        callback_leave(&call);
    }
    PROBE2(ready, service->name, clock_us() - service->warming_since_us);
    log_line(RPD_LOG_INFO, service->name, "ready%s (%.3f s)",
             service->loading.degraded ? ", degraded: not all of its state could be loaded" : "",
             (double)(clock_us() - service->warming_since_us) / 1e6);
    let_in(service);
    service->events->ready(service->daemon, service);
}

static void on_load_trouble(struct rpd_service *service, const char *what)
{
    state_page_error(&service->state_page, what);
}

static bool on_load_refused(struct rpd_service *service, struct error *ret)
{
    return state_claims_failure(&service->state_claims, ret);
}

static void on_load_failed(struct rpd_service *service, const char *why)
{
    struct error error;

    error_set(&error, EXIT_LOAD, "load", service->name, "%s", why);
    if (service->loading.refusal) { /* as it is */
        error.code = EXIT_RUNNING;
        snprintf(error.text, sizeof error.text, "%s", why);
    }
    service->events->failed(service->daemon, service, &error);
}

static void on_part(struct rpd_service *service, const char *name, enum rpd_part_outcome outcome)
{
    const struct rpd_backend *backend = &service->plugin.backend;
    struct callback call;

    if (!backend->on_part)
        return;
    call = enter(service, METRIC_ON_PART, (foreign_code)backend->on_part);
    backend->on_part(service, name, outcome);
    callback_leave(&call);
}

/* ---- the end, step by step --------------------------------------------------------- */

static void on_load_cancelled(struct rpd_service *service)
{
    service->load_is_cancelled = true;
    look_later(service);
}

static void stop_backend(struct rpd_service *service)
{
    const struct rpd_backend *backend = &service->plugin.backend;

    service->load_is_cancelled = false; /* once */
    timers_close(&service->timers);
    if (service->backend_serves && backend->stop) {
        const struct callback call = enter(service, METRIC_STOP, (foreign_code)backend->stop);

        backend->stop(service, service->conns.state);
        callback_leave(&call);
    }
    service->conns.state = NULL;
    loading_unload(&service->loading);
}

static void on_unloaded(struct rpd_service *service)
{
    service->phase = RPD_PHASE_STOPPED; /* the page says so when it is removed */
    service_show(service);
    log_line(RPD_LOG_INFO, service->name, "stopped");
    service->events->stopped(service->daemon, service, service->unload_error);
}

static void look(evutil_socket_t fd, short what, void *arg)
{
    struct rpd_service *service = arg;
    const bool clients = service->conns.count > 0 ||
                         (service->places.given > 0 && !service->cut_off);

    (void)fd;
    (void)what;
    if (service->phase == RPD_PHASE_DRAINING && !clients) {
        enter_phase(service, RPD_PHASE_STOPPING);
        jobs_cancel(&service->jobs);
    }
    if (service->phase == RPD_PHASE_STOPPING && service->jobs.count == 0 &&
        service->loading.phase != LOADING_CANCELLED)
        loading_cancel(&service->loading);
    if (service->load_is_cancelled && jobs_close_posts(&service->jobs))
        stop_backend(service);
}

static void withdraw(struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct attachment *attachment = &service->attachments[i];
        struct rpd_listener *listener = &attachment->listener;

        listener_withdraw(listener);
        /* Queued clients found us before we withdrew. An adopted listener's
         * queue is not ours: its maker may start another of us. Without a
         * state they are accepted for an end of file in place of a reset. */
        if (attachment->attached && listener->way != LISTENER_ADOPTED &&
            (service->accepts || service->role != SERVICE_OF_RUNNER))
            acceptor_take_queued(&attachment->acceptor, listener->fd);
        acceptor_stop(&attachment->acceptor);
        listener_close(listener);
    }
}

void service_drain(struct rpd_service *service)
{
    const struct rpd_backend *backend = &service->plugin.backend;

    if (service->phase != RPD_PHASE_WARMING && service->phase != RPD_PHASE_READY)
        return;
    withdraw(service);
    enter_phase(service, RPD_PHASE_DRAINING);
    hold_drain(&service->hold);
    service->conns.has_no_future = service->loading.over;
    conn_group_drain(&service->conns);
    if (service->backend_serves && backend->on_drain) {
        const struct callback call = enter(service, METRIC_ON_DRAIN,
                                           (foreign_code)backend->on_drain);

        backend->on_drain(service, service->conns.state);
        callback_leave(&call);
    }
    look_later(service);
}

void service_cut_off(struct rpd_service *service)
{
    if (service->phase != RPD_PHASE_DRAINING)
        return;
    log_line(RPD_LOG_WARNING, service->name, "drain_s has passed: %zu clients are cut off",
             service->conns.count + service->places.given);
    service->cut_off = true;
    conn_group_abort(&service->conns);
    look_later(service);
}

/* ---- an idle exit ---------------------------------------------------------------------- */

/* For observers that find no path the page has the reason, before and after. */
void service_hide(struct rpd_service *service)
{
    show_phase(service, RPD_PHASE_DRAINING);
    for (size_t i = 0; i < service->attachment_count; i++)
        listener_withdraw(&service->attachments[i].listener);
}

void service_unhide(struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        listener_restore(&service->attachments[i].listener);
    show_phase(service, RPD_PHASE_READY);
    /* What was removed meanwhile was not noticed. */
    service_heal(service, NULL);
}

/* ---- serve, and its mirror ----------------------------------------------------------- */

static int attach_all(struct rpd_service *service, struct error *error)
{
    const struct rpd_backend *backend = &service->plugin.backend;

    service->backend_serves = true;
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct attachment *attachment = &service->attachments[i];
        struct callback call;
        int served;

        service->error = error;
        error_set(error, EXIT_SYSTEM, "serve", service->name,
                  "the backend's serve() failed on %s without a reason; it should call "
                  "rpd_serve_fail()",
                  attachment->listener.text);
        call = enter(service, METRIC_SERVE, (foreign_code)backend->serve);
        served = backend->serve ? backend->serve(service, &attachment->listener)
                                : rpd_serve_connections(service, &attachment->listener);
        callback_leave(&call);
        service->error = NULL;
        if (served < 0)
            return -1;
        if (!attachment->attached)
            return error_set(error, EXIT_CONTRACT, "serve", service->plugin.path,
                             "its serve() returned without attaching to %s; call rpd_accept() or "
                             "rpd_serve_connections()",
                             attachment->listener.text);
    }
    return 0;
}

static int prepare(struct rpd_service *service, struct conn_loop *loop, struct pool *pool)
{
    static const struct loading_events events = {
        .state = on_state,
        .ready = on_ready,
        .part = on_part,
        .trouble = on_load_trouble,
        .failed = on_load_failed,
        .refused = on_load_refused,
        .cancelled = on_load_cancelled,
        .unloaded = on_unloaded,
    };

    service->base = loop->base;
    service->conns.service = service;
    service->conns.backend = service->loading.backend = &service->plugin.backend;
    service->conns.owner = service->loading.owner = service_owner(service);
    service->conns.emptied = look_later;
    service->conns.metrics = service->loading.metrics = service->metrics.metrics;
    service->loading.metrics_page = &service->metrics;
    service->conns.limits = &service->config->limits;
    service->conns.places = &service->places;
    places_init(&service->places, service->place_pool, loop->base, &service->config->limits,
                service->name);
    for (size_t i = 0; i < service->attachment_count; i++)
        service->attachments[i].acceptor.places = &service->places;
    conn_group_init(&service->conns, loop);
    service->loading.service = service;
    service->loading.pool = pool;
    service->loading.events = &events;
    service->loading.on_failure = service->config->on_load_failure;
    service->loading.no_progress_s = service->config->no_progress_s;
    service->loading.page = service->state_page.map;
    service->jobs = (struct jobs){.pool = pool,
                                  .service = service,
                                  .owner = service_owner(service),
                                  .metrics = service->metrics.metrics,
                                  .emptied = look_later};
    service->conns.jobs = &service->jobs;
    service->timers = (struct timers){.base = loop->base,
                                      .service = service,
                                      .owner = service_owner(service),
                                      .metrics = service->metrics.metrics};
    service->look = event_new(loop->base, -1, 0, look, service);
    return service->look && hold_init(&service->hold, loop->base, &service->places, admit) == 0 &&
                   loading_init(&service->loading, loop->base) == 0
               ? 0
               : -1;
}

int service_serve(struct rpd_service *service, struct conn_loop *loop, struct pool *pool,
                  struct error *error)
{
    if (prepare(service, loop, pool) < 0)
        return error_set(error, EXIT_SYSTEM, "serve", service->name, "out of memory");
    service->warming_since_us = service->progress_told_us = clock_us();
    enter_phase(service, RPD_PHASE_WARMING);
    if (service->warmup == RPD_WARMUP_SERVE)
        hold_open(&service->hold);
    if (attach_all(service, error) < 0)
        return -1;
    loading_start(&service->loading);
    return 0;
}

void service_unserve(struct rpd_service *service)
{
    if (!service->base)
        return;
    hold_finish(&service->hold);
    conn_group_finish(&service->conns);
    places_finish(&service->places);
    timers_close(&service->timers);
    jobs_finish(&service->jobs);
    loading_finish(&service->loading);
    if (service->look)
        event_free(service->look);
    service->look = NULL;
    service->base = NULL;
    if (service->unload_error != &without_memory)
        free(service->unload_error);
    service->unload_error = NULL;
}
