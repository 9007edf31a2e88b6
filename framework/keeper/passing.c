/* The waiting room of a service. See passing.h. */
#include "keeper/passing.h"

#include "base/log.h"
#include "library/libevent.h"

#include <errno.h>
#include <string.h>

/* ---- accepting ----------------------------------------------------------------------- */

static void on_client(void *arg, int take_fd, const struct sockaddr *peer, socklen_t peer_length)
{
    struct attachment *attachment = arg;

    /* The hold itself admits none: its clients are taken out. */
    hold_add(&attachment->service->hold, take_fd, peer, peer_length, attachment);
}

static bool has_room(const struct passing *passing)
{
    return passing->service->warmup != RPD_WARMUP_BACKLOG;
}

static void start_accepting(struct passing *passing)
{
    struct rpd_service *service = passing->service;

    for (size_t i = 0; i < service->attachment_count; i++) {
        struct attachment *attachment = &service->attachments[i];

        if (attachment->listener.state == LISTENER_PUBLIC && !attachment->acceptor.started &&
            acceptor_start(&attachment->acceptor, service->base, attachment->listener.fd) < 0)
            log_line(RPD_LOG_ERROR, service->name, "out of memory: %s is not accepted from",
                     attachment->listener.text);
    }
}

static void stop_accepting(struct passing *passing)
{
    for (size_t i = 0; i < passing->service->attachment_count; i++)
        acceptor_stop(&passing->service->attachments[i].acceptor);
}

/* ---- passing --------------------------------------------------------------------------- */

/* Takes the next clients of one endpoint, for one message. For two endpoints two messages are
 * sent. */
static size_t take_some(struct passing *passing, int fds[PASSING_BATCH],
                        struct attachment **ret_attachment)
{
    struct hold *hold = &passing->service->hold;
    struct hold_client client;
    size_t count = 0;

    while (passing->sent_count < PASSING_BATCH && hold_take_next(hold, &client)) {
        if (count > 0 && client.arg != *ret_attachment) {
            hold_put_back(hold, &client);
            break;
        }
        *ret_attachment = client.arg;
        passing->sent[passing->sent_count++] = client;
        fds[count++] = client.fd;
    }
    return count;
}

static void take_back(struct passing *passing, size_t left)
{
    while (passing->sent_count > left)
        hold_put_back(&passing->service->hold, &passing->sent[--passing->sent_count]);
}

static void wait_a_while(struct passing *passing)
{
    struct timeval pause;

    passing->pause_ms = passing->pause_ms == 0     ? 10
                        : passing->pause_ms >= 100 ? 1000
                                                   : passing->pause_ms * 10;
    pause.tv_sec = passing->pause_ms / 1000;
    pause.tv_usec = (suseconds_t)(passing->pause_ms % 1000) * 1000;
    event_add(passing->again, &pause);
}

/* EAGAIN, ETOOMANYREFS: the kernel has too many on the way. */
static void send_some(struct passing *passing)
{
    int fds[PASSING_BATCH];
    struct attachment *attachment = NULL;
    struct channel_message message = {.kind = CHANNEL_CLIENTS, .service = passing->index};

    message.count = (uint32_t)take_some(passing, fds, &attachment);
    if (message.count == 0 || !attachment)
        return;
    message.attachment = attachment->number;
    if (channel_send(passing->runner->channel, &message, fds, message.count, 0) == 0)
        return;
    take_back(passing, 0);
    if (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOMEM || errno == ENOBUFS)
        wait_a_while(passing);
    else
        passing->broken(passing->arg);
}

static void hand_listeners_over(struct passing *passing)
{
    const struct channel_message message = {.kind = CHANNEL_ACCEPT, .service = passing->index};

    hold_unite(&passing->service->hold);
    if (passing->state == PASSING_CLOSED) {
        passing->emptied(passing->arg, passing);
        return;
    }
    passing->state = PASSING_RUNNER_ACCEPTS;
    if (channel_send(passing->runner->channel, &message, NULL, 0, 0) < 0)
        passing->broken(passing->arg);
}

/* When the clients that came before READY are on their way, the keeper accepts no more: the next
 * clients wait for a moment in the kernel's queue. */
static void go_on(struct passing *passing)
{
    struct hold *hold = &passing->service->hold;

    if (!passing->runner || passing->state == PASSING_RUNNER_ACCEPTS || passing->sent_count > 0 ||
        event_pending(passing->again, EV_TIMEOUT, NULL))
        return;
    if (TAILQ_EMPTY(&hold->early))
        stop_accepting(passing);
    if (hold->count > 0)
        send_some(passing);
    else
        hand_listeners_over(passing);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    go_on(arg);
}

