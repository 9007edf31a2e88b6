/* The keeper. See keeper.h. */
#include "keeper/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "guard/rest.h"
#include "guard/signals.h"
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

enum { PATIENCE_MS = 5000, GONE_MS = 2000, LOOK_MS = 100, NOTICE_MAX = 1024 };

/* ---- starting a runner ---------------------------------------------------------------- */

static int send_number(const struct keeper *keeper, enum channel_kind kind, uint32_t count)
{
    const struct channel_message message = {.kind = kind, .count = count};

    return channel_send(keeper->runner.channel, &message, NULL, 0, PATIENCE_MS);
}

static int send_locks(const struct keeper *keeper)
{
    struct channel_message message = {.kind = CHANNEL_LOCKS, .count = 1};
    int fds[CHANNEL_FDS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < keeper->claim_count; i++) {
        fds[count++] = keeper->claims[i]->lock.fd;
        if (count < CHANNEL_FDS_MAX && i + 1 < keeper->claim_count)
            continue;
        if (channel_send(keeper->runner.channel, &message, fds, count, PATIENCE_MS) < 0)
            return -1;
        message.count = 0;
        count = 0;
    }
    return 0;
}

/* Sends a listener, or the place where the runner's backend is to bind one. */
static int send_attachment(const struct keeper *keeper, uint32_t service,
                           const struct attachment *attachment)
{
    const struct rpd_listener *listener = &attachment->listener;
    struct channel_message message = {
        .kind = CHANNEL_LISTENER, .service = service, .attachment = attachment->number};
    const int place[] = {listener->claim.dirfd, listener->claim.lock.fd};

    if (listener->fd >= 0) {
        message.count = listener->way == LISTENER_ADOPTED ? LISTENER_ADOPTED : LISTENER_KEPT;
        return channel_send(keeper->runner.channel, &message, &listener->fd, 1, PATIENCE_MS);
    }
    if (!listener_needs_claim(listener))
        return 0;
    message.kind = CHANNEL_PLACE;
    return channel_send(keeper->runner.channel, &message, place, 2, PATIENCE_MS);
}

static int send_setup(const struct keeper *keeper, const int far[2])
{
    struct channel_message message = {.kind = CHANNEL_SETUP};
    const int fds[] = {keeper->runtime_dirfd, far[0], far[1]};

    message.numbers[SETUP_STARTED_US] = keeper->restarts == 0 ? keeper->started_us : 0;
    message.numbers[SETUP_BOUND_US] = keeper->bound_us;
    message.numbers[SETUP_WATCHDOG_US] = keeper->watchdog_us;
    message.numbers[SETUP_GENERATION] = keeper->generation;
    if (channel_send(keeper->runner.channel, &message, fds, sizeof fds / sizeof *fds, PATIENCE_MS) <
            0 ||
        send_locks(keeper) < 0)
        return -1;
    FOR_EACH_SERVICE(keeper, service)
        for (size_t i = 0; i < service->attachment_count; i++)
            if (send_attachment(keeper, (uint32_t)(service - keeper->services),
                                &service->attachments[i]) < 0)
                return -1;
    return send_number(keeper, CHANNEL_READ, 0);
}

/* If the runner ends during its setup, the keeper finds that it has ended. */
static int start_runner(struct keeper *keeper)
{
    int far[2], sent, cause;

    if (runner_start(&keeper->runner, keeper->argv, far) < 0)
        return -1;
    keeper->stage = KEEPER_STARTING;
    keeper->was_ready = false;
    sent = send_setup(keeper, far);
    cause = errno;
    close(far[0]);
    close(far[1]);
    if (sent == 0 || cause == EPIPE || cause == ECONNRESET)
        return 0;
    runner_close(&keeper->runner);
    keeper->stage = KEEPER_NONE;
    errno = cause;
    return -1;
}

/* ---- what the runner says, until it is prepared ------------------------------------------ */

static struct rpd_service *service_of(const struct keeper *keeper,
                                      const struct channel_message *message)
{
    return message->service < keeper->service_count ? &keeper->services[message->service] : NULL;
}

/* Gives a listener that a backend has bound its public name. Only the first runner is asked for
 * it. */
