/* A runner's link to its keeper. See link.h. */
#include "keeper/link.h"

#include "base/clock.h"
#include "base/fork_guard.h"
#include "base/log.h"
#include "base/output.h"
#include "control/reply.h"
#include "guard/rest.h"
#include "library/libevent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 };

void link_init(struct link *link, int fd)
{
    *link = (struct link){.fd = fd, .runtime_dirfd = -1, .notices_fd = -1};
}

static int refuse_silence(int cause, struct error *error)
{
    return error_set(error, EXIT_INTERNAL, "start", "keeper",
                     "it does not speak to this runner: %s; --runner-fd is for rpd itself",
                     cause ? strerror(cause) : "it is gone");
}

static struct rpd_service *service_of(const struct link *link,
                                      const struct channel_message *message)
{
    FOR_EACH_SERVICE(link, service)
        if (service->number == message->service)
            return service;
    return NULL;
}

static void close_all(const int *fds, size_t from, size_t count)
{
    while (from < count)
        close(fds[from++]);
}

/* ---- the setup -------------------------------------------------------------------------- */

enum { SETUP_RUNTIME, SETUP_NOTICES, SETUP_BOARD, SETUP_FDS };

/* The locks come before the listeners, and have lower numbers. When a process ends, the kernel
 * releases its descriptors from the last to the first (since Linux 4.3), so the locks last
 * longer. */
static int keep_lock(struct link *link, int fd)
{
    int *more = realloc(link->locks, (link->lock_count + 1) * sizeof *more);

    if (!more)
        return -1;
    link->locks = more;
    more[link->lock_count++] = fd;
    fork_guard_add(fd);
    return 0;
}

/* are_new: these replace all copies, from the first on; the descriptors keep their numbers. */
static int take_locks(struct link *link, const int *fds, size_t count, bool are_new)
{
    if (are_new)
        link->next_lock = 0;
    for (size_t i = 0; i < count; i++, link->next_lock++) {
        if (link->next_lock >= link->lock_count && keep_lock(link, fds[i]) == 0)
            continue;
        if (link->next_lock < link->lock_count)
            dup3(fds[i], link->locks[link->next_lock], O_CLOEXEC);
        close(fds[i]);
    }
    return 0;
}

static int take_setup(struct link *link, const struct channel_message *message, const int *fds,
                      size_t count)
{
    void *board;

    if (count != SETUP_FDS || link->board)
        return -1;
    link->started_us = message->numbers[SETUP_STARTED_US];
    link->bound_us = message->numbers[SETUP_BOUND_US];
    link->watchdog_us = message->numbers[SETUP_WATCHDOG_US];
    link->generation = (unsigned)message->numbers[SETUP_GENERATION];
    link->runtime_dirfd = fds[SETUP_RUNTIME];
    link->notices_fd = fds[SETUP_NOTICES];
    board = mmap(NULL, sizeof *link->board, PROT_READ | PROT_WRITE, MAP_SHARED, fds[SETUP_BOARD],
                 0);
    close(fds[SETUP_BOARD]);
    if (board == MAP_FAILED)
        return -1;
    link->board = board;
    fork_guard_add(link->runtime_dirfd);
    fork_guard_add(link->notices_fd);
    return 0;
}

/* Takes the directory of an endpoint that this runner's backend binds, and a copy of its lock. */
static int take_place(struct attachment *attachment, const int *fds, size_t count)
{
    if (count == 0)
        return 0; /* a name that no file has */
    if (count != 2)
        return -1;
    attachment->listener.claim.directory = attachment->listener.endpoint.directory;
    attachment->listener.claim.is_path = true;
    attachment->listener.claim.dirfd = fds[0];
    attachment->listener.claim.lock.fd = fds[1];
    fork_guard_add(fds[1]);
    return 0;
}

enum { NOT_NUMBERED = 0x10000 };

static void forget_numbers(const struct link *link)
{
    FOR_EACH_SERVICE(link, service) {
        service->number = NOT_NUMBERED;
        for (size_t i = 0; i < service->attachment_count; i++)
            service->attachments[i].number |= NOT_NUMBERED;
    }
}

static bool are_numbered(const struct link *link)
{
    FOR_EACH_SERVICE(link, service)
        if (service->number == NOT_NUMBERED)
            return false;
    return true;
}

