/* The control socket. See control.h. */
#include "control.h"

#include "buffer.h"
#include "clock.h"
#include "endpoint.h"
#include "fork_guard.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BACKLOG = 128,
    ACCEPTED_A_TURN = 16,
    PATIENCE_S = 10,   /* for the rest of a request, and for whoever does not read */
    PAUSE_US = 100000, /* without descriptors */
    HEAL_AGAIN_US = 5000000
};

struct control_client {
    TAILQ_ENTRY(control_client) link;
    struct control *control;
    int fd;
    struct event readable, writable, again, deadline;
    bool watches;
    bool is_leaving; /* what is left to send is sent, and it is closed */
    char request[CONTROL_REQUEST_MAX];
    size_t used;
    struct buffer output;
};

/* ---- the socket ------------------------------------------------------------------- */

static void private_prefix(const struct control *control, char ret_prefix[NAME_MAX + 1])
{
    snprintf(ret_prefix, NAME_MAX + 1, ".%.80s.", control->name);
}

/* It appears under its name already listening, over what a killed process may
 * have left there: the service's lock is ours. 0, or an errno. */
static int publish(const struct control *control, struct residue *residue, const char *name,
                   int *ret_fd)
{
    struct rpd_endpoint endpoint = {.kind = ENDPOINT_PATH, .backlog = BACKLOG};
    struct rpd_bound bound;
    struct stat status;

    endpoint_place_in(&endpoint, control->dirfd, name);
    bound = rpd_bind_plainly(&endpoint);
    *ret_fd = bound.fd;
    if (bound.outcome != RPD_BIND_LISTENING)
        return bound.error_number;
    if (fstatat(control->dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    residue_identify(residue, &status);
    return residue_rename(residue, control->name, 0) < 0 ? errno : 0;
}

/* A socket that listens, and its residue; -1 and errno. */
static int make_socket(const struct control *control, struct residue **ret_residue)
{
    char prefix[NAME_MAX + 1], name[NAME_MAX + 1];
    int fd = -1, cause;

    private_prefix(control, prefix);
    *ret_residue = residue_add(control->dirfd, prefix, name);
    cause = *ret_residue ? publish(control, *ret_residue, name, &fd) : ENOMEM;
    if (cause == 0) {
        fork_guard_add(fd);
        return fd;
    }
    residue_remove_one(*ret_residue);
    if (fd >= 0)
        close(fd);
    errno = cause;
    return -1;
}

static void close_guarded(int fd)
{
    fork_guard_remove(fd);
    close(fd);
}

void control_init(struct control *control)
{
    *control = (struct control){.dirfd = -1, .fd = -1};
    TAILQ_INIT(&control->clients);
    for (size_t i = 0; i < CONTROL_SPARES; i++)
        control->spares[i] = -1;
}

int control_open(struct control *control, int runtime_dirfd, const char *runtime_dir,
                 const char *service, struct error *error)
{
    control->dirfd = runtime_dirfd;
    snprintf(control->name, sizeof control->name, "%s.control", service);
    snprintf(control->path, sizeof control->path, "%s/%s", runtime_dir, control->name);
    control->fd = make_socket(control, &control->residue);
    if (control->fd >= 0)
        return 0;
    return error_set(error, error_is_shortage(errno) ? EXIT_SYSTEM : EXIT_RECORD, "control",
                     control->path,
                     "cannot make the control socket: %s; free space in the run-time directory, or "
                     "set RPD_RUNTIME_DIR",
                     strerror(errno));
}

void control_sweep(const struct control *control)
{
    char prefix[NAME_MAX + 1];

    private_prefix(control, prefix);
    residue_sweep(control->dirfd, prefix, "");
}

/* ---- spare descriptors ---------------------------------------------------------------- */

static void refill_spares(struct control *control)
{
    for (size_t i = 0; i < CONTROL_SPARES; i++)
        if (control->spares[i] < 0)
            control->spares[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool give_spare(struct control *control)
{
    for (size_t i = 0; i < CONTROL_SPARES; i++) {
        if (control->spares[i] < 0)
            continue;
        close(control->spares[i]);
        control->spares[i] = -1;
        return true;
    }
    return false;
}

static void close_spares(struct control *control)
{
    while (give_spare(control))
        continue;
}

/* ---- a client -------------------------------------------------------------------------- */

static void take_off_loop(struct control_client *client)
{
    event_del(&client->readable);
    event_del(&client->writable);
    event_del(&client->again);
    event_del(&client->deadline);
}

static void close_client(struct control_client *client)
{
    struct control *control = client->control;

    take_off_loop(client);
    TAILQ_REMOVE(&control->clients, client, link);
    control->client_count--;
    buffer_finish(&client->output);
    close_guarded(client->fd);
    free(client);
    refill_spares(control);
}

/* The time runs from the last request or answer that was complete. */
static int set_deadline(struct control_client *client, bool something_is_complete)
{
    static const struct timeval patience = {.tv_sec = PATIENCE_S};

    if (client->used == 0 && client->output.size == 0)
        return event_del(&client->deadline);
    if (something_is_complete || !event_pending(&client->deadline, EV_TIMEOUT, NULL))
        return event_add(&client->deadline, &patience);
    return 0;
}

/* Sends what can be sent. False: it is gone. */
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
        /* (Who leaves it is told by send(), too.) */
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

/* Takes the line. False: the client is gone. */
static bool say(struct control_client *client, char *take_line)
{
    const bool failed = !take_line ||
                        buffer_append(&client->output, take_line, strlen(take_line)) < 0;

    free(take_line);
    if (failed)
        close_client(client);
    return !failed && flush(client);
}

static bool answer_first_request(struct control_client *client, size_t size)
{
    char *line = control_reply(&client->control->subject, client->request, size, &client->watches);

    client->used -= size + 1;
    memmove(client->request, client->request + size + 1, client->used);
    return say(client, line);
}

static const char *end_of_request(const struct control_client *client)
{
    return memchr(client->request, '\n', client->used);
}

/* What is there already comes in the next turn of the loop: whoever asks much at once
 * shall not be in the way of a service's clients. Nothing is read before the last answer has
 * been taken. */
static int wait_for_more(struct control_client *client)
{
    static const struct timeval now;

    if (client->output.size > 0)
        return 0; /* on_client_writable() goes on */
    if (!end_of_request(client))
        return event_add(&client->readable, NULL);
    event_del(&client->readable);
    return event_add(&client->again, &now);
}

/* Answers the first request that is there, if it is whole. */
static void answer_requests(struct control_client *client)
{
    const char *end = end_of_request(client);

    if (!end && client->used == sizeof client->request) {
        client->is_leaving = true;
        say(client, control_refusal("a request is a line of at most 4096 bytes"));
        return;
    }
    if (end && !answer_first_request(client, (size_t)(end - client->request)))
        return;
    if (wait_for_more(client) < 0 || set_deadline(client, end != NULL) < 0)
        close_client(client);
}

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
    const ssize_t got = recv(fd, client->request + client->used,
                             sizeof client->request - client->used, MSG_DONTWAIT);

    (void)what;
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
    if (!flush(client) || client->output.size > 0)
        return;
    event_del(&client->writable);
    answer_requests(client);
}

static void on_client_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    close_client(arg);
}

static void add_client(struct control *control, int take_fd)
{
    struct control_client *client = calloc(1, sizeof *client);

    if (!client) {
        close(take_fd);
        return;
    }
    fork_guard_add(take_fd);
    client->control = control;
    client->fd = take_fd;
    event_assign(&client->readable, control->base, take_fd, EV_READ | EV_PERSIST,
                 on_client_readable, client);
    event_assign(&client->writable, control->base, take_fd, EV_WRITE | EV_PERSIST,
                 on_client_writable, client);
    evtimer_assign(&client->again, control->base, on_client_again, client);
    evtimer_assign(&client->deadline, control->base, on_client_deadline, client);
    TAILQ_INSERT_TAIL(&control->clients, client, link);
    control->client_count++;
    if (event_add(&client->readable, NULL) < 0)
        close_client(client);
}

/* ---- accepting --------------------------------------------------------------------------- */

static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void turn_away(int take_fd)
{
    char *line = control_refusal("too many clients; come back later");

    if (line && send(take_fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        /* then without a word */
    }
    free(line);
    close(take_fd);
}

static int accept_client(struct control *control, int fd)
{
    const int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (client < 0)
        return -1;
    if (!is_trusted(client))
        close(client);
    else if (control->client_count >= CONTROL_CLIENTS_MAX)
        turn_away(client);
    else
        add_client(control, client);
    return 0;
}

/* 0: there may be more. Else errno; EAGAIN: nobody is there. */
static int accept_some(struct control *control, int fd, int most)
{
    for (int i = 0; i < most; i++) {
        if (accept_client(control, fd) == 0 || errno == ECONNABORTED || errno == EINTR)
            continue;
        if ((errno != EMFILE && errno != ENFILE) || !give_spare(control))
            return errno;
    }
    return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval pause = {.tv_usec = PAUSE_US};
    struct control *control = arg;
    const int ended = accept_some(control, fd, ACCEPTED_A_TURN);

    (void)what;
    /* Without a descriptor accept() does not say that nobody is there: one was given for
     * nothing, and a service's clients would have it next. */
    refill_spares(control);
    if (ended == 0 || ended == EAGAIN)
        return;
    /* They wait in the queue; to look again and again is of no use. */
    event_del(&control->readable);
    event_add(&control->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct control *control = arg;

    (void)fd;
    (void)what;
    refill_spares(control);
    event_add(&control->readable, NULL);
}

static int listen_on_loop(struct control *control)
{
    event_assign(&control->readable, control->base, control->fd, EV_READ | EV_PERSIST, on_readable,
                 control);
    return event_add(&control->readable, NULL);
}

int control_start(struct control *control, struct event_base *base,
                  const struct control_subject *subject)
{
    control->base = base;
    control->subject = *subject;
    evtimer_assign(&control->resume, base, on_resume, control);
    refill_spares(control);
    return listen_on_loop(control);
}

void control_stop(struct control *control)
{
    struct control_client *client;

    if (!control->base)
        return;
    event_del(&control->readable);
    event_del(&control->resume);
    TAILQ_FOREACH(client, &control->clients, link)
        take_off_loop(client);
    close_spares(control);
    control->base = NULL;
}

/* ---- what others tell it -------------------------------------------------------------------- */

void control_tell(struct control *control, const struct rpd_service *service, enum rpd_phase phase)
{
    struct control_client *client, *next;

    for (client = TAILQ_FIRST(&control->clients); client; client = next) {
        next = TAILQ_NEXT(client, link);
        if (!client->watches)
            continue;
        if (client->output.size > CONTROL_PENDING_MAX)
            close_client(client);
        else
            say(client, control_event(service, phase));
    }
}

/* Who is queued at the old socket is accepted there. */
static int make_again(struct control *control)
{
    struct residue *residue;
    const int fd = make_socket(control, &residue), old_fd = control->fd;

    if (fd < 0)
        return -1;
    event_del(&control->readable);
    event_del(&control->resume);
    accept_some(control, old_fd, BACKLOG + 1);
    close_guarded(old_fd);
    residue_forget(control->residue);
    control->residue = residue;
    control->fd = fd;
    return listen_on_loop(control);
}

void control_heal(struct control *control, const char *file_name)
{
    if (!control->base || (file_name && strcmp(file_name, control->name) != 0) ||
        residue_is_ending() || residue_is_there(control->residue))
        return;
    if (make_again(control) == 0) {
        control->heal_due_us = 0;
        log_line(RPD_LOG_WARNING, NULL, "%s was removed by somebody; it is there again",
                 control->name);
        return;
    }
    if (control->heal_due_us == 0)
        log_line(RPD_LOG_ERROR, NULL,
                 "control: %s: it was removed by somebody, and cannot be made again: %s; free "
                 "space",
                 control->path, strerror(errno));
    control->heal_due_us = clock_us() + HEAL_AGAIN_US;
}

void control_heal_again(struct control *control, uint64_t now_us)
{
    if (control->heal_due_us > 0 && now_us >= control->heal_due_us)
        control_heal(control, NULL);
}

/* ---- the end ------------------------------------------------------------------------------------
 */

void control_close(struct control *control)
{
    residue_remove_one(control->residue);
    control->residue = NULL;
    if (control->fd >= 0)
        close_guarded(control->fd);
    control->fd = -1;
}

void control_finish(struct control *control)
{
    struct control_client *client;

    while ((client = TAILQ_FIRST(&control->clients))) {
        TAILQ_REMOVE(&control->clients, client, link);
        buffer_finish(&client->output);
        close_guarded(client->fd);
        free(client);
    }
    control->client_count = 0;
}
