/* The next generation: it starts and loads beside the current one, takes over when it is ready, and
 * may be taken back while the one before is still warm. See keeper.h.
 *
 *   keeper_renew() ─ next loads ─ all READY ─ switching() ─ CEASE ─ CEASED ─ took_over() ─
 * renewed() └──────────────┴─ fails, crashes, too late: renewed() with the error; nothing has
 * changed
 *
 * Until CEASED has come, or the current runner has ended, the next one accepts no client. One that
 * does not confirm within stall_s is killed. */
#include "base/log.h"
#include "guard/rest.h"
#include "keeper/keeper_inside.h"
#include "library/libevent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STALL_S = 10, /* where stall_s says never */
    AGAIN_US = 5000,
    DRAINING_MAX = 8,
    ERRORS_MAX = 64 * 1024,
    TEN = 10
};

#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static void set_timer(struct event *timer, uint64_t us)
{
    const struct timeval left = {.tv_sec = (time_t)(us / 1000000),
                                 .tv_usec = (suseconds_t)(us % 1000000)};

    event_add(timer, &left);
}

/* ---- how it ends ----------------------------------------------------------------------- */

static void fail_next(struct keeper *keeper, int code, const char *text, const char *earlier)
{
    const struct keeper_renewed how = {.code = code, .text = text, .earlier = earlier};
    struct generation *next = keeper->next;

    keeper->next = NULL;
    event_del(keeper->ready_late);
    event_del(keeper->try_again);
    keeper->events->renewed(keeper->arg, &how);
    generation_free(next);
}

static void accept_again(const struct keeper *keeper)
{
    struct generation *current = keeper->current;

    for (size_t i = 0; i < keeper->service_count; i++) {
        const struct channel_message message = {.kind = CHANNEL_ACCEPT, .service = (uint32_t)i};

        if (keeper->rooms[i].state == PASSING_RUNNER_ACCEPTS &&
            channel_send(current->runner.channel, &message, NULL, 0, KEEPER_PATIENCE_MS) < 0 &&
            errno != EPIPE && errno != ECONNRESET)
            generation_kill_unreachable(current);
    }
}

static void call_off(struct keeper *keeper)
{
    if (!keeper->is_ceasing)
        return;
    keeper->is_ceasing = false;
    event_del(keeper->ceased_late);
    accept_again(keeper);
}

/* ---- the generations before ------------------------------------------------------------- */

static size_t count_draining(const struct keeper *keeper)
{
    const struct generation *generation;
    size_t count = 0;

    TAILQ_FOREACH(generation, &keeper->draining, link)
        count++;
    return count;
}

/* Its runner drains, and ends by itself; that takes drain_s at most. */
static void retire(struct keeper *keeper)
{
    struct generation *old = keeper->old;

    if (!old)
        return;
    keeper->old = NULL;
    event_del(keeper->trial_end);
    TAILQ_INSERT_TAIL(&keeper->draining, old, link);
    generation_send_stop(old, true);
    keeper->events->settled(keeper->arg);
}

static void on_trial_end(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    rest_end();
    retire(arg);
}

static void begin_trial(struct keeper *keeper, struct generation *old)
{
    if (old->stage != KEEPER_SERVING) {
        generation_free(old);
        keeper->events->settled(keeper->arg);
        return;
    }
    keeper->old = old;
    if (keeper->trial_s > 0)
        set_timer(keeper->trial_end, (uint64_t)keeper->trial_s * 1000000);
    else
        retire(keeper);
}

/* ---- the switch ---------------------------------------------------------------------------- */

static void take_over_services(struct keeper *keeper, const struct generation *generation)
{
    for (size_t i = 0; i < keeper->service_count; i++) {
        keeper->services[i].warmup = generation->services[i].warmup;
        keeper->services[i].takes_options = generation->services[i].takes_options;
    }
}

/* Its runner gets the clients that wait, then the listeners. */
static void begin_serving(struct keeper *keeper)
{
    struct generation *current = keeper->current;

    keeper->generation = current->number;
    keeper_show_runner(keeper);
    keeper->events->serves(keeper->arg, true);
    for (size_t i = 0; i < keeper->service_count; i++) {
        service_mirror_phase(&keeper->services[i], current->services[i].phase,
                             current->services[i].is_degraded);
        passing_begin(&keeper->rooms[i], &current->runner);
    }
}