/* The endpoint that the keeper means, which may have another place here. Of several that read alike
 * (port 0), the first. */
static struct attachment *number_attachment(const struct rpd_service *service,
                                            const struct channel_message *message)
{
    for (int by_text = 1; by_text >= 0; by_text--)
        for (size_t i = 0; i < service->attachment_count; i++) {
            struct attachment *attachment = &service->attachments[i];

            if (!(attachment->number & NOT_NUMBERED) ||
                (by_text ? strcmp(attachment->listener.endpoint.text, message->text) != 0
                         : attachment->number != (message->attachment | NOT_NUMBERED)))
                continue;
            attachment->number = message->attachment;
            return attachment;
        }
    return NULL;
}

/* The keeper numbers services, whatever their order here. */
static int take_number(const struct link *link, const struct channel_message *message)
{
    FOR_EACH_SERVICE(link, service)
        if (strcmp(service->name, message->text) == 0) {
            service->number = message->service;
            return message->service < RUNNER_BOARD_MAX ? 0 : -1;
        }
    return -1;
}

static int take_given(struct link *link, const struct channel_message *message, const int *fds,
                      size_t count)
{
    struct rpd_service *service = service_of(link, message);
    struct attachment *attachment;

    if (message->kind == CHANNEL_SETUP)
        return take_setup(link, message, fds, count);
    if (message->kind == CHANNEL_LOCKS)
        return take_locks(link, fds, count, message->count == 1);
    if (message->kind == CHANNEL_SERVICE)
        return take_number(link, message);
    attachment = service ? number_attachment(service, message) : NULL;
    if (!attachment || attachment->listener.state != LISTENER_NEW)
        return -1;
    if (message->kind == CHANNEL_PLACE)
        return take_place(attachment, fds, count);
    if (message->kind != CHANNEL_LISTENER || count != 1)
        return -1;
    listener_keep(&attachment->listener, fds[0], (enum listener_way)message->count);
    return 0;
}

int link_take_setup(struct link *link, struct error *error)
{
    int fds[CHANNEL_FDS_MAX];
    struct channel_message message;
    size_t count;

    forget_numbers(link);
    for (;;) {
        const int got = channel_await(link->fd, &message, fds, &count);

        if (got <= 0)
            return refuse_silence(got < 0 ? errno : 0, error);
        if (message.kind == CHANNEL_READ)
            break;
        if (take_given(link, &message, fds, count) < 0) {
            close_all(fds, 0, count);
            return refuse_silence(EPROTO, error);
        }
    }
    fork_guard_add(link->fd);
    return link->board && are_numbered(link) ? 0 : refuse_silence(EPROTO, error);
}

/* ---- prepared ------------------------------------------------------------------------------ */

static int give(const struct link *link, struct rpd_service *service, struct attachment *attachment)
{
    struct rpd_listener *listener = &attachment->listener;
    struct channel_message message = {
        .kind = CHANNEL_LISTENER, .service = service->number, .attachment = attachment->number};

    if (listener->endpoint.kind == ENDPOINT_PATH)
        memcpy(message.text, listener->private_name, sizeof message.text);
    if (channel_send(link->fd, &message, &listener->fd, 1, PATIENCE_MS) < 0)
        return -1;
    listener_give_away(listener);
    return 0;
}

static int give_own(const struct link *link)
{
    FOR_EACH_SERVICE(link, service)
        for (size_t i = 0; i < service->attachment_count; i++)
            if (service->attachments[i].listener.way == LISTENER_OWN &&
                give(link, service, &service->attachments[i]) < 0)
                return -1;
    return 0;
}

static int say_prepared(const struct link *link)
{
    struct channel_message message = {.kind = CHANNEL_PREPARED};

    FOR_EACH_SERVICE(link, service) {
        const struct channel_message warmup = {.kind = CHANNEL_WARMUP,
                                               .service = service->number,
                                               .count = service->warmup,
                                               .numbers = {service->takes_options}};
        const int metrics = metrics_page_copy_out(&service->metrics);
        const int sent = channel_send(link->fd, &warmup, &metrics, metrics >= 0, PATIENCE_MS);

        if (metrics >= 0)
            close(metrics);
        if (sent < 0)
            return -1;
    }
    return channel_send(link->fd, &message, NULL, 0, PATIENCE_MS);
}

