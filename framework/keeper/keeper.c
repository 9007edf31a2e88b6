/* The keeper: the current generation, from the first start to the stop. See keeper.h. */
#include "keeper/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "guard/rest.h"
#include "guard/signals.h"
#include "keeper/keeper_inside.h"
#include "library/libevent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

enum { GONE_MS = 2000, LOOK_MS = 100, THREE = 3 };

/* ---- the first runner ----------------------------------------------------------------------- */

/* 1: there may be more; 0: there is none now; -1: the channel is closed, or the error is set. */
static int hear_preparing(struct generation *generation, struct error *error)
{
    int fds[CHANNEL_FDS_MAX];
    struct channel_message message;
    size_t count;
    const int got = channel_receive(generation->runner.channel, &message, fds, &count);

    if (got > 0)
        return generation_take_preparing(generation, &message, fds, count, error) < 0 ? -1 : 1;
    return got < 0 && errno == EAGAIN ? 0 : -1;
}

static int refuse_start(struct error *error)
{
    return error_set(error, EXIT_SYSTEM, "start", "runner",
                     "cannot start it: %s; raise the limits of processes and descriptors",
                     strerror(errno));
}

/* The runner may end a moment after its channel. A runner that only lost the channel is ended. */
static void await_end(const struct runner *runner)
{
    struct pollfd end = {.fd = runner->pidfd, .events = POLLIN};

    if (runner->pidfd >= 0 && poll(&end, 1, GONE_MS) > 0)
        return;
    runner_signal(runner, SIGKILL);
    if (runner->pidfd >= 0)
        poll(&end, 1, -1);
}

static int judge_first_end(struct generation *generation, struct runner_end *ret_end)
{
    await_end(&generation->runner);
    while (!runner_has_ended(&generation->runner, ret_end))
        poll(NULL, 0, 1);
    generation->stage = KEEPER_NONE;
    return -1;
}

static int await_prepared(struct generation *generation, struct runner_end *ret_end,
                          struct error *error)
{
    while (generation->stage != KEEPER_PREPARED) {
        struct pollfd wait[] = {{.fd = generation->runner.channel, .events = POLLIN},
                                {.fd = generation->runner.pidfd, .events = POLLIN}};
        const int heard = hear_preparing(generation, error);

        if (signals_stop_requested())
            return 1;
        if (heard < 0 && error->code != EXIT_STOPPED)
            return -1;
        if (heard < 0)
            return judge_first_end(generation, ret_end);
        if (heard == 0)
            poll(wait, 2, LOOK_MS);
    }
    return 0;
}

static void take_warmups(struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->service_count; i++) {
        keeper->services[i].warmup = keeper->current->services[i].warmup;
        keeper->services[i].takes_options = keeper->current->services[i].takes_options;
    }
}

static void number_services(struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->service_count; i++)
        keeper->services[i].number = (unsigned)i;
}

int keeper_start(struct keeper *keeper, int take_config_fd, struct runner_end *ret_end,
                 struct error *error)
{
    int result;

    *ret_end = (struct runner_end){.code = -1};
    error->code = EXIT_STOPPED;
    TAILQ_INIT(&keeper->draining);
    number_services(keeper);
    keeper->current = generation_new(keeper, take_config_fd);
    if (keeper->service_count > RUNNER_BOARD_MAX)
        return error_set(error, EXIT_CONFIG, "config", "services",
                         "a keeper takes no more than %d; split them", RUNNER_BOARD_MAX);
    if (!keeper->current || generation_start(keeper->current) < 0)
        return refuse_start(error);
    keeper->generation = keeper->current->number;
    result = await_prepared(keeper->current, ret_end, error);
    if (result == 0) {
        take_warmups(keeper);
        generation_give_metrics(keeper->current);
    }
    return result;
}

/* ---- pages -------------------------------------------------------------------------------------
 */