static void send_pages(struct generation *generation)
{
    FOR_EACH_SERVICE(generation->keeper, service)
        if (generation_send_pages(generation, service) < 0 && errno != EPIPE)
            generation_kill_unreachable(generation);
}

static void finish_switch(struct keeper *keeper)
{
    struct generation *old = keeper->current, *next = keeper->next;
    const struct keeper_renewed how = {.code = 0, .text = ""};

    keeper->is_ceasing = false;
    event_del(keeper->ceased_late);
    event_del(keeper->ready_late);
    event_del(keeper->start_again);
    for (size_t i = 0; i < keeper->service_count; i++)
        passing_lost_runner(&keeper->rooms[i]);
    take_over_services(keeper, next);
    keeper->current = next;
    keeper->next = NULL;
    keeper->events->took_over(keeper->arg, next->pages);
    generation_give_metrics(next);
    keeper->events->make_metrics_pages(keeper->arg);
    free(next->pages); /* they are the services' own now */
    next->pages = NULL;
    send_pages(next);
    next->was_ready = true;
    keeper->rules.in_a_row = keeper->rules.pause_s = 0;
    begin_serving(keeper);
    begin_trial(keeper, old);
    keeper->events->renewed(keeper->arg, &how);
}

void renewal_on_ceased(struct keeper *keeper)
{
    finish_switch(keeper);
}

static void on_ceased_late(evutil_socket_t fd, short what, void *arg)
{
    struct keeper *keeper = arg;

    (void)fd;
    (void)what;
    rest_end();
    log_line(RPD_LOG_ERROR, NULL,
             "keeper: runner %d does not stop accepting, as its loop stands still; it is ended",
             (int)keeper->current->runner.pid);
    runner_signal(&keeper->current->runner, SIGKILL);
}

static void cease(struct keeper *keeper)
{
    struct generation *current = keeper->current;
    const int stall_s = keeper->stall_s > 0 ? keeper->stall_s : STALL_S;

    keeper->is_ceasing = true;
    set_timer(keeper->ceased_late, (uint64_t)stall_s * 1000000);
    if (generation_send(current, CHANNEL_CEASE, 0) < 0 && errno != EPIPE && errno != ECONNRESET)
        generation_kill_unreachable(current);
}

/* Whether clients are on the way to the current runner: those are its own, or come back, soon. */
static bool is_passing(const struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->service_count; i++)
        if (keeper->rooms[i].state == PASSING_PASSES)
            return true;
    return false;
}

static bool any_room_is_the_runners(const struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->service_count; i++)
        if (keeper->rooms[i].state == PASSING_RUNNER_ACCEPTS)
            return true;
    return false;
}

static void try_to_switch(struct keeper *keeper)
{
    const bool serves = keeper->current->stage == KEEPER_SERVING;

    if (keeper->stopping || keeper->is_ceasing)
        return;
    if (keeper->current->stage == KEEPER_ENDING || (serves && is_passing(keeper))) {
        set_timer(keeper->try_again, AGAIN_US);
        return;
    }
    event_del(keeper->ready_late);
    retire(keeper);
    if (!keeper->events->switching(keeper->arg)) {
        fail_next(keeper, EXIT_SYSTEM, "", NULL);
        return;
    }
    if (serves && any_room_is_the_runners(keeper)) {
        cease(keeper);
        return;
    }
    if (keeper->current->stage != KEEPER_NONE) { /* it has never had a client */
        generation_forget_runner(keeper->current);
        runner_close(&keeper->current->runner);
    }
    finish_switch(keeper);
}

static void on_try_again(evutil_socket_t fd, short what, void *arg)
{
    struct keeper *keeper = arg;

    (void)fd;
    (void)what;
    rest_end();
    if (keeper->next && generation_is_ready(keeper->next))
        try_to_switch(keeper);
}

void renewal_on_phase(struct generation *generation, int code)
{
    (void)code; /* one that drains reports why when it has ended */
    if (generation_is_ready(generation))
        try_to_switch(generation->keeper);
}