/* A page that the keeper has put back may show an earlier phase. */
static void show_phase_again(struct rpd_service *service)
{
    if (service->phase != RPD_PHASE_STARTING &&
        state_page_phase(&service->state_page) != service->phase)
        state_page_set_phase(&service->state_page, service->phase, clock_us());
}

static int take_page(const struct link *link, const struct channel_message *message, const int *fds,
                     size_t count)
{
    struct rpd_service *service = service_of(link, message);
    int followed = -1;

    if (service && count == 1)
        followed = state_page_follow(&service->state_page, fds[0]);
    if (followed == 0)
        show_phase_again(service);
    close_all(fds, 0, count);
    return followed;
}

/* Without it the runner goes on: nothing but its numbers is missing outside. */
static void take_metrics(const struct link *link, const struct channel_message *message,
                         const int *fds, size_t count)
{
    struct rpd_service *service = service_of(link, message);

    if (service && count == 1 && metrics_page_follow(&service->metrics, fds[0]) < 0)
        log_line(RPD_LOG_ERROR, service->name, "runner: the page of metrics cannot be mapped: %s",
                 strerror(errno));
    close_all(fds, 0, count);
}

static void take_level(const struct link *link, const struct channel_message *message)
{
    const struct rpd_service *service = service_of(link, message);

    if (service)
        log_set_level(service->name, (enum rpd_log_level)message->count);
}

int link_prepared(struct link *link, bool *ret_stop, struct error *error)
{
    int fds[CHANNEL_FDS_MAX];
    struct channel_message message;
    size_t count;

    *ret_stop = false;
    if (give_own(link) < 0 || say_prepared(link) < 0)
        return refuse_silence(errno, error);
    for (;;) {
        const int got = channel_await(link->fd, &message, fds, &count);

        if (got <= 0)
            return refuse_silence(got < 0 ? errno : 0, error);
        if (message.kind == CHANNEL_GO)
            return 0;
        if (message.kind == CHANNEL_STOP) {
            *ret_stop = true;
            return 0;
        }
        if (message.kind == CHANNEL_PAGE) {
            if (take_page(link, &message, fds, count) < 0)
                return refuse_silence(errno, error);
            continue;
        }
        if (message.kind == CHANNEL_METRICS) {
            take_metrics(link, &message, fds, count);
            continue;
        }
        if (message.kind == CHANNEL_REOPEN)
            output_reopen();
        if (message.kind == CHANNEL_LEVEL)
            take_level(link, &message);
        close_all(fds, 0, count);
    }
}

/* ---- on the loop ---------------------------------------------------------------------------- */