void keeper_show_runner(const struct keeper *keeper)
{
    const struct generation *current = keeper->current;
    const bool serves = current->stage == KEEPER_SERVING;

    FOR_EACH_SERVICE(keeper, service) {
        struct rpd_state_page *page = service->state_page.map;

        STORE(page->generation, keeper->generation);
        STORE(page->restarts, keeper->restarts);
        STORE(page->crash_code, (uint32_t)keeper->crash_code);
        STORE(page->crash_time_s, keeper->crash_time_s);
        STORE(page->runner_start_time, serves ? current->runner.start_time : 0);
        STORE(page->runner_pid, serves ? (uint32_t)current->runner.pid : 0);
        rpd_metric_set(service->metrics.metrics[METRIC_GENERATION], (int64_t)keeper->generation);
        rpd_metric_set(service->metrics.metrics[METRIC_RESTARTS], (int64_t)keeper->restarts);
        metrics_page_show_kept(&service->metrics);
    }
}

static bool is_gone(void)
{
    return errno == EPIPE || errno == ECONNRESET;
}

static void send_locks_to(const struct keeper *keeper, struct generation *generation)
{
    const struct channel_message message = {.kind = CHANNEL_RUNTIME};

    if (!generation || generation->stage != KEEPER_SERVING)
        return;
    if ((channel_send(generation->runner.channel, &message, &keeper->runtime_dirfd, 1,
                      KEEPER_PATIENCE_MS) < 0 ||
         generation_send_locks(generation) < 0) &&
        !is_gone())
        generation_kill_unreachable(generation);
}

void keeper_locks_made(struct keeper *keeper)
{
    struct generation *generation;

    send_locks_to(keeper, keeper->current);
    send_locks_to(keeper, keeper->next);
    send_locks_to(keeper, keeper->old);
    TAILQ_FOREACH(generation, &keeper->draining, link)
        send_locks_to(keeper, generation);
}

void keeper_page_made(struct keeper *keeper, const struct rpd_service *service)
{
    struct generation *current = keeper->current;

    if (current->stage == KEEPER_SERVING && generation_send_pages(current, service) < 0 &&
        errno != EPIPE)
        generation_kill_unreachable(current);
}

static bool can_hear(const struct generation *generation)
{
    return generation && generation->stage != KEEPER_NONE && generation->stage != KEEPER_STARTING;
}

static void check_sent(struct generation *generation, int sent)
{
    if (sent < 0 && !is_gone())
        generation_kill_unreachable(generation);
}

/* A runner that starts opens its log itself. */
void keeper_reopen_logs(struct keeper *keeper)
{
    struct generation *all[THREE] = {keeper->current, keeper->next, keeper->old}, *generation;

    for (size_t i = 0; i < THREE; i++)
        if (can_hear(all[i]))
            check_sent(all[i], generation_send(all[i], CHANNEL_REOPEN, 0));
    TAILQ_FOREACH(generation, &keeper->draining, link)
        check_sent(generation, generation_send(generation, CHANNEL_REOPEN, 0));
}

void keeper_set_level(struct keeper *keeper, const struct rpd_service *service,
                      enum rpd_log_level level)
{
    struct generation *all[THREE] = {keeper->current, keeper->next, keeper->old};

    for (size_t i = 0; i < THREE; i++)
        if (can_hear(all[i]))
            check_sent(all[i], generation_send_level(all[i], service, level));
}

bool keeper_ask(struct keeper *keeper, uint64_t number, const char *request, size_t size)
{
    const struct channel_message message = {.kind = CHANNEL_ASK, .numbers = {number}};

    return can_hear(keeper->current) &&
           channel_send_text(keeper->current->runner.channel, &message, request, size) == 0;
}

static void send_listener_to(struct generation *generation, const struct rpd_service *service,
                             const struct attachment *attachment)
{
    if (!generation || generation->stage == KEEPER_NONE || generation->stage == KEEPER_ENDING)
        return;
    if (generation->stage == KEEPER_STARTING) { /* it has been given the old one */
        runner_signal(&generation->runner, SIGKILL);
        return;
    }
    if (generation_send_attachment(generation, service, attachment) < 0 && errno != EPIPE)
        generation_kill_unreachable(generation);
}