void passing_begin(struct passing *passing, struct runner *runner)
{
    if (passing->runner)
        return;
    passing->runner = runner;
    /* Those that it was passed before the next generation took over were all admitted. */
    passing->admitted = __atomic_load_n(&runner->board->admitted[passing->index], __ATOMIC_ACQUIRE);
    passing->pause_ms = 0;
    if (passing->state == PASSING_HOLDS)
        passing->state = PASSING_PASSES;
    if (passing->state != PASSING_PASSES)
        return;
    hold_divide(&passing->service->hold);
    go_on(passing);
}

void passing_took(struct passing *passing, size_t count)
{
    if (count >= passing->sent_count) {
        passing->pause_ms = 0;
        return;
    }
    if (passing->pause_ms == 0)
        log_line(RPD_LOG_WARNING, passing->service->name,
                 "the runner has no descriptors for %zu clients; they wait until it has",
                 passing->sent_count - count + passing->service->hold.count);
    take_back(passing, count);
    wait_a_while(passing);
    go_on(passing);
}

/* The clients that the runner has admitted are the runner's own: closes the copies. */
static void let_go(struct passing *passing)
{
    const uint64_t *board = &passing->runner->board->admitted[passing->index];
    uint64_t count = __atomic_load_n(board, __ATOMIC_ACQUIRE) - passing->admitted;

    if (count > passing->sent_count)
        count = passing->sent_count;
    for (size_t i = 0; i < count; i++)
        places_close(&passing->service->places, passing->sent[i].fd);
    passing->service->handed += count;
    passing->sent_count -= count;
    memmove(passing->sent, passing->sent + count, passing->sent_count * sizeof *passing->sent);
    passing->admitted += count;
}

void passing_admitted(struct passing *passing)
{
    if (!passing->runner)
        return;
    let_go(passing);
    go_on(passing);
}

void passing_lost_runner(struct passing *passing)
{
    if (!passing->runner)
        return;
    let_go(passing);
    take_back(passing, 0);
    passing->runner = NULL;
    event_del(passing->again);
    if (passing->state != PASSING_CLOSED)
        passing_hold(passing);
}

/* ---- life --------------------------------------------------------------------------------- */

void passing_hold(struct passing *passing)
{
    passing->state = PASSING_HOLDS;
    hold_unite(&passing->service->hold);
    if (has_room(passing))
        start_accepting(passing);
}

int passing_start(struct passing *passing, struct event_base *base, struct place_pool *pool)
{
    struct rpd_service *service = passing->service;

    service->base = base;
    service->place_pool = pool;
    places_init(&service->places, pool, base, &service->config->limits, service->name);
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct attachment *attachment = &service->attachments[i];

        attachment->acceptor.places = &service->places;
        attachment->attached = true;
        acceptor_init(&attachment->acceptor, service->name,
                      attachment->listener.endpoint.kind == ENDPOINT_ABSTRACT, on_client,
                      attachment);
    }
    passing->again = event_new(base, -1, 0, on_again, passing);
    if (!passing->again || hold_init(&service->hold, base, &service->places, NULL) < 0)
        return -1;
    passing_hold(passing);
    return 0;
}

void passing_finish(struct passing *passing)
{
    struct rpd_service *service = passing->service;

    if (!service || !service->base)
        return;
    stop_accepting(passing);
    take_back(passing, 0);
    hold_finish(&service->hold);
    places_finish(&service->places);
    if (passing->again)
        event_free(passing->again);
    passing->again = NULL;
    service->base = NULL;
}

void passing_drain(struct passing *passing)
{
    struct rpd_service *service = passing->service;
    const bool accepts_here = passing->state != PASSING_RUNNER_ACCEPTS;

    passing->state = PASSING_CLOSED;
    for (size_t i = 0; i < service->attachment_count && accepts_here; i++) {
        struct attachment *attachment = &service->attachments[i];

        if (attachment->listener.way != LISTENER_ADOPTED && attachment->listener.fd >= 0)
            acceptor_take_queued(&attachment->acceptor, attachment->listener.fd);
    }
    stop_accepting(passing);
    if (!passing->runner || !accepts_here)
        hold_drain(&service->hold);
    else
        go_on(passing);
}

bool passing_is_empty(const struct passing *passing)
{
    return !passing->runner || (passing->sent_count == 0 && passing->service->hold.count == 0);
}