static void answer(const struct link *link, enum channel_kind kind, uint32_t service,
                   uint32_t count)
{
    const struct channel_message message = {.kind = kind, .service = service, .count = count};

    if (channel_send(link->fd, &message, NULL, 0, PATIENCE_MS) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        log_line(RPD_LOG_ERROR, NULL, "runner: the keeper does not take reports: %s",
                 strerror(errno));
}

/* Clients for which the kernel had no descriptor are not among them. */
static void take_clients(struct link *link, const struct channel_message *message, const int *fds,
                         size_t count)
{
    struct rpd_service *service = service_of(link, message);

    if (!service) {
        close_all(fds, 0, count);
        return;
    }
    answer(link, CHANNEL_TOOK, message->service, (uint32_t)count);
    link->received[message->service] += count;
    for (size_t i = 0; i < count; i++)
        service_take_passed(service, message->attachment, fds[i]);
}

static void cease(const struct link *link)
{
    FOR_EACH_SERVICE(link, service)
        service_cease(service);
    answer(link, CHANNEL_CEASED, 0, 0);
}

static void change(const struct link *link, int copy_fd)
{
    struct channel_message message = {.kind = CHANNEL_CHANGED, .count = EXIT_SYSTEM};
    const int errors = memfd_create("rpd-errors", MFD_CLOEXEC);

    if (errors >= 0)
        message.count = (uint32_t)link->events->change(link->arg, copy_fd, errors);
    channel_send(link->fd, &message, &errors, errors >= 0, PATIENCE_MS);
    if (errors >= 0)
        close(errors);
}

/* A client that the runner has accepted before the next generation did is its own, even if the
 * client has not sent its request yet. */
static void stop(const struct link *link, bool has_successor)
{
    FOR_EACH_SERVICE(link, service)
        service->conns.awaits_first = has_successor;
    link->events->stop(link->arg);
}

static void answer_question(const struct link *link, const struct channel_message *message,
                            int take_fd)
{
    const struct control_subject subject = {
        .services = link->services, .service_count = link->service_count, .completes = true};
    const struct channel_message reply_message = {.kind = CHANNEL_ANSWER,
                                                  .numbers = {message->numbers[0]}};
    char *request = channel_read_text(take_fd);
    struct control_reply reply = {0};

    if (request)
        control_reply(&subject, request, strlen(request), &reply);
    if (reply.line &&
        channel_send_text(link->fd, &reply_message, reply.line, strlen(reply.line)) < 0)
        log_line(RPD_LOG_WARNING, NULL, "runner: an answer for the control socket is lost: %s",
                 strerror(errno));
    free(reply.line);
    free(request);
}

static void take(struct link *link, const struct channel_message *message, const int *fds,
                 size_t count)
{
    struct rpd_service *service = service_of(link, message);

    switch (message->kind) {
    case CHANNEL_CLIENTS: take_clients(link, message, fds, count); return;
    case CHANNEL_PAGE: take_page(link, message, fds, count); return;
    case CHANNEL_METRICS: take_metrics(link, message, fds, count); return;
    case CHANNEL_LOCKS:
        if (take_locks(link, fds, count, message->count == 1) < 0)
            break;
        return;
    case CHANNEL_RUNTIME:
        if (count == 1)
            dup3(fds[0], link->runtime_dirfd, O_CLOEXEC);
        break;
    case CHANNEL_LISTENER:
        if (!service || count != 1)
            break;
        service_follow_listener(service, message->attachment, fds[0]);
        return;
    case CHANNEL_ACCEPT:
        if (service)
            service_accept(service);
        break;
    case CHANNEL_CEASE: cease(link); break;
    case CHANNEL_CHANGE: change(link, count == 1 ? fds[0] : -1); break;
    case CHANNEL_ASK_IDLE: link->events->ask_idle(link->arg); break;
    case CHANNEL_ASK:
        if (count != 1)
            break;
        answer_question(link, message, fds[0]);
        return;
    case CHANNEL_REOPEN: output_reopen(); break;
    case CHANNEL_LEVEL: take_level(link, message); break;
    case CHANNEL_STOP: stop(link, message->count != 0); break;
    default: break;
    }
    close_all(fds, 0, count);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct link *link = arg;
    int fds[CHANNEL_FDS_MAX], got;
    struct channel_message message;
    size_t count;

    (void)what;
    rest_end();
    while ((got = channel_receive((int)fd, &message, fds, &count)) > 0)
        take(link, &message, fds, count);
    if (got < 0 && errno == EAGAIN)
        return;
    event_del(link->readable);
    link->events->lost(link->arg);
}

int link_start(struct link *link, struct event_base *base, const struct link_events *events,
               void *arg)
{
    link->events = events;
    link->arg = arg;
    link->readable = event_new(base, link->fd, EV_READ | EV_PERSIST, on_readable, link);
    return link->readable ? event_add(link->readable, NULL) : -1;
}

void link_stop(struct link *link)
{
    if (link->readable)
        event_free(link->readable);
    link->readable = NULL;
}

void link_finish(struct link *link)
{
    free(link->locks);
    link->locks = NULL;
    link->lock_count = 0;
}

void link_tell_phase(const struct link *link, const struct rpd_service *service,
                     enum rpd_phase phase, int stop_code)
{
    const struct channel_message message = {
        .kind = CHANNEL_PHASE,
        .service = service->number,
        .count = phase,
        .numbers = {service_is_degraded(service), (uint64_t)stop_code},
    };

    channel_send(link->fd, &message, NULL, 0, PATIENCE_MS);
}

void link_tell_idle(const struct link *link, bool is_idle)
{
    answer(link, CHANNEL_IDLE, 0, is_idle);
}

void link_admits(struct link *link, const struct rpd_service *service)
{
    const size_t index = service->number;
    uint64_t *board = &link->board->admitted[index];
    const uint64_t admitted = __atomic_load_n(board, __ATOMIC_RELAXED) + 1;

    __atomic_store_n(board, admitted, __ATOMIC_RELEASE);
    if (admitted == link->received[index])
        answer(link, CHANNEL_ADMITTED, (uint32_t)index, 0);
}
