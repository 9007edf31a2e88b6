/* One generation: how its runner is started, what the runner says until it is prepared, and how it
 * is described when it has ended. See keeper.h. */
#include "keeper/keeper_inside.h"

#include "base/log.h"
#include "guard/rest.h"
#include "library/libevent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOTICE_MAX = 1024 };

/* ---- life ---------------------------------------------------------------------------- */

struct generation *generation_new(struct keeper *keeper, int take_config_fd)
{
    struct generation *generation = calloc(1, sizeof *generation);

    if (generation)
        generation->services = calloc(keeper->service_count, sizeof *generation->services);
    if (!generation || !generation->services) {
        if (take_config_fd > 0)
            close(take_config_fd);
        free(generation);
        return NULL;
    }
    generation->keeper = keeper;
    generation->number = ++keeper->last_generation;
    generation->config_fd = take_config_fd;
    runner_init(&generation->runner);
    return generation;
}

static void free_event(struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
}

void generation_forget_runner(struct generation *generation)
{
    free_event(&generation->channel);
    free_event(&generation->end);
    free_event(&generation->notices);
    generation->stage = KEEPER_NONE;
}

static void close_metrics(const struct generation *generation)
{
    for (size_t i = 0; i < generation->keeper->service_count; i++)
        if (generation->services[i].metrics_fd > 0)
            close(generation->services[i].metrics_fd);
}

void generation_free(struct generation *generation)
{
    if (!generation)
        return;
    generation_forget_runner(generation);
    runner_close(&generation->runner);
    for (size_t i = 0; generation->pages && i < generation->keeper->service_count; i++)
        state_page_remove(&generation->pages[i]);
    free(generation->pages);
    close_metrics(generation);
    free(generation->services);
    if (generation->config_fd > 0)
        close(generation->config_fd);
    if (generation->changed_fd > 0)
        close(generation->changed_fd);
    free(generation);
}

/* ---- what it is given ------------------------------------------------------------------ */

int generation_send(const struct generation *generation, enum channel_kind kind, uint32_t count)
{
    const struct channel_message message = {.kind = kind, .count = count};

    return channel_send(generation->runner.channel, &message, NULL, 0, KEEPER_PATIENCE_MS);
}

int generation_send_locks(const struct generation *generation)
{
    const struct keeper *keeper = generation->keeper;
    struct channel_message message = {.kind = CHANNEL_LOCKS, .count = 1};
    int fds[CHANNEL_FDS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < keeper->claim_count; i++) {
        fds[count++] = keeper->claims[i]->lock.fd;
        if (count < CHANNEL_FDS_MAX && i + 1 < keeper->claim_count)
            continue;
        if (channel_send(generation->runner.channel, &message, fds, count, KEEPER_PATIENCE_MS) < 0)
            return -1;
        message.count = 0;
        count = 0;
    }
    return 0;
}

static int send_names(const struct generation *generation)
{
    FOR_EACH_SERVICE(generation->keeper, service) {
        struct channel_message message = {.kind = CHANNEL_SERVICE, .service = service->number};

        snprintf(message.text, sizeof message.text, "%s", service->name);
        if (channel_send(generation->runner.channel, &message, NULL, 0, KEEPER_PATIENCE_MS) < 0)
            return -1;
    }
    return 0;
}

/* Sends a listener, or the place where the runner's backend is to bind one. */
int generation_send_attachment(const struct generation *generation,
                               const struct rpd_service *service,
                               const struct attachment *attachment)
{
    const struct rpd_listener *listener = &attachment->listener;
    const int channel = generation->runner.channel;
    struct channel_message message = {
        .kind = CHANNEL_LISTENER, .service = service->number, .attachment = attachment->number};
    const int place[] = {listener->claim.dirfd, listener->claim.lock.fd};

    snprintf(message.text, sizeof message.text, "%s", listener->endpoint.text);
    if (listener->fd >= 0) {
        message.count = listener->way == LISTENER_ADOPTED ? LISTENER_ADOPTED : LISTENER_KEPT;
        return channel_send(channel, &message, &listener->fd, 1, KEEPER_PATIENCE_MS);
    }
    message.kind = CHANNEL_PLACE;
    return channel_send(channel, &message, place, listener_needs_claim(listener) ? 2 : 0,
                        KEEPER_PATIENCE_MS);
}

/* The times of the start are those of its first runner. */
static bool is_first(const struct generation *generation)
{
    return generation->number == 1 && generation->keeper->restarts == 0;
}