static int take_listener(struct rpd_service *service, const struct channel_message *message,
                         int take_fd, struct error *error)
{
    struct attachment *attachment = service_attachment(service, message->attachment);
    struct rpd_listener *listener = attachment ? &attachment->listener : NULL;

    if (!listener || listener->state != LISTENER_NEW) {
        close(take_fd);
        return error_set(error, EXIT_INTERNAL, "bind", service->name,
                         "the runner has bound what was not asked for; report this");
    }
    if (listener_take_own(listener, take_fd,
                          listener->endpoint.kind == ENDPOINT_PATH ? message->text : NULL,
                          error) < 0)
        return -1;
    return listener_publish(listener, error);
}

static int take_preparing(struct keeper *keeper, const struct channel_message *message,
                          const int *fds, size_t count, struct error *error)
{
    struct rpd_service *service = service_of(keeper, message);

    if (message->kind == CHANNEL_LISTENER && service && count == 1)
        return take_listener(service, message, fds[0], error);
    if (message->kind == CHANNEL_WARMUP && service && count == 1)
        service_take_metrics(service, fds[--count]);
    while (count > 0)
        close(fds[--count]);
    if (message->kind == CHANNEL_WARMUP && service)
        service->warmup = (enum rpd_warmup)message->count;
    if (message->kind == CHANNEL_PREPARED)
        keeper->stage = KEEPER_PREPARED;
    return 0;
}

/* 1: there may be more; 0: there is none now; -1: the channel is closed, or the error is set. */
static int hear_preparing(struct keeper *keeper, struct error *error)
{
    int fds[CHANNEL_FDS_MAX];
    struct channel_message message;
    size_t count;
    const int got = channel_receive(keeper->runner.channel, &message, fds, &count);

    if (got > 0)
        return take_preparing(keeper, &message, fds, count, error) < 0 ? -1 : 1;
    return got < 0 && errno == EAGAIN ? 0 : -1;
}

/* ---- the first runner ----------------------------------------------------------------------- */

static int refuse_start(struct error *error)
{
    return error_set(error, EXIT_SYSTEM, "start", "runner",
                     "cannot start it: %s; raise the limits of processes and descriptors",
                     strerror(errno));
}

/* The runner may end a moment after its channel. A runner that only lost the channel is ended. */
static void await_end(struct keeper *keeper)
{
    struct pollfd end = {.fd = keeper->runner.pidfd, .events = POLLIN};

    if (keeper->runner.pidfd >= 0 && poll(&end, 1, GONE_MS) > 0)
        return;
    runner_signal(&keeper->runner, SIGKILL);
    if (keeper->runner.pidfd >= 0)
        poll(&end, 1, -1);
}

static int judge_first_end(struct keeper *keeper, struct runner_end *ret_end)
{
    await_end(keeper);
    while (!runner_has_ended(&keeper->runner, ret_end))
        poll(NULL, 0, 1);
    keeper->stage = KEEPER_NONE;
    return -1;
}

int keeper_start(struct keeper *keeper, struct runner_end *ret_end, struct error *error)
{
    *ret_end = (struct runner_end){.code = -1};
    error->code = EXIT_STOPPED;
    keeper->generation = 1;
    if (keeper->service_count > RUNNER_BOARD_MAX)
        return error_set(error, EXIT_CONFIG, "config", "services",
                         "a keeper takes no more than %d; split them", RUNNER_BOARD_MAX);
    if (start_runner(keeper) < 0)
        return refuse_start(error);
    while (keeper->stage != KEEPER_PREPARED) {
        struct pollfd wait[] = {{.fd = keeper->runner.channel, .events = POLLIN},
                                {.fd = keeper->runner.pidfd, .events = POLLIN}};
        const int heard = hear_preparing(keeper, error);

        if (signals_stop_requested())
            return 1;
        if (heard < 0 && error->code != EXIT_STOPPED)
            return -1;
        if (heard < 0)
            return judge_first_end(keeper, ret_end);
        if (heard == 0)
            poll(wait, 2, LOOK_MS);
    }
    return 0;
}

/* ---- pages -------------------------------------------------------------------------------------
 */

