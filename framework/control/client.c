/* The control socket's clients. See control/client.h. */
#include "control/client.h"

#include "base/buffer.h"
#include "base/fork_guard.h"
#include "base/log.h"
#include "guard/rest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUEST_MAX = 4096,      /* bytes of a request line */
    PENDING_MAX = 64 * 1024, /* bytes that a watcher may leave unread */
    PATIENCE_S = 10          /* for the rest of a request, and for a client that does not read its
                              * answers */
};

struct control_client {
    TAILQ_ENTRY(control_client) link;
    struct control_clients *all;
    int fd;
    struct event readable, writable, again, deadline;
    bool watches;
    unsigned long ticket; /* of the reload that it waits for; 0: it waits for none */
    char *reload_id;
    bool is_leaving; /* what is left to send is sent, and it is closed */
    uint64_t asked;  /* the number of its request that a runner answers; 0: there is none */
    char request[REQUEST_MAX];
    size_t used;
    struct buffer output;
};

/* ---- closing ------------------------------------------------------------------------------- */

static void take_off_loop(struct control_client *client)
{
    event_del(&client->readable);
    event_del(&client->writable);
    event_del(&client->again);
    event_del(&client->deadline);
}

static void close_client(struct control_client *client)
{
    struct control_clients *clients = client->all;

    take_off_loop(client);
    TAILQ_REMOVE(&clients->list, client, link);
    clients->count--;
    buffer_finish(&client->output);
    fork_guard_close(client->fd);
    free(client->reload_id);
    free(client);
    spares_refill(clients->spares);
}

/* ---- sending ------------------------------------------------------------------------------- */

/* The deadline is counted from the last complete request or answer. */
static int set_deadline(struct control_client *client, bool something_is_complete)
{
    static const struct timeval patience = {.tv_sec = PATIENCE_S};

    if (client->used == 0 && client->output.size == 0 && client->asked == 0)
        return event_del(&client->deadline);
    if (something_is_complete || !event_pending(&client->deadline, EV_TIMEOUT, NULL))
        return event_add(&client->deadline, &patience);
    return 0;
}