static int send_setup(const struct generation *generation, const int far[2])
{
    const struct keeper *keeper = generation->keeper;
    struct channel_message message = {.kind = CHANNEL_SETUP};
    const int fds[] = {keeper->runtime_dirfd, far[0], far[1]};

    message.numbers[SETUP_STARTED_US] = is_first(generation) ? keeper->started_us : 0;
    message.numbers[SETUP_BOUND_US] = keeper->bound_us;
    message.numbers[SETUP_WATCHDOG_US] = keeper->watchdog_us;
    message.numbers[SETUP_GENERATION] = generation->number;
    if (channel_send(generation->runner.channel, &message, fds, sizeof fds / sizeof *fds,
                     KEEPER_PATIENCE_MS) < 0 ||
        generation_send_locks(generation) < 0 || send_names(generation) < 0)
        return -1;
    FOR_EACH_SERVICE(keeper, service)
        for (size_t i = 0; i < service->attachment_count; i++)
            if (generation_send_attachment(generation, service, &service->attachments[i]) < 0)
                return -1;
    return generation_send(generation, CHANNEL_READ, 0);
}

int generation_start(struct generation *generation)
{
    const struct keeper *keeper = generation->keeper;
    int far[2], sent, cause;

    if (runner_start(&generation->runner, keeper->argv, generation->config_fd, far) < 0)
        return -1;
    generation->stage = KEEPER_STARTING;
    generation->was_ready = generation->stop_is_sent = generation->is_given_up = false;
    close_metrics(generation);
    memset(generation->services, 0, keeper->service_count * sizeof *generation->services);
    sent = send_setup(generation, far);
    cause = errno;
    close(far[0]);
    close(far[1]);
    if (sent == 0 || cause == EPIPE || cause == ECONNRESET)
        return 0;
    runner_close(&generation->runner);
    generation->stage = KEEPER_NONE;
    errno = cause;
    return -1;
}

/* A page of metrics that could not be made has no descriptor: the runner counts for itself. */
static int send_page(const struct generation *generation, const struct rpd_service *service,
                     enum channel_kind kind, int fd)
{
    const struct channel_message message = {.kind = kind, .service = service->number};

    return fd < 0 ? 0
                  : channel_send(generation->runner.channel, &message, &fd, 1, KEEPER_PATIENCE_MS);
}

int generation_send_pages(const struct generation *generation, const struct rpd_service *service)
{
    const size_t index = (size_t)(service - generation->keeper->services);

    if (generation->pages)
        return send_page(generation, service, CHANNEL_PAGE, generation->pages[index].fd);
    return send_page(generation, service, CHANNEL_PAGE, service->state_page.fd) < 0 ||
                   send_page(generation, service, CHANNEL_METRICS, service->metrics.fd) < 0
               ? -1
               : 0;
}

int generation_send_level(const struct generation *generation, const struct rpd_service *service,
                          enum rpd_log_level level)
{
    const struct channel_message message = {
        .kind = CHANNEL_LEVEL, .service = service->number, .count = (uint32_t)level};

    return channel_send(generation->runner.channel, &message, NULL, 0, KEEPER_PATIENCE_MS);
}

void generation_give_metrics(const struct generation *generation)
{
    struct keeper *keeper = generation->keeper;

    for (size_t i = 0; i < keeper->service_count; i++)
        if (generation->services[i].metrics_fd > 0)
            service_take_metrics(&keeper->services[i],
                                 fcntl(generation->services[i].metrics_fd, F_DUPFD_CLOEXEC, 3));
}

void generation_go(struct generation *generation)
{
    int sent = 0;

    generation->stage = KEEPER_SERVING;
    FOR_EACH_SERVICE(generation->keeper, service) {
        enum rpd_log_level level;

        sent |= generation_send_pages(generation, service);
        if (log_has_level(service->name, &level))
            sent |= generation_send_level(generation, service, level);
    }
    sent |= generation_send(generation, CHANNEL_GO, 0);
    if (sent < 0 && errno != EPIPE && errno != ECONNRESET)
        generation_kill_unreachable(generation);
}