static void show_runner(const struct keeper *keeper)
{
    const bool serves = keeper->stage == KEEPER_SERVING;

    FOR_EACH_SERVICE(keeper, service) {
        struct rpd_state_page *page = service->state_page.map;

        STORE(page->generation, keeper->generation);
        STORE(page->restarts, keeper->restarts);
        STORE(page->crash_code, (uint32_t)keeper->crash_code);
        STORE(page->crash_time_s, keeper->crash_time_s);
        STORE(page->runner_start_time, serves ? keeper->runner.start_time : 0);
        STORE(page->runner_pid, serves ? (uint32_t)keeper->runner.pid : 0);
        rpd_metric_set(service->metrics.metrics[METRIC_GENERATION], (int64_t)keeper->generation);
        rpd_metric_set(service->metrics.metrics[METRIC_RESTARTS], (int64_t)keeper->restarts);
        metrics_page_show_kept(&service->metrics);
    }
}

/* A page of metrics that could not be made has no descriptor: the runner counts for itself. */
static int send_page(const struct keeper *keeper, const struct rpd_service *service,
                     enum channel_kind kind, int fd)
{
    const struct channel_message message = {.kind = kind,
                                            .service = (uint32_t)(service - keeper->services)};

    return fd < 0 ? 0 : channel_send(keeper->runner.channel, &message, &fd, 1, 0);
}

static int send_pages(const struct keeper *keeper, const struct rpd_service *service)
{
    return send_page(keeper, service, CHANNEL_PAGE, service->state_page.fd) < 0 ||
                   send_page(keeper, service, CHANNEL_METRICS, service->metrics.fd) < 0
               ? -1
               : 0;
}

static void kill_unreachable(struct keeper *keeper)
{
    log_line(RPD_LOG_ERROR, NULL, "keeper: runner %d cannot be reached: %s; it is ended",
             (int)keeper->runner.pid, strerror(errno));
    runner_signal(&keeper->runner, SIGKILL);
}

void keeper_locks_made(struct keeper *keeper)
{
    const struct channel_message message = {.kind = CHANNEL_RUNTIME};

    if (keeper->stage != KEEPER_SERVING)
        return;
    if ((channel_send(keeper->runner.channel, &message, &keeper->runtime_dirfd, 1, 0) < 0 ||
         send_locks(keeper) < 0) &&
        errno != EPIPE && errno != ECONNRESET)
        kill_unreachable(keeper);
}

void keeper_page_made(struct keeper *keeper, const struct rpd_service *service)
{
    if (keeper->stage == KEEPER_SERVING && send_pages(keeper, service) < 0 && errno != EPIPE)
        kill_unreachable(keeper);
}

static bool can_hear(const struct keeper *keeper)
{
    return keeper->stage != KEEPER_NONE && keeper->stage != KEEPER_STARTING;
}