void keeper_listener_made(struct keeper *keeper, const struct rpd_service *service,
                          const struct attachment *attachment)
{
    send_listener_to(keeper->current, service, attachment);
    send_listener_to(keeper->next, service, attachment);
    send_listener_to(keeper->old, service, attachment);
}

/* ---- serving ------------------------------------------------------------------------------ */

/* Whether a runner can take clients in this phase. */
static bool can_take_clients(const struct rpd_service *service, enum rpd_phase phase)
{
    const bool waits = service->warmup == RPD_WARMUP_HOLD || service->warmup == RPD_WARMUP_BACKLOG;

    return phase == RPD_PHASE_READY || (phase == RPD_PHASE_WARMING && !waits);
}

/* The runner drains, and was not asked to. Its exit code decides whether that is a crash; in either
 * case the runner accepts no more clients. */
static void on_ending(struct keeper *keeper, int code)
{
    if (keeper->current->stage == KEEPER_ENDING || keeper->stopping)
        return;
    keeper->current->stage = KEEPER_ENDING;
    if (!crash_rules_is_crash(code, false, true)) {
        keeper->events->ending(keeper->arg, code);
        return;
    }
    for (size_t i = 0; i < keeper->service_count; i++)
        passing_lost_runner(&keeper->rooms[i]);
}

static void on_current_phase(struct generation *current, const struct channel_message *message)
{
    struct keeper *keeper = current->keeper;
    struct rpd_service *service = &keeper->services[message->service];
    const enum rpd_phase phase = (enum rpd_phase)message->count;

    if (keeper->stopping && phase > service->phase && phase < RPD_PHASE_STOPPED)
        service_mirror_phase(service, phase, message->numbers[0] != 0);
    if (keeper->stopping)
        return;
    keeper_show_runner(keeper);
    keeper->events->serves(keeper->arg, true);
    if (phase >= RPD_PHASE_DRAINING) {
        on_ending(keeper, (int)message->numbers[1]);
        return;
    }
    service_mirror_phase(service, phase, message->numbers[0] != 0);
    if (generation_is_ready(current) && !current->was_ready) {
        current->was_ready = true;
        keeper->rules.in_a_row = keeper->rules.pause_s = 0;
    }
    if (can_take_clients(service, phase))
        passing_begin(&keeper->rooms[message->service], &current->runner);
}

static void on_phase(struct generation *generation, const struct channel_message *message)
{
    struct keeper *keeper = generation->keeper;
    struct generation_service *service = &generation->services[message->service];

    service->phase = (enum rpd_phase)message->count;
    service->is_degraded = message->numbers[0] != 0;
    if (generation == keeper->current)
        on_current_phase(generation, message);
    else if (generation == keeper->next)
        renewal_on_phase(generation, (int)message->numbers[1]);
}

static struct passing *room_of(const struct generation *generation,
                               const struct channel_message *message)
{
    struct passing *room = &generation->keeper->rooms[message->service];

    return room->runner == &generation->runner ? room : NULL;
}

static void take(struct generation *generation, const struct channel_message *message, int fd)
{
    struct keeper *keeper = generation->keeper;
    struct passing *room;

    if (message->service >= keeper->service_count)
        return;
    room = room_of(generation, message);
    switch (message->kind) {
    case CHANNEL_PHASE: on_phase(generation, message); break;
    case CHANNEL_TOOK:
        if (room)
            passing_took(room, message->count);
        break;
    case CHANNEL_ADMITTED:
        if (room)
            passing_admitted(room);
        break;
    case CHANNEL_CEASED:
        if (generation == keeper->current && keeper->is_ceasing)
            renewal_on_ceased(keeper);
        break;
    case CHANNEL_CHANGED: renewal_on_changed(generation, (int)message->count, fd); break;
    case CHANNEL_IDLE:
        if (generation == keeper->current)
            keeper->events->idle(keeper->arg, message->count != 0);
        break;
    default: break;
    }
}