void generation_send_stop(struct generation *generation, bool has_successor)
{
    if (generation->stop_is_sent)
        return;
    generation->stop_is_sent = true;
    if (generation_send(generation, CHANNEL_STOP, has_successor) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        generation_kill_unreachable(generation);
}

void generation_kill_unreachable(struct generation *generation)
{
    if (generation->is_given_up)
        return;
    generation->is_given_up = true;
    log_line(RPD_LOG_ERROR, NULL, "keeper: runner %d cannot be reached: %s; it is ended",
             (int)generation->runner.pid, strerror(errno));
    runner_signal(&generation->runner, SIGKILL);
}

/* ---- what it says, until it is prepared ---------------------------------------------------- */

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

/* What the runner has made of its page of metrics. */
static void take_metrics(struct generation_service *service, int take_fd)
{
    if (service->metrics_fd > 0)
        close(service->metrics_fd);
    service->metrics_fd = take_fd;
}

int generation_take_preparing(struct generation *generation, const struct channel_message *message,
                              const int *fds, size_t count, struct error *error)
{
    struct rpd_service *service = service_of(generation->keeper, message);

    if (message->kind == CHANNEL_LISTENER && service && count == 1)
        return take_listener(service, message, fds[0], error);
    if (message->kind == CHANNEL_WARMUP && service && count == 1)
        take_metrics(&generation->services[message->service], fds[--count]);
    while (count > 0)
        close(fds[--count]);
    if (message->kind == CHANNEL_WARMUP && service) {
        generation->services[message->service].warmup = (enum rpd_warmup)message->count;
        generation->services[message->service].takes_options = message->numbers[0] != 0;
    }
    if (message->kind == CHANNEL_PREPARED)
        generation->stage = KEEPER_PREPARED;
    return 0;
}

bool generation_is_ready(const struct generation *generation)
{
    for (size_t i = 0; i < generation->keeper->service_count; i++)
        if (generation->services[i].phase != RPD_PHASE_READY)
            return false;
    return true;
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    keeper_on_ended(arg);
}

static bool is_readable(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};

    return poll(&end, 1, 0) > 0;
}

/* Where there is no pidfd, the end of the channel counts as the runner's end. */
static void on_channel(evutil_socket_t fd, short what, void *arg)
{
    struct generation *generation = arg;

    (void)fd;
    (void)what;
    rest_end();
    if (keeper_hear(generation) || !generation->channel)
        return;
    event_del(generation->channel);
    if (generation->runner.pidfd >= 0 && is_readable(generation->runner.pidfd)) {
        keeper_on_ended(generation);
        return;
    }
    runner_signal(&generation->runner, SIGKILL); /* this does no harm to one that is ending */
    if (generation->runner.pidfd >= 0)
        return;
    while (!keeper_on_ended(generation))
        poll(NULL, 0, 1);
}

/* Only what the current one says is of interest to the manager. */
static void on_notices(evutil_socket_t fd, short what, void *arg)
{
    const struct generation *generation = arg;
    const struct keeper *keeper = generation->keeper;
    char text[NOTICE_MAX];
    ssize_t got;

    (void)what;
    while ((got = read((int)fd, text, sizeof text - 1)) > 0) {
        text[got] = '\0';
        if (generation == keeper->current)
            keeper->events->notice(keeper->arg, text);
    }
    if (got == 0)
        event_del(generation->notices);
}

static struct event *watch(struct generation *generation, int fd, event_callback_fn callback)
{
    struct event *event = event_new(generation->keeper->base, fd, EV_READ | EV_PERSIST, callback,
                                    generation);

    if (event && event_add(event, NULL) == 0)
        return event;
    free_event(&event);
    return NULL;
}

int generation_watch(struct generation *generation)
{
    const struct runner *runner = &generation->runner;

    generation->channel = watch(generation, runner->channel, on_channel);
    generation->notices = watch(generation, runner->notices_fd, on_notices);
    if (runner->pidfd >= 0)
        generation->end = watch(generation, runner->pidfd, on_end);
    return generation->channel && generation->notices && (generation->end || runner->pidfd < 0)
               ? 0
               : -1;
}

void generation_describe_end(const struct runner_end *end, pid_t pid, char *ret, size_t size)
{
    if (end->signal_number)
        snprintf(ret, size, "runner %d was ended by signal %d (%s)", (int)pid, end->signal_number,
                 strsignal(end->signal_number));
    else if (!end->was_told)
        snprintf(ret, size, "runner %d ended with code %d, and not by rpd: a plugin called _exit()",
                 (int)pid, end->code);
    else
        snprintf(ret, size, "runner %d ended with code %d", (int)pid, end->code);
}