/* A runner that starts opens its log itself. */
void keeper_reopen_logs(struct keeper *keeper)
{
    if (can_hear(keeper) && send_number(keeper, CHANNEL_REOPEN, 0) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        kill_unreachable(keeper);
}

static int send_level(const struct keeper *keeper, const struct rpd_service *service,
                      enum rpd_log_level level)
{
    const struct channel_message message = {.kind = CHANNEL_LEVEL,
                                            .service = (uint32_t)(service - keeper->services),
                                            .count = (uint32_t)level};

    return channel_send(keeper->runner.channel, &message, NULL, 0, PATIENCE_MS);
}

void keeper_set_level(struct keeper *keeper, const struct rpd_service *service,
                      enum rpd_log_level level)
{
    if (can_hear(keeper) && send_level(keeper, service, level) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        kill_unreachable(keeper);
}

bool keeper_ask(struct keeper *keeper, uint64_t number, const char *request, size_t size)
{
    const struct channel_message message = {.kind = CHANNEL_ASK, .numbers = {number}};

    return can_hear(keeper) &&
           channel_send_text(keeper->runner.channel, &message, request, size) == 0;
}

void keeper_listener_made(struct keeper *keeper, const struct rpd_service *service,
                          const struct attachment *attachment)
{
    if (keeper->stage == KEEPER_NONE || keeper->stage == KEEPER_ENDING)
        return;
    if (keeper->stage == KEEPER_STARTING) { /* it has been given the old one */
        runner_signal(&keeper->runner, SIGKILL);
        return;
    }
    if (send_attachment(keeper, (uint32_t)(service - keeper->services), attachment) < 0 &&
        errno != EPIPE)
        kill_unreachable(keeper);
}

/* ---- serving ------------------------------------------------------------------------------ */

static void go(struct keeper *keeper)
{
    int sent = 0;

    keeper->stage = KEEPER_SERVING;
    FOR_EACH_SERVICE(keeper, service) {
        enum rpd_log_level level;

        sent |= send_pages(keeper, service);
        if (log_has_level(service->name, &level))
            sent |= send_level(keeper, service, level);
    }
    sent |= send_number(keeper, CHANNEL_GO, 0);
    if (sent < 0 && errno != EPIPE && errno != ECONNRESET)
        kill_unreachable(keeper);
}

static bool all_are_ready(const struct keeper *keeper)
{
    FOR_EACH_SERVICE(keeper, service)
        if (service->phase != RPD_PHASE_READY)
            return false;
    return true;
}

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
    if (keeper->stage == KEEPER_ENDING || keeper->stopping)
        return;
    keeper->stage = KEEPER_ENDING;
    if (!crash_rules_is_crash(code, false, true)) {
        keeper->events->ending(keeper->arg, code);
        return;
    }
    for (size_t i = 0; i < keeper->service_count; i++)
        passing_lost_runner(&keeper->rooms[i]);
}

static void on_phase(struct keeper *keeper, const struct channel_message *message)
{
    struct rpd_service *service = service_of(keeper, message);
    const enum rpd_phase phase = (enum rpd_phase)message->count;

    if (service && keeper->stopping && phase > service->phase && phase < RPD_PHASE_STOPPED)
        service_mirror_phase(service, phase, message->numbers[0] != 0);
    if (!service || keeper->stopping)
        return;
    show_runner(keeper);
    keeper->events->serves(keeper->arg, true);
    if (phase >= RPD_PHASE_DRAINING) {
        on_ending(keeper, (int)message->numbers[1]);
        return;
    }
    service_mirror_phase(service, phase, message->numbers[0] != 0);
    if (all_are_ready(keeper) && !keeper->was_ready) {
        keeper->was_ready = true;
        keeper->rules.in_a_row = keeper->rules.pause_s = 0;
    }
    if (can_take_clients(service, phase))
        passing_begin(&keeper->rooms[message->service], &keeper->runner);
}

/* 1 if it had the answer's descriptor. */
static size_t take_answer(struct keeper *keeper, const struct channel_message *message,
                          const int *fds, size_t count)
{
    if (message->kind != CHANNEL_ANSWER || count != 1)
        return 0;
    keeper->events->answered(keeper->arg, message->numbers[0], channel_read_text(fds[0]));
    return 1;
}

static void take(struct keeper *keeper, const struct channel_message *message)
{
    struct passing *room = message->service < keeper->service_count
                               ? &keeper->rooms[message->service]
                               : NULL;

    switch (message->kind) {
    case CHANNEL_PHASE: on_phase(keeper, message); break;
    case CHANNEL_TOOK:
        if (room)
            passing_took(room, message->count);
        break;
    case CHANNEL_ADMITTED:
        if (room)
            passing_admitted(room);
        break;
    case CHANNEL_IDLE: keeper->events->idle(keeper->arg, message->count != 0); break;
    default: break;
    }
}

/* False: the channel is closed. */
static bool hear(struct keeper *keeper)
{
    int fds[CHANNEL_FDS_MAX], got;
    struct channel_message message;
    struct error error;
    size_t count;

    while ((got = channel_receive(keeper->runner.channel, &message, fds, &count)) > 0) {
        if (keeper->stage != KEEPER_STARTING) {
            count -= take_answer(keeper, &message, fds, count);
            while (count > 0)
                close(fds[--count]);
            take(keeper, &message);
            continue;
        }
        if (take_preparing(keeper, &message, fds, count, &error) < 0) {
            log_line(RPD_LOG_ERROR, NULL, "%s", error.text);
            runner_signal(&keeper->runner, SIGKILL);
        }
        if (keeper->stage == KEEPER_PREPARED) {
            keeper->events->make_metrics_pages(keeper->arg);
            go(keeper);
        }
    }
    return got < 0 && errno == EAGAIN;
}

/* ---- the end of a runner ------------------------------------------------------------------ */

static void free_event(struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
}

static void forget_runner(struct keeper *keeper)
{
    free_event(&keeper->channel);
    free_event(&keeper->end);
    free_event(&keeper->notices);
    keeper->stage = KEEPER_NONE;
}

static int watch_runner(struct keeper *keeper);
static void start_next(struct keeper *keeper);

static void describe_end(const struct keeper *keeper, const struct runner_end *end, pid_t pid,
                         char *ret, size_t size)
{
    (void)keeper;
    if (end->signal_number)
        snprintf(ret, size, "runner %d was ended by signal %d (%s)", (int)pid, end->signal_number,
                 strsignal(end->signal_number));
    else if (!end->was_told)
        snprintf(ret, size, "runner %d ended with code %d, and not by rpd: a plugin called _exit()",
                 (int)pid, end->code);
    else
        snprintf(ret, size, "runner %d ended with code %d", (int)pid, end->code);
}

static void on_next(evutil_socket_t fd, short what, void *arg)
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
    const uint64_t due_us = crash_rules_next_us(&keeper->rules, keeper->was_ready, now_us,
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
        event_add(keeper->next, &left);
}

static void on_crash(struct keeper *keeper, const struct runner_end *end, pid_t pid)
{
    char how[256];

    describe_end(keeper, end, pid, how, sizeof how);
    keeper->crash_code = end->code;
    keeper->crash_time_s = (int64_t)time(NULL);
    forget_runner(keeper);
    runner_close(&keeper->runner);
    FOR_EACH_SERVICE(keeper, service)
        service_mirror_phase(service, RPD_PHASE_WARMING, false);
    keeper->events->serves(keeper->arg, false);
    await_next(keeper, how);
    if (keeper->stopping)
        return;
    keeper->events->make_state_pages(keeper->arg);
    show_runner(keeper);
}

static char nothing[] = "";

/* Of a runner that was not there, or was not to end. */
static const struct runner_end no_end = {.was_told = true, .text = nothing, .earlier = nothing};

static void all_is_over(struct keeper *keeper, const struct runner_end *end)
{
    forget_runner(keeper);
    show_runner(keeper);
    FOR_EACH_SERVICE(keeper, service)
        service->phase = RPD_PHASE_STOPPED;
    keeper->events->ended(keeper->arg, end);
}

static void on_ended(struct keeper *keeper)
{
    const pid_t pid = keeper->runner.pid;
    struct runner_end end;

    if (!runner_has_ended(&keeper->runner, &end))
        return;
    rest_end();
    hear(keeper); /* its last messages */
    for (size_t i = 0; i < keeper->service_count; i++)
        passing_lost_runner(&keeper->rooms[i]);
    if (keeper->stopping || !crash_rules_is_crash(end.code, end.signal_number != 0, end.was_told)) {
        keeper->stopping = true;
        all_is_over(keeper, keeper->is_killed_for_stop ? &no_end : &end);
        return;
    }
    keeper->restarts++;
    on_crash(keeper, &end, pid);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    on_ended(arg);
}

static bool is_readable(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};

    return poll(&end, 1, 0) > 0;
}

