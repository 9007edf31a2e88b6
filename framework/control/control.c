/* The control socket. See control.h. */
#include "control/control.h"

#include "base/clock.h"
#include "base/fork_guard.h"
#include "base/log.h"
#include "endpoint/endpoint.h"
#include "guard/rest.h"

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
    CLIENTS_MAX = 64,
    ACCEPTED_A_TURN = 16,
    PAUSE_US = 100000, /* after a failed accept() */
    HEAL_AGAIN_US = 5000000
};

/* ---- the socket ------------------------------------------------------------------- */

static void private_prefix(const struct control *control, char ret_prefix[NAME_MAX + 1])
{
    snprintf(ret_prefix, NAME_MAX + 1, ".%.80s.", control->name);
}

/* The socket listens before it appears under its name. It replaces any socket that a killed process
 * left there: we hold the service's lock. Returns 0, or an errno. */
static int publish(const struct control *control, struct residue *residue, const char *name,
                   int *ret_fd)
{
    struct rpd_endpoint endpoint = {.kind = ENDPOINT_PATH, .backlog = BACKLOG};
    struct rpd_bound bound;
    struct stat status;

    endpoint_place_in(&endpoint, control->dirfd, control->runtime_dir, name);
    bound = endpoint_bind_in(&endpoint, control->dirfd, name);
    *ret_fd = bound.fd;
    if (bound.outcome != RPD_BIND_LISTENING)
        return bound.error_number;
    if (fstatat(control->dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    residue_identify(residue, &status);
    return residue_rename(residue, control->name, 0) < 0 ? errno : 0;
}

/* Returns a listening socket and its residue; or -1 and errno. */
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

void control_init(struct control *control)
{
    *control = (struct control){.dirfd = -1, .fd = -1};
    spares_init(&control->spares);
    control_clients_init(&control->clients, &control->spares);
}

int control_open(struct control *control, int runtime_dirfd, const char *runtime_dir,
                 const char *service, struct error *error)
{
    control->dirfd = runtime_dirfd;
    control->runtime_dir = runtime_dir;
    snprintf(control->name, sizeof control->name, "%s.control", service);
    snprintf(control->path, sizeof control->path, "%s/%s", runtime_dir, control->name);
    control->fd = make_socket(control, &control->residue);
    if (control->fd >= 0)
        return 0;
    return error_set(error, error_is_shortage(errno) ? EXIT_SYSTEM : EXIT_RECORD, "control",
                     control->path, "cannot make the control socket: %s; %s", strerror(errno),
                     error_remedy_in_directory(errno, "free space in the run-time directory, or "
                                                      "set RPD_RUNTIME_DIR"));
}

void control_sweep(const struct control *control)
{
    char prefix[NAME_MAX + 1];

    private_prefix(control, prefix);
    residue_sweep(control->dirfd, prefix, "");
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
        /* then it is closed without an answer */
    }
    free(line);
    close(take_fd);
}

static int accept_one(struct control *control, int fd)
{
    const int client = accept_client(&control->errors, fd, NULL, NULL);

    if (client < 0)
        return -1;
    if (!is_trusted(client))
        close(client);
    else if (control->clients.count >= CLIENTS_MAX)
        turn_away(client);
    else
        control_clients_add(&control->clients, client);
    return 0;
}

/* 0: there may be more. Otherwise an errno; EAGAIN: there are no more. */
static int accept_some(struct control *control, int fd, int most)
{
    for (int i = 0; i < most; i++) {
        if (accept_one(control, fd) == 0 || accept_can_go_on(&control->errors, errno))
            continue;
        if ((errno != EMFILE && errno != ENFILE) || !spares_give(&control->spares))
            return errno;
    }
    return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval pause = {.tv_usec = PAUSE_US};
    struct control *control = arg;
    int ended;

    (void)what;
    rest_end();
    ended = accept_some(control, fd, ACCEPTED_A_TURN);
    /* Without a free descriptor, accept() fails even if no client waits: a spare may have been
     * given up for nothing, and a service's client would take it next. */
    spares_refill(&control->spares);
    if (ended == 0 || ended == EAGAIN) {
        control->is_refused = false;
        return;
    }
    /* The services report a shortage. */
    if (!control->is_refused && !error_is_shortage(ended))
        log_line(RPD_LOG_WARNING, control->name,
                 "cannot accept clients of the control socket (accept: %s); they wait until it is "
                 "possible again",
                 strerror(ended));
    control->is_refused = true;
    /* The clients wait in the queue; polling the socket meanwhile is of no use. */
    event_del(&control->readable);
    event_add(&control->resume, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct control *control = arg;

    (void)fd;
    (void)what;
    spares_refill(&control->spares);
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
    control->clients.base = base;
    control->clients.subject = *subject;
    evtimer_assign(&control->resume, base, on_resume, control);
    spares_refill(&control->spares);
    return listen_on_loop(control);
}

void control_stop(struct control *control)
{
    if (!control->base)
        return;
    event_del(&control->readable);
    event_del(&control->resume);
    control_clients_take_off_loop(&control->clients);
    spares_close(&control->spares);
    control->base = NULL;
}

/* ---- what happens ------------------------------------------------------------------------ */

void control_answer(struct control *control, uint64_t number, char *take_line)
{
    control_clients_answer(&control->clients, number, take_line);
}

void control_lose_answers(struct control *control)
{
    control_clients_lose_answers(&control->clients);
}

void control_tell(struct control *control, const struct rpd_service *service, enum rpd_phase phase)
{
    control_clients_tell(&control->clients, service, phase);
}

void control_reloaded(struct control *control, unsigned long ticket,
                      const struct control_reload_end *end)
{
    control_clients_reloaded(&control->clients, ticket, end);
}

/* Clients that are queued at the old socket are accepted there. */
static int make_again(struct control *control)
{
    struct residue *residue;
    const int fd = make_socket(control, &residue), old_fd = control->fd;

    if (fd < 0)
        return -1;
    event_del(&control->readable);
    event_del(&control->resume);
    accept_some(control, old_fd, BACKLOG + 1);
    fork_guard_close(old_fd);
    residue_forget(control->residue);
    control->residue = residue;
    control->fd = fd;
    return listen_on_loop(control);
}

/* Whether the socket was missing and has been made again. */
static bool make_if_missing(struct control *control)
{
    if (!control->base || residue_is_ending() ||
        (control->fd >= 0 && residue_is_there(control->residue)))
        return false;
    if (make_again(control) == 0) {
        control->heal_due_us = 0;
        return true;
    }
    if (control->heal_due_us == 0)
        log_line(RPD_LOG_ERROR, NULL,
                 "control: %s: it was removed, and cannot be made again: %s; free "
                 "space",
                 control->path, strerror(errno));
    control->heal_due_us = clock_us() + HEAL_AGAIN_US;
    return false;
}

void control_heal(struct control *control, const char *file_name)
{
    const bool was_closed = control->fd < 0;

    if ((!file_name || strcmp(file_name, control->name) == 0) && make_if_missing(control))
        log_line(RPD_LOG_WARNING, NULL, "%s was %s; recreated", control->name,
                 was_closed ? "closed" : "removed");
}

void control_touch(const struct control *control)
{
    if (control->base && residue_is_there(control->residue))
        utimensat(control->dirfd, control->name, NULL, AT_SYMLINK_NOFOLLOW);
}

void control_move(struct control *control)
{
    make_if_missing(control);
}

void control_heal_again(struct control *control, uint64_t now_us)
{
    if (control->heal_due_us > 0 && now_us >= control->heal_due_us)
        control_heal(control, NULL);
}

bool control_may_rest(const struct control *control)
{
    return !control->base ||
           (control->fd >= 0 && control->heal_due_us == 0 && !control->is_refused);
}

/* ---- the end ----------------------------------------------------------------------------- */

void control_close(struct control *control)
{
    residue_remove_one(control->residue);
    control->residue = NULL;
    fork_guard_close(control->fd);
    control->fd = -1;
}

void control_finish(struct control *control)
{
    control_clients_finish(&control->clients);
}
