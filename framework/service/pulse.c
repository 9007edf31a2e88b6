/* One service's pulse: what is measured, shown in the state page and written to the
 * log, four times a second and at each change of phase. */
#include "base/clock.h"
#include "base/log.h"
#include "service/service.h"

#include <stdio.h>

enum {
    TELL_EVERY_US = 10 * 1000000,
    REST_AFTER_US = 2000000 /* by then what the last callback has damaged was seen (intact.h) */
};

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static size_t clients_in(const struct rpd_service *service)
{
    return service->conns.count + service->places.given;
}

static uint64_t accept_pauses(const struct rpd_service *service)
{
    uint64_t pauses = 0;

    for (size_t i = 0; i < service->attachment_count; i++)
        pauses += service->attachments[i].acceptor.pauses;
    return pauses;
}

/* In a keeper: the rest of the page is the runner's. A keeper that rests shows nothing, and
 * no client waits in it. */
static void show_room(struct rpd_service *service)
{
    struct rpd_state_page *page = service->state_page.map;
    const uint64_t held = service->hold.count, left = service->hold.left;
    const uint64_t accepted = service->places.accepted - service->handed;
    const uint64_t refused = service->places.refused;

    STORE(page->clients_held, LOAD(page->clients_held) - LOAD(page->keeper_held) + held);
    STORE(page->clients_left, LOAD(page->clients_left) - LOAD(page->keeper_left) + left);
    STORE(page->clients_accepted,
          LOAD(page->clients_accepted) - LOAD(page->keeper_accepted) + accepted);
    STORE(page->clients_refused,
          LOAD(page->clients_refused) - LOAD(page->keeper_refused) + refused);
    STORE(page->keeper_held, held);
    STORE(page->keeper_accepted, accepted);
    STORE(page->keeper_refused, refused);
    STORE(page->keeper_left, left);
    metrics_page_show_kept(&service->metrics);
}

static void show_metrics(struct rpd_service *service)
{
    uint64_t *const *metrics = service->metrics.metrics;
    const struct places *places = &service->places;
    const struct rpd_state_page *page = service->state_page.map;

    rpd_metric_set(metrics[METRIC_CLIENTS_ACCEPTED], (int64_t)LOAD(page->clients_accepted));
    rpd_metric_set(metrics[METRIC_CLIENTS_HELD], (int64_t)LOAD(page->clients_held));
    rpd_metric_set(metrics[METRIC_CLIENTS_ACTIVE], (int64_t)clients_in(service));
    rpd_metric_set(metrics[METRIC_CLIENTS_LEFT], (int64_t)LOAD(page->clients_left));
    rpd_metric_set(metrics[METRIC_CLIENTS_REFUSED_WARMUP], (int64_t)service->refused);
    rpd_metric_set(metrics[METRIC_CLIENTS_REFUSED_PEER],
                   (int64_t)(places->refused + LOAD(page->keeper_refused)));
    rpd_metric_set(metrics[METRIC_CLIENTS_CUT + (int)CONN_LIMIT_MEMORY],
                   (int64_t)places->short_of_memory);
    rpd_metric_set(metrics[METRIC_ACCEPT_PAUSES], (int64_t)accept_pauses(service));
    rpd_metric_set(metrics[METRIC_RECEIVED], (int64_t)service->conns.received);
    rpd_metric_set(metrics[METRIC_SENT], (int64_t)service->conns.sent);
    rpd_metric_set(metrics[METRIC_CALLBACKS + METRIC_ON_DATA],
                   (int64_t)service->conns.on_data_calls);
    rpd_metric_set(metrics[METRIC_BUFFERS], (int64_t)service->conns.memory.held);
    rpd_metric_set(metrics[METRIC_JOBS], (int64_t)service->jobs.count);
    rpd_metric_set(metrics[METRIC_JOBS_REFUSED], (int64_t)service->jobs.refused);
    rpd_metric_set(metrics[METRIC_ERRORS], (int64_t)LOAD(page->errors));
}

void service_show(struct rpd_service *service)
{
    struct rpd_state_page *page = service->state_page.map;

    if (service->role == SERVICE_OF_KEEPER) {
        show_room(service);
        return;
    }
    STORE(page->flags, service_is_degraded(service) ? (uint32_t)RPD_STATE_DEGRADED : 0);
    STORE(page->clients_held, service->hold.count + LOAD(page->keeper_held));
    STORE(page->clients_active, clients_in(service));
    STORE(page->clients_accepted, service->places.accepted + LOAD(page->keeper_accepted));
    STORE(page->clients_refused,
          service->refused + service->places.refused + LOAD(page->keeper_refused));
    STORE(page->clients_left, service->hold.left + LOAD(page->keeper_left));
    STORE(page->clients_cut, service->conns.cut + service->places.short_of_memory);
    STORE(page->accept_pauses, accept_pauses(service));
    STORE(page->jobs, service->jobs.count);
    STORE(page->jobs_refused, service->jobs.refused);
    show_metrics(service);
}