/* Where there is no pidfd, the end of the channel counts as the runner's end. */
static void on_channel(evutil_socket_t fd, short what, void *arg)
{
    struct keeper *keeper = arg;

    (void)fd;
    (void)what;
    rest_end();
    if (hear(keeper) || !keeper->channel)
        return;
    event_del(keeper->channel);
    if (keeper->runner.pidfd >= 0 && is_readable(keeper->runner.pidfd)) {
        on_ended(keeper);
        return;
    }
    runner_signal(&keeper->runner, SIGKILL); /* this does no harm to one that is ending */
    if (keeper->runner.pidfd < 0)
        while (keeper->runner.pid > 0)
            on_ended(keeper);
}

static void on_notices(evutil_socket_t fd, short what, void *arg)
{
    const struct keeper *keeper = arg;
    char text[NOTICE_MAX];
    ssize_t got;

    (void)what;
    while ((got = read((int)fd, text, sizeof text - 1)) > 0) {
        text[got] = '\0';
        keeper->events->notice(keeper->arg, text);
    }
    if (got == 0)
        event_del(keeper->notices);
}

static struct event *watch(struct keeper *keeper, int fd, event_callback_fn callback)
{
    struct event *event = event_new(keeper->base, fd, EV_READ | EV_PERSIST, callback, keeper);