/* The metrics of the next generation are published when it takes over. */
static void take_prepared(struct generation *generation)
{
    struct keeper *keeper = generation->keeper;

    if (generation == keeper->current) {
        take_warmups(keeper);
        generation_give_metrics(generation);
        keeper->events->make_metrics_pages(keeper->arg);
    }
    generation_go(generation);
}

/* 1 if it had the answer's descriptor. */
static size_t take_answer(const struct keeper *keeper, const struct channel_message *message,
                          const int *fds, size_t count)
{
    if (message->kind != CHANNEL_ANSWER || count != 1)
        return 0;
    keeper->events->answered(keeper->arg, message->numbers[0], channel_read_text(fds[0]));
    return 1;
}

bool keeper_hear(struct generation *generation)
{
    int fds[CHANNEL_FDS_MAX], got;
    struct channel_message message;
    struct error error;
    size_t count;

    while ((got = channel_receive(generation->runner.channel, &message, fds, &count)) > 0) {
        if (generation->stage != KEEPER_STARTING) {
            count -= take_answer(generation->keeper, &message, fds, count);
            take(generation, &message, count > 0 ? fds[0] : -1);
            while (count > 0)
                close(fds[--count]);
            continue;
        }
        if (generation_take_preparing(generation, &message, fds, count, &error) < 0) {
            log_line(RPD_LOG_ERROR, NULL, "%s", error.text);
            runner_signal(&generation->runner, SIGKILL);
        }
        if (generation->stage == KEEPER_PREPARED)
            take_prepared(generation);
    }
    return got < 0 && errno == EAGAIN;
}

/* ---- the end of a runner ------------------------------------------------------------------ */

static void start_next(struct keeper *keeper);

static void on_start_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    rest_end();
    start_next(arg);
}

static void give_up(struct keeper *keeper, const char *how)
{
    char text[512];
    struct runner_end end = {.code = EXIT_INTERNAL, .was_told = true, .text = text};
    static char none[] = "";

    end.earlier = none;
    snprintf(text, sizeof text,
             "keeper: crash loop: %s, the %uth in a row before it was ready; ended: correct what "
             "the lines before this one say, or set \"on_crash_loop\"",
             how, keeper->rules.in_a_row);
    log_line(RPD_LOG_ERROR, NULL, "%s", text);
    keeper->events->ended(keeper->arg, &end);
}

/* how: the way in which the last runner ended. */
static void await_next(struct keeper *keeper, const char *how)
{
    const uint64_t now_us = clock_us();
    bool is_loop;
    const uint64_t due_us = crash_rules_next_us(&keeper->rules, keeper->current->was_ready, now_us,
                                                &is_loop);
    const uint64_t left_us = due_us > now_us ? due_us - now_us : 0;
    const struct timeval left = {.tv_sec = (time_t)(left_us / 1000000),
                                 .tv_usec = (suseconds_t)(left_us % 1000000)};

    if (is_loop && !keeper->waits_in_crash_loop) {
        give_up(keeper, how);
        return;
    }
    if (left_us >= 1000000)
        log_line(RPD_LOG_WARNING, NULL, "keeper: %s; the next starts in %d s, clients wait", how,
                 (int)left.tv_sec);
    else
        log_line(RPD_LOG_WARNING, NULL, "keeper: %s; the next starts, clients wait", how);
    if (left_us == 0)
        start_next(keeper);
    else
        event_add(keeper->start_again, &left);
}

static void on_crash(struct keeper *keeper, const struct runner_end *end, pid_t pid)
{
    struct generation *current = keeper->current;
    char how[256];

    generation_describe_end(end, pid, how, sizeof how);
    keeper->restarts++;
    keeper->crash_code = end->code;
    keeper->crash_time_s = (int64_t)time(NULL);
    generation_forget_runner(current);
    if (renewal_roll_back(keeper, how))
        return;
    runner_close(&current->runner);
    if (keeper->is_ceasing) {
        renewal_on_ceased(keeper);
        return;
    }
    FOR_EACH_SERVICE(keeper, service)
        service_mirror_phase(service, RPD_PHASE_WARMING, false);
    keeper->events->serves(keeper->arg, false);
    await_next(keeper, how);
    if (keeper->stopping)
        return;
    keeper->events->make_state_pages(keeper->arg);
    keeper_show_runner(keeper);
}