static void on_ready_late(evutil_socket_t fd, short what, void *arg)
{
    struct keeper *keeper = arg;

    (void)fd;
    (void)what;
    rest_end();
    if (keeper->next)
        fail_next(keeper, EXIT_LOAD,
                  "reload: generation: it was not ready within the time that was given; it is "
                  "ended: raise --timeout",
                  NULL);
}

/* ---- ends of other runners than the current ----------------------------------------------------
 */

static void on_next_ended(struct keeper *keeper, const struct runner_end *end, pid_t pid)
{
    char how[256], text[1536];

    call_off(keeper);
    if (end->was_told && *end->text && !end->signal_number) {
        fail_next(keeper, end->code, end->text, end->earlier);
        return;
    }
    generation_describe_end(end, pid, how, sizeof how);
    snprintf(text, sizeof text,
             "%s%sreload: generation %u: %s before it was ready; the one before serves on",
             end->text, *end->text ? "\n" : "", keeper->next->number, how);
    fail_next(keeper, EXIT_INTERNAL, text, end->earlier);
}

/* What the current runner has said of being idle was left alone while others were there. */
static void ask_if_idle(struct keeper *keeper)
{
    if (!keeper->stopping && keeper_may_rest(keeper) &&
        generation_send(keeper->current, CHANNEL_ASK_IDLE, 0) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        generation_kill_unreachable(keeper->current);
}

void renewal_on_other_ended(struct generation *generation, const struct runner_end *end, pid_t pid)
{
    struct keeper *keeper = generation->keeper;

    if (generation == keeper->next) {
        on_next_ended(keeper, end, pid);
    } else if (generation == keeper->old) {
        keeper->old = NULL;
        event_del(keeper->trial_end);
        generation_free(generation);
        keeper->events->settled(keeper->arg);
    } else {
        TAILQ_REMOVE(&keeper->draining, generation, link);
        generation_free(generation);
    }
    keeper_leave_if_over(keeper);
    ask_if_idle(keeper);
}

bool renewal_roll_back(struct keeper *keeper, const char *how)
{
    struct generation *failed = keeper->current;

    if (!keeper->old || keeper->old->stage != KEEPER_SERVING)
        return false;
    keeper->events->serves(keeper->arg, false); /* what it was asked is not answered any more */
    keeper->current = keeper->old;
    keeper->old = NULL;
    event_del(keeper->trial_end);
    keeper->generation = keeper->current->number;
    take_over_services(keeper, keeper->current);
    FOR_EACH_SERVICE(keeper, service)
        service->phase = RPD_PHASE_READY;
    keeper->events->make_state_pages(keeper->arg);
    generation_give_metrics(keeper->current);
    keeper->events->make_metrics_pages(keeper->arg);
    keeper->events->rolled_back(keeper->arg, how);
    send_pages(keeper->current);
    begin_serving(keeper);
    generation_free(failed);
    return true;
}

/* ---- the start
 * ------------------------------------------------------------------------------------ */

static bool make_pages(struct generation *next)
{
    const struct keeper *keeper = next->keeper;

    next->pages = calloc(keeper->service_count, sizeof *next->pages);
    if (!next->pages)
        return false;
    for (size_t i = 0; i < keeper->service_count; i++) {
        state_page_init(&next->pages[i]);
        next->pages[i].keeps_fd = true;
    }
    if (!keeper->events->make_next_pages(keeper->arg, next->pages))
        return false;
    for (size_t i = 0; i < keeper->service_count; i++)
        STORE(next->pages[i].map->generation, next->number);
    return true;
}

static void show_next(const struct generation *next)
{
    for (size_t i = 0; i < next->keeper->service_count; i++) {
        STORE(next->pages[i].map->runner_start_time, next->runner.start_time);
        STORE(next->pages[i].map->runner_pid, (uint32_t)next->runner.pid);
    }
}

bool keeper_may_renew(const struct keeper *keeper)
{
    const struct generation *current = keeper->current;

    if (count_draining(keeper) >= DRAINING_MAX)
        return false;
    return current->stage == KEEPER_NONE || keeper->rules.in_a_row > 0 ||
           (current->stage == KEEPER_SERVING && generation_is_ready(current));
}

void keeper_renew(struct keeper *keeper, int take_config_fd, uint64_t timeout_us)
{
    char text[256];

    keeper->next = generation_new(keeper, take_config_fd);
    if (keeper->next && make_pages(keeper->next) && generation_start(keeper->next) == 0 &&
        generation_watch(keeper->next) == 0) {
        show_next(keeper->next);
        if (timeout_us > 0)
            set_timer(keeper->ready_late, timeout_us);
        return;
    }
    snprintf(text, sizeof text,
             "reload: generation: cannot start it: %s; raise the limits of processes and "
             "descriptors, or free memory",
             strerror(errno));
    fail_next(keeper, EXIT_SYSTEM, text, NULL);
}

/* ---- live changes
 * ------------------------------------------------------------------------------------ */

static void end_change(struct keeper *keeper, int code, const char *errors)
{
    struct generation *current = keeper->current;

    keeper->is_changing = false;
    if (code == 0) {
        if (current->config_fd > 0)
            close(current->config_fd);
        current->config_fd = current->changed_fd;
    } else if (current->changed_fd > 0) {
        close(current->changed_fd);
    }
    current->changed_fd = 0;
    keeper->events->changed(keeper->arg, code, errors);
}

void keeper_change(struct keeper *keeper, int take_config_fd)
{
    struct generation *current = keeper->current;
    const struct channel_message message = {.kind = CHANNEL_CHANGE};

    retire(keeper);
    keeper->is_changing = true;
    current->changed_fd = take_config_fd;
    if (current->stage != KEEPER_SERVING)
        end_change(keeper, 0, ""); /* the next runner starts with it */
    else if (channel_send(current->runner.channel, &message, &take_config_fd, take_config_fd > 0,
                          KEEPER_PATIENCE_MS) < 0)
        end_change(keeper, EXIT_SYSTEM, "reload: runner: it cannot be reached; try again");
}

void renewal_on_changed(struct generation *generation, int code, int errors_fd)
{
    struct keeper *keeper = generation->keeper;
    char *text;
    ssize_t got;

    if (!keeper->is_changing || generation != keeper->current)
        return;
    if (errors_fd < 0) {
        end_change(keeper, code,
                   code == 0 ? ""
                             : "reload: runner: it ended while it took the configuration; the one "
                               "before is still in use");
        return;
    }
    text = calloc(1, ERRORS_MAX + 1);
    got = text ? pread(errors_fd, text, ERRORS_MAX, 0) : -1;
    end_change(keeper, code, got > 0 ? text : "reload: runner: out of memory; free some");
    free(text);
}

uint64_t keeper_runner_memory(const struct keeper *keeper)
{
    char path[48], text[128] = "";
    char *second;
    uint64_t resident = 0;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)keeper->current->runner.pid);
    fd = keeper->current->runner.pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) > 0 && (second = strchr(text, ' ')))
        resident = strtoull(second, NULL, TEN);
    close(fd);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- life
 * -------------------------------------------------------------------------------------------- */

int renewal_open(struct keeper *keeper)
{
    struct event_base *base = keeper->base;

    keeper->ceased_late = event_new(base, -1, 0, on_ceased_late, keeper);
    keeper->trial_end = event_new(base, -1, 0, on_trial_end, keeper);
    keeper->ready_late = event_new(base, -1, 0, on_ready_late, keeper);
    keeper->try_again = event_new(base, -1, 0, on_try_again, keeper);
    return keeper->ceased_late && keeper->trial_end && keeper->ready_late && keeper->try_again ? 0
                                                                                               : -1;
}

void renewal_close(struct keeper *keeper)
{
    struct event **all[] = {&keeper->ceased_late, &keeper->trial_end, &keeper->ready_late,
                            &keeper->try_again};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (*all[i])
            event_free(*all[i]);
        *all[i] = NULL;
    }
}

/* Clients that are queued are the current runner's. */
void renewal_stop(struct keeper *keeper)
{
    if (!keeper->ready_late)
        return;
    call_off(keeper);
    event_del(keeper->ready_late);
    event_del(keeper->try_again);
    generation_free(keeper->next);
    keeper->next = NULL;
    retire(keeper);
}