    if (event && event_add(event, NULL) == 0)
        return event;
    free_event(&event);
    return NULL;
}

static int watch_runner(struct keeper *keeper)
{
    keeper->channel = watch(keeper, keeper->runner.channel, on_channel);
    keeper->notices = watch(keeper, keeper->runner.notices_fd, on_notices);
    if (keeper->runner.pidfd >= 0)
        keeper->end = watch(keeper, keeper->runner.pidfd, on_end);
    return keeper->channel && keeper->notices && (keeper->end || keeper->runner.pidfd < 0) ? 0 : -1;
}

static void start_next(struct keeper *keeper)
{
    if (keeper->stopping)
        return;
    if (start_runner(keeper) == 0 && watch_runner(keeper) == 0)
        return;
    log_line(RPD_LOG_ERROR, NULL, "keeper: cannot start a runner: %s", strerror(errno));
    forget_runner(keeper);
    runner_close(&keeper->runner);
    keeper->was_ready = false;
    await_next(keeper, "no runner could be started");
}

/* ---- the stop ----------------------------------------------------------------------------- */

static void send_stop(struct keeper *keeper)
{
    if (keeper->stop_is_sent)
        return;
    keeper->stop_is_sent = true;
    if (send_number(keeper, CHANNEL_STOP, 0) < 0 && errno != EPIPE && errno != ECONNRESET)
        kill_unreachable(keeper);
}

static void on_emptied(void *arg, struct passing *room)
{
    struct keeper *keeper = arg;

    (void)room;
    if (!keeper->stopping)
        return;
    for (size_t i = 0; i < keeper->service_count; i++)
        if (!passing_is_empty(&keeper->rooms[i]))
            return;
    send_stop(keeper);
}

static void on_broken(void *arg)
{
    struct keeper *keeper = arg;

    if (errno != EPIPE && errno != ECONNRESET)
        kill_unreachable(keeper);
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
    runner_signal(&keeper->runner, SIGKILL);
}

void keeper_drain(struct keeper *keeper)
{
    if (keeper->stage == KEEPER_SERVING)
        hear(keeper); /* it may be ready for the clients that wait */
    keeper->stopping = true;
    if (keeper->next)
        event_del(keeper->next);
    FOR_EACH_SERVICE(keeper, service)
        withdraw(service);
    for (size_t i = 0; i < keeper->service_count; i++)
        passing_drain(&keeper->rooms[i]);
    close_listeners(keeper);
    if (keeper->stage == KEEPER_NONE)
        all_is_over(keeper, &no_end);
    else if (keeper->stage == KEEPER_STARTING)
        end_starting(keeper);
    else
        on_emptied(keeper, NULL);
}

void keeper_ask_idle(struct keeper *keeper)
{
    if (keeper->stage != KEEPER_SERVING || send_number(keeper, CHANNEL_ASK_IDLE, 0) < 0)
        keeper->events->idle(keeper->arg, false);
}

bool keeper_may_rest(const struct keeper *keeper)
{
    if (keeper->stage != KEEPER_SERVING)
        return false;
    for (size_t i = 0; i < keeper->service_count; i++)
        if (keeper->rooms[i].state != PASSING_RUNNER_ACCEPTS)
            return false;
    return true;
}

/* ---- life --------------------------------------------------------------------------------- */

int keeper_serve(struct keeper *keeper, struct event_base *base, struct place_pool *pool)
{
    keeper->base = base;
    keeper->rooms = calloc(keeper->service_count, sizeof *keeper->rooms);
    keeper->next = event_new(base, -1, 0, on_next, keeper);
    if (!keeper->rooms || !keeper->next)
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
    if (watch_runner(keeper) < 0)
        return -1;
    show_runner(keeper);
    go(keeper);
    return 0;
}

void keeper_finish(struct keeper *keeper)
{
    for (size_t i = 0; keeper->rooms && i < keeper->service_count; i++)
        passing_finish(&keeper->rooms[i]);
    free(keeper->rooms);
    keeper->rooms = NULL;
    forget_runner(keeper);
    free_event(&keeper->next);
    runner_close(&keeper->runner);
}