static void all_is_over(struct keeper *keeper, const struct runner_end *end)
{
    FOR_EACH_SERVICE(keeper, service)
        service->phase = RPD_PHASE_STOPPED;
    keeper->events->ended(keeper->arg, end);
}

static char nothing[] = "";

/* Of a runner that was not there, or was not to end. */
static const struct runner_end no_end = {.was_told = true, .text = nothing, .earlier = nothing};

/* The runners of other generations may still drain. */
void keeper_leave_if_over(struct keeper *keeper)
{
    if (!keeper->stopping || keeper->current->stage != KEEPER_NONE || keeper->next || keeper->old ||
        !TAILQ_EMPTY(&keeper->draining))
        return;
    all_is_over(keeper, &no_end);
}

static void on_last_end(struct keeper *keeper, const struct runner_end *end)
{
    const bool is_killed = keeper->is_killed_for_stop;
    const bool others = keeper->next || keeper->old || !TAILQ_EMPTY(&keeper->draining);

    keeper->stopping = true;
    generation_forget_runner(keeper->current);
    keeper_show_runner(keeper);
    if (others && (end->code == 0 || is_killed))
        return; /* keeper_leave_if_over() comes when they have ended */
    all_is_over(keeper, is_killed ? &no_end : end);
}

static void on_current_ended(struct keeper *keeper, const struct runner_end *end, pid_t pid)
{
    for (size_t i = 0; i < keeper->service_count; i++)
        passing_lost_runner(&keeper->rooms[i]);
    if (keeper->stopping ||
        !crash_rules_is_crash(end->code, end->signal_number != 0, end->was_told))
        on_last_end(keeper, end);
    else
        on_crash(keeper, end, pid);
}

bool keeper_on_ended(struct generation *generation)
{
    struct keeper *keeper = generation->keeper;
    const pid_t pid = generation->runner.pid;
    struct runner_end end;

    if (!runner_has_ended(&generation->runner, &end))
        return false;
    rest_end();
    keeper_hear(generation); /* its last messages */
    renewal_on_changed(generation, end.code ? end.code : EXIT_INTERNAL, -1);
    if (generation == keeper->current)
        on_current_ended(keeper, &end, pid);
    else
        renewal_on_other_ended(generation, &end, pid);
    return true;
}

static void start_next(struct keeper *keeper)
{
    struct generation *current = keeper->current;

    if (keeper->stopping)
        return;
    if (generation_start(current) == 0 && generation_watch(current) == 0)
        return;
    log_line(RPD_LOG_ERROR, NULL, "keeper: cannot start a runner: %s", strerror(errno));
    generation_forget_runner(current);
    runner_close(&current->runner);
    current->was_ready = false;
    await_next(keeper, "no runner could be started");
}

/* ---- the stop ----------------------------------------------------------------------------- */

static void on_emptied(void *arg, struct passing *room)
{
    struct keeper *keeper = arg;

    (void)room;
    if (!keeper->stopping)
        return;
    for (size_t i = 0; i < keeper->service_count; i++)
        if (!passing_is_empty(&keeper->rooms[i]))
            return;
    generation_send_stop(keeper->current, false);
}

static void on_broken(void *arg)
{
    struct keeper *keeper = arg;

    if (errno != EPIPE && errno != ECONNRESET)
        generation_kill_unreachable(keeper->current);
}

static void withdraw(struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        listener_withdraw(&service->attachments[i].listener);
    if (state_page_phase(&service->state_page) == RPD_PHASE_DRAINING)
        service->phase = RPD_PHASE_DRAINING; /* hidden, and reported */
    state_page_set_phase(&service->state_page, RPD_PHASE_DRAINING, clock_us());
    service_mirror_phase(service, RPD_PHASE_DRAINING, service->loading.degraded);
}