/* Clients may be queued, and cannot be accepted now. */
static bool accepting_pauses(const struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        if (service->attachments[i].acceptor.pause_ms > 0)
            return true;
    return false;
}

/* A client is connected, or has come and gone since the last call. */
static bool is_busy(struct rpd_service *service)
{
    const uint64_t accepted_before = service->accepted_before;

    service->accepted_before = service->places.accepted;
    /* A part that was given up may never end. */
    return service->phase != RPD_PHASE_READY ||
           (service->loading.pending > 0 && !service->loading.degraded) ||
           service->accepted_before != accepted_before || clients_in(service) > 0 ||
           service->hold.count > 0 || service->jobs.count > 0 || accepting_pauses(service);
}

void service_describe_progress(const struct rpd_service *service, char *text, size_t size)
{
    const struct rpd_progress progress = rpd_service_progress(service);
    char left[48] = "";

    if (progress.eta_ms >= 0)
        snprintf(left, sizeof left, ", about %lld s left",
                 (long long)(progress.eta_ms + 999) / 1000);
    snprintf(text, size, "%d %%%s", (int)(progress.fraction * 100), left);
}

/* For readers of the log of a long load. */
static void log_progress(struct rpd_service *service, uint64_t now_us)
{
    char text[80];

    if (service->phase != RPD_PHASE_WARMING || now_us - service->progress_told_us < TELL_EVERY_US)
        return;
    service->progress_told_us = now_us;
    service_describe_progress(service, text, sizeof text);
    log_line(RPD_LOG_INFO, service->name, "loading: %s; %zu clients wait", text,
             service->hold.count);
}

/* In a keeper: while a runner serves, the loop that turns is the runner's. */
static void pulse_of_keeper(struct rpd_service *service, uint64_t now_us, uint64_t late_us)
{
    if (LOAD(service->state_page.map->runner_pid) == 0)
        state_page_turn(&service->state_page, now_us, late_us);
    service_keep_pages(service);
    service_heal_again(service, now_us);
    service_show(service);
}

void service_pulse(struct rpd_service *service, uint64_t now_us, uint64_t passed_us,
                   uint64_t late_us)
{
    if (service->phase == RPD_PHASE_STARTING || service->phase == RPD_PHASE_STOPPED)
        return;
    if (service->role == SERVICE_OF_KEEPER) {
        pulse_of_keeper(service, now_us, late_us);
        return;
    }
    state_page_turn(&service->state_page, now_us, late_us);
    rpd_metric_add(service->metrics.metrics[METRIC_LOOP_TURNS], 1);
    rpd_metric_observe(service->metrics.metrics[METRIC_LOOP_LAG], late_us);
    service_keep_pages(service);
    loading_pulse(&service->loading, passed_us);
    jobs_name_long(&service->jobs, now_us);
    log_progress(service, now_us);
    service_heal_again(service, now_us);
    if (is_busy(service))
        service->busy_us = now_us;
    service_show(service);
}

uint64_t service_patience_us(const struct rpd_service *service)
{
    const int limit_s = service->config->no_progress_s;

    /* And a while for what follows of it. */
    return (uint64_t)(limit_s > 0 ? limit_s + 15 : 60) * 1000000;
}

bool service_may_rest(const struct rpd_service *service, uint64_t now_us)
{
    return service->phase == RPD_PHASE_READY && now_us - service->busy_us >= REST_AFTER_US &&
           service->loading.pending == 0 && service->heal_due_us == 0;
}

void service_rest(struct rpd_service *service, uint64_t now_us)
{
    if (service->role == SERVICE_OF_KEEPER)
        return;
    state_page_rest(&service->state_page, now_us);
}

void service_wake(struct rpd_service *service, uint64_t now_us)
{
    if (service->role == SERVICE_OF_KEEPER)
        return;
    state_page_wake(&service->state_page, now_us);
}

static uint64_t idle_limit_us(const struct rpd_service *service)
{
    const int configured_s = service->config->idle_exit_s;

    return (configured_s == IDLE_EXIT_OF_BACKEND ? (uint64_t)service->plugin.backend.idle_exit_s
                                                 : (uint64_t)configured_s) *
           1000000;
}

uint64_t service_idle_due_us(const struct rpd_service *service)
{
    const uint64_t limit_us = idle_limit_us(service);

    return limit_us > 0 && service->role != SERVICE_OF_KEEPER ? service->busy_us + limit_us
                                                              : UINT64_MAX;
}

bool service_is_idle(const struct rpd_service *service, uint64_t now_us)
{
    const uint64_t limit_us = idle_limit_us(service);

    return limit_us > 0 && service->role != SERVICE_OF_KEEPER &&
           service->phase == RPD_PHASE_READY && now_us - service->busy_us >= limit_us;
}