/* Sends as much as the kernel takes. False: the client is closed. */
static bool flush(struct control_client *client)
{
    struct buffer *output = &client->output;

    while (output->size > 0) {
        const ssize_t sent = send(client->fd, buffer_data(output), output->size,
                                  MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent > 0) {
            buffer_drop(output, (size_t)sent);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            break;
        /* send() also reports that the client has left. */
        event_del(&client->readable);
        if (event_add(&client->writable, NULL) == 0 && set_deadline(client, false) == 0)
            return true;
        break;
    }
    if (output->size > 0 || client->is_leaving) {
        close_client(client);
        return false;
    }
    return true;
}

/* Takes the line. False: the client is closed. */
static bool send_line(struct control_client *client, char *take_line)
{
    const bool failed = !take_line ||
                        buffer_append(&client->output, take_line, strlen(take_line)) < 0;

    free(take_line);
    if (failed)
        close_client(client);
    return !failed && flush(client);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* A client that asks for a reload while it waits for one hears of the later one. */
static bool take_ticket(struct control_client *client, const struct control_reply *answer)
{
    free(client->reload_id);
    client->ticket = answer->ticket;
    client->reload_id = answer->id;
    return true;
}

static bool answer_first_request(struct control_client *client, size_t size)
{
    struct control_reply reply = {.watches = client->watches, .number = client->all->asked + 1};

    control_reply(&client->all->subject, client->request, size, &reply);
    client->watches = reply.watches;
    client->used -= size + 1;
    memmove(client->request, client->request + size + 1, client->used);
    if (reply.ticket)
        return take_ticket(client, &reply);
    if (!reply.is_asked)
        return send_line(client, reply.line);
    client->asked = client->all->asked = reply.number;
    return true;
}

static const char *end_of_request(const struct control_client *client)
{
    return memchr(client->request, '\n', client->used);
}

/* Requests that are already here are answered in the next turn of the loop: a control client with
 * many requests must not delay a service's clients. Nothing is read before the last answer has been
 * sent. */
static int wait_for_more(struct control_client *client)
{
    static const struct timeval now;

    if (client->asked > 0)
        return event_del(&client->readable); /* control_clients_answer() continues */
    if (client->output.size > 0)
        return 0; /* on_client_writable() continues */
    if (!end_of_request(client))
        return event_add(&client->readable, NULL);
    event_del(&client->readable);
    return event_add(&client->again, &now);
}

/* Answers the first request, if all of it is here. */
static void answer_requests(struct control_client *client)
{
    const char *end = end_of_request(client);

    if (!end && client->used == sizeof client->request) {
        client->is_leaving = true;
        send_line(client, control_refusal("a request is a line of at most 4096 bytes"));
        return;
    }
    if (end && !answer_first_request(client, (size_t)(end - client->request)))
        return;
    if (wait_for_more(client) < 0 || set_deadline(client, end != NULL) < 0)
        close_client(client);
}

/* ---- on the loop --------------------------------------------------------------------------- */

static void on_client_again(evutil_socket_t fd, short what, void *arg)
{
    struct control_client *client = arg;

    (void)fd;
    (void)what;
    if (client->output.size == 0)
        answer_requests(client);
}

static void on_client_readable(evutil_socket_t fd, short what, void *arg)
{
    struct control_client *client = arg;
    ssize_t got;

    (void)what;
    rest_end();
    got = recv(fd, client->request + client->used, sizeof client->request - client->used,
               MSG_DONTWAIT);
    if (got > 0) {
        client->used += (size_t)got;
        answer_requests(client);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_client(client);
    }
}

static void on_client_writable(evutil_socket_t fd, short what, void *arg)
{
    struct control_client *client = arg;

    (void)fd;
    (void)what;
    rest_end();
    if (!flush(client) || client->output.size > 0)
        return;
    event_del(&client->writable);
    if (client->asked == 0)
        answer_requests(client);
}

static void on_client_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    close_client(arg);
}

static void log_shortage(void)
{
    log_line(RPD_LOG_WARNING, NULL,
             "a client of the control socket was closed: there was no "
             "memory for it");
}

void control_clients_add(struct control_clients *clients, int take_fd)
{
    struct control_client *client = calloc(1, sizeof *client);

    if (!client) {
        log_shortage();
        close(take_fd);
        return;
    }
    fork_guard_add(take_fd);
    client->all = clients;
    client->fd = take_fd;
    event_assign(&client->readable, clients->base, take_fd, EV_READ | EV_PERSIST,
                 on_client_readable, client);
    event_assign(&client->writable, clients->base, take_fd, EV_WRITE | EV_PERSIST,
                 on_client_writable, client);
    evtimer_assign(&client->again, clients->base, on_client_again, client);
    evtimer_assign(&client->deadline, clients->base, on_client_deadline, client);
    TAILQ_INSERT_TAIL(&clients->list, client, link);
    clients->count++;
    if (event_add(&client->readable, NULL) == 0)
        return;
    log_shortage();
    close_client(client);
}

/* ---- all of them ------------------------------------------------------------------------- */

void control_clients_init(struct control_clients *clients, struct spares *spares)
{
    *clients = (struct control_clients){.spares = spares};
    TAILQ_INIT(&clients->list);
}

void control_clients_tell(struct control_clients *clients, const struct rpd_service *service,
                          enum rpd_phase phase)
{
    struct control_client *client, *next;

    for (client = TAILQ_FIRST(&clients->list); client; client = next) {
        next = TAILQ_NEXT(client, link);
        if (!client->watches)
            continue;
        if (client->output.size > PENDING_MAX)
            close_client(client);
        else
            send_line(client, control_event(service, phase));
    }
}

static void answer(struct control_client *client, char *take_line)
{
    client->asked = 0;
    if (send_line(client, take_line) &&
        (wait_for_more(client) < 0 || set_deadline(client, true) < 0))
        close_client(client);
}

void control_clients_answer(struct control_clients *clients, uint64_t number, char *take_line)
{
    struct control_client *client;

    TAILQ_FOREACH(client, &clients->list, link) {
        if (client->asked != number)
            continue;
        answer(client, take_line);
        return;
    }
    free(take_line); /* the client has gone */
}

void control_clients_lose_answers(struct control_clients *clients)
{
    struct control_client *client, *next;

    for (client = TAILQ_FIRST(&clients->list); client; client = next) {
        next = TAILQ_NEXT(client, link);
        if (client->asked > 0)
            answer(client, control_refusal("the runner that was asked has ended; ask again"));
    }
}

void control_clients_reloaded(struct control_clients *clients, unsigned long ticket,
                              const struct control_reload_end *end)
{
    struct control_client *client, *next;

    for (client = TAILQ_FIRST(&clients->list); client; client = next) {
        char *line;

        next = TAILQ_NEXT(client, link);
        if (client->ticket != ticket)
            continue;
        line = control_reload_reply(client->reload_id, end);
        client->ticket = 0;
        send_line(client, line);
    }
}

void control_clients_take_off_loop(struct control_clients *clients)
{
    struct control_client *client;

    TAILQ_FOREACH(client, &clients->list, link)
        take_off_loop(client);
}

void control_clients_finish(struct control_clients *clients)
{
    struct control_client *client;

    while ((client = TAILQ_FIRST(&clients->list))) {
        TAILQ_REMOVE(&clients->list, client, link);
        buffer_finish(&client->output);
        fork_guard_close(client->fd);
        free(client->reload_id);
        free(client);
    }
    clients->count = 0;
}