/* The runner accepts the clients that are queued at its copies. */
static void close_listeners(const struct keeper *keeper)
{
    FOR_EACH_SERVICE(keeper, service)
        for (size_t i = 0; i < service->attachment_count; i++)
            listener_close(&service->attachments[i].listener);
}

/* It has no clients, and does not hear of the stop before it is prepared. */
static void end_starting(struct keeper *keeper)
{
    keeper->is_killed_for_stop = true;
    runner_signal(&keeper->current->runner, SIGKILL);
}

void keeper_drain(struct keeper *keeper)
{
    if (keeper->current->stage == KEEPER_SERVING)
        keeper_hear(keeper->current); /* it may be ready for the clients that wait */
    keeper->stopping = true;
    if (keeper->start_again)
        event_del(keeper->start_again);
    FOR_EACH_SERVICE(keeper, service)
        withdraw(service);
    for (size_t i = 0; i < keeper->service_count; i++)
        passing_drain(&keeper->rooms[i]);
    close_listeners(keeper);
    renewal_stop(keeper);
    if (keeper->current->stage == KEEPER_NONE)
        keeper_leave_if_over(keeper);
    else if (keeper->current->stage == KEEPER_STARTING)
        end_starting(keeper);
    else
        on_emptied(keeper, NULL);
}

void keeper_ask_idle(struct keeper *keeper)
{
    if (keeper->current->stage != KEEPER_SERVING || keeper->next ||
        generation_send(keeper->current, CHANNEL_ASK_IDLE, 0) < 0)
        keeper->events->idle(keeper->arg, false);
}

static bool all_rooms_are_the_runners(const struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->service_count; i++)
        if (keeper->rooms[i].state != PASSING_RUNNER_ACCEPTS)
            return false;
    return true;
}

bool keeper_may_rest(const struct keeper *keeper)
{
    return keeper->current->stage == KEEPER_SERVING && !keeper->next && !keeper->old &&
           TAILQ_EMPTY(&keeper->draining) && all_rooms_are_the_runners(keeper);
}

/* ---- life --------------------------------------------------------------------------------- */

int keeper_serve(struct keeper *keeper, struct event_base *base, struct place_pool *pool)
{
    keeper->base = base;
    keeper->rooms = calloc(keeper->service_count, sizeof *keeper->rooms);
    keeper->start_again = event_new(base, -1, 0, on_start_again, keeper);
    if (!keeper->rooms || !keeper->start_again || renewal_open(keeper) < 0)
        return -1;
    for (size_t i = 0; i < keeper->service_count; i++) {
        struct passing *room = &keeper->rooms[i];

        *room = (struct passing){.service = &keeper->services[i],
                                 .index = (unsigned)i,
                                 .broken = on_broken,
                                 .emptied = on_emptied,
                                 .arg = keeper};
        if (passing_start(room, base, pool) < 0)
            return -1;
    }
    if (generation_watch(keeper->current) < 0)
        return -1;
    keeper_show_runner(keeper);
    generation_go(keeper->current);
    return 0;
}

void keeper_finish(struct keeper *keeper)
{
    struct generation *generation;

    for (size_t i = 0; keeper->rooms && i < keeper->service_count; i++)
        passing_finish(&keeper->rooms[i]);
    free(keeper->rooms);
    keeper->rooms = NULL;
    renewal_close(keeper);
    if (keeper->start_again)
        event_free(keeper->start_again);
    keeper->start_again = NULL;
    while (keeper->current && (generation = TAILQ_FIRST(&keeper->draining))) {
        TAILQ_REMOVE(&keeper->draining, generation, link);
        generation_free(generation);
    }
    generation_free(keeper->next);
    generation_free(keeper->old);
    generation_free(keeper->current);
    keeper->current = keeper->next = keeper->old = NULL;
}
