/* rpd_connect() for callers that must not wait: an event loop waits for a descriptor, and the next
 * step is taken when it is readable. See rpd/client.h.
 *
 *     look ──lives──► connect ──► a socket
 *      ▲ └─not there─► rpdctl ensure ──► its end ──► look, connect
 *      └──────── a pause ◄── it ended between look and connect
 *
 * The descriptor is an epoll set. Depending on the state, it holds rpdctl's output, its pidfd, or
 * the socket; and it holds a timer, for pauses and the deadline. */
#include "base/clock.h"
#include "client/connect.h"
#include "client/request.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum state { LOOK, HEAR, REAP, CONNECT, CONNECTING };
enum { STEP_ON = -3, FULL_PAUSE_US = 10000 };

struct rpd_connecting {
    struct client_request request;
    struct rpd_client_error error;
    char *config, *service;
    enum state state;
    int epoll, timer;
    int watched; /* in the epoll set, beside the timer; this file closes it; -1: none */
    struct client_child child; /* pid 0: none */
    struct client_words words;
    bool was_ensured;
    struct instance instance; /* its endpoints are tried in two rounds, unix ones first */
    size_t tried;
    int cause; /* the errno of the last endpoint that could not be connected to */
    int tries;
};

/* ---- what it waits for ----------------------------------------------------------------- */

static void set_timer(struct rpd_connecting *connecting, uint64_t at_us)
{
    struct itimerspec timer = {0};

    if (at_us > connecting->request.deadline_us)
        at_us = connecting->request.deadline_us;
    if (at_us != UINT64_MAX) {
        timer.it_value.tv_sec = (time_t)(at_us / 1000000);
        timer.it_value.tv_nsec = (long)(at_us % 1000000) * 1000 + 1; /* 0 would disarm it */
    }
    timerfd_settime(connecting->timer, TFD_TIMER_ABSTIME, &timer, NULL);
}

static void forget_watched(struct rpd_connecting *connecting)
{
    if (connecting->watched >= 0)
        close(connecting->watched); /* which also removes it from the epoll set */
    connecting->watched = -1;
}

static int watch(struct rpd_connecting *connecting, int take_fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    forget_watched(connecting);
    connecting->watched = take_fd;
    if (epoll_ctl(connecting->epoll, EPOLL_CTL_ADD, take_fd, &event) == 0)
        return 0;
    return client_fail(&connecting->request, 71, "client: %s: epoll: %s", connecting->service,
                       strerror(errno));
}

/* ---- the steps ---------------------------------------------------------------------------- */

/* Each returns a socket, -1 with the error, RPD_CONNECT_AGAIN, or STEP_ON: the next one. */

static int begin_connect(struct rpd_connecting *connecting)
{
    connecting->state = CONNECT;
    connecting->tried = 0;
    connecting->cause = ENOENT;
    return STEP_ON;
}

static int begin_start(struct rpd_connecting *connecting)
{
    struct client_request *request = &connecting->request;
    int flags;

    if (!request->config)
        return client_fail(request, RPD_CLIENT_NOT_RUNNING,
                           "client: %s: is not running; start it, or name its configuration",
                           request->service);
    if (client_run_rpdctl(request, &connecting->child) < 0)
        return -1;
    connecting->words = (struct client_words){request->error->text, sizeof request->error->text, 0};
    flags = fcntl(connecting->child.errors, F_GETFL);
    fcntl(connecting->child.errors, F_SETFL, flags | O_NONBLOCK);
    connecting->state = HEAR;
    return watch(connecting, connecting->child.errors, EPOLLIN) < 0 ? -1 : STEP_ON;
}

static int look(struct rpd_connecting *connecting)
{
    const bool lives = (instance_finish(&connecting->instance),
                        client_lives(&connecting->request, &connecting->instance));

    if (lives)
        return begin_connect(connecting);
    if (!connecting->was_ensured)
        return begin_start(connecting);
    /* The daemon may have ended again. */
    if (++connecting->tries == CLIENT_TRIES_MAX)
        return client_is_not_there(&connecting->request, 0);
    connecting->was_ensured = false;
    set_timer(connecting, clock_us() + CLIENT_PAUSE_US);
    return RPD_CONNECT_AGAIN;
}

/* rpdctl has closed its output: it is about to end. If it is gone already, its exit code is lost.
 */
static int hear(struct rpd_connecting *connecting)
{
    int more, pidfd;

    do
        more = client_words_read(&connecting->words, connecting->watched);
    while (more > 0);
    if (more < 0)
        return RPD_CONNECT_AGAIN;
    client_words_end(&connecting->words);
    pidfd = pidfd_open(connecting->child.pid, 0);
    forget_watched(connecting);
    connecting->state = REAP;
    return pidfd >= 0 && watch(connecting, pidfd, EPOLLIN) < 0 ? -1 : STEP_ON;
}

static int reap(struct rpd_connecting *connecting)
{
    int status = 0, code = -1, ran;
    const pid_t ended = waitpid(connecting->child.pid, &status, WNOHANG);

    if (ended == 0)
        return RPD_CONNECT_AGAIN;
    if (ended > 0)
        code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    connecting->child.pid = 0;
    forget_watched(connecting);
    ran = client_judge(&connecting->request, code);
    if (ran < 0 || (ran == CLIENT_CODE_UNKNOWN && *connecting->error.text))
        return -1;
    connecting->was_ensured = true;
    connecting->state = LOOK;
    return STEP_ON;
}

/* The next endpoint in turn; NULL: there is none. */
static const char *next_endpoint(struct rpd_connecting *connecting)
{
    const struct record_view *record = &connecting->instance.record;

    for (; connecting->tried < 2 * record->endpoint_count; connecting->tried++) {
        const char *endpoint = record->endpoints[connecting->tried % record->endpoint_count];
        const bool is_first_round = connecting->tried < record->endpoint_count;

        if ((strncmp(endpoint, "unix:", 5) == 0) == is_first_round)
            return endpoint;
    }
    return NULL;
}

/* A moment later the connect may succeed. */
static int begin_again(struct rpd_connecting *connecting)
{
    if (!client_is_worth_another_try(connecting->cause) || ++connecting->tries == CLIENT_TRIES_MAX)
        return client_fail(&connecting->request, 71, "client: %s: cannot connect: %s",
                           connecting->service, strerror(connecting->cause));
    connecting->state = LOOK;
    connecting->was_ensured = false;
    set_timer(connecting, clock_us() + CLIENT_PAUSE_US);
    return RPD_CONNECT_AGAIN;
}

static int finish_connect(struct rpd_connecting *connecting, int fd)
{
    const int flags = fcntl(fd, F_GETFL);

    epoll_ctl(connecting->epoll, EPOLL_CTL_DEL, fd, NULL);
    connecting->watched = -1;
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    return fd;
}

static int connect_next(struct rpd_connecting *connecting)
{
    const char *endpoint = next_endpoint(connecting);
    int fd;

    if (!endpoint)
        return begin_again(connecting);
    fd = client_connect_start(endpoint, &connecting->cause);
    if (connecting->cause == EAGAIN) { /* no event says when there is room */
        set_timer(connecting, clock_us() + FULL_PAUSE_US);
        return RPD_CONNECT_AGAIN;
    }
    connecting->tried++;
    if (fd < 0)
        return STEP_ON;
    if (connecting->cause == 0)
        return finish_connect(connecting, fd);
    connecting->state = CONNECTING;
    return watch(connecting, fd, EPOLLOUT) < 0 ? -1 : RPD_CONNECT_AGAIN;
}

static int end_connect(struct rpd_connecting *connecting)
{
    struct epoll_event event;

    /* The timer may have woken the caller. A socket that is still connecting is no error. */
    if (epoll_wait(connecting->epoll, &event, 1, 0) == 0)
        return RPD_CONNECT_AGAIN;
    connecting->cause = client_connect_cause(connecting->watched);
    if (connecting->cause == 0)
        return finish_connect(connecting, connecting->watched);
    forget_watched(connecting);
    connecting->state = CONNECT;
    return STEP_ON;
}

static int step(struct rpd_connecting *connecting)
{
    switch (connecting->state) {
    case LOOK: return look(connecting);
    case HEAR: return hear(connecting);
    case REAP: return reap(connecting);
    case CONNECT: return connect_next(connecting);
    default: return end_connect(connecting);
    }
}

/* ---- the interface -------------------------------------------------------------------------- */

static bool open_all(struct rpd_connecting *connecting)
{
    struct epoll_event event = {.events = EPOLLIN};

    connecting->epoll = epoll_create1(EPOLL_CLOEXEC);
    connecting->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return connecting->epoll >= 0 && connecting->timer >= 0 &&
           epoll_ctl(connecting->epoll, EPOLL_CTL_ADD, connecting->timer, &event) == 0;
}

struct rpd_connecting *rpd_connect_start(const char *config, const char *service, int timeout_ms)
{
    struct rpd_connecting *connecting = calloc(1, sizeof *connecting);

    if (!connecting)
        return NULL;
    connecting->epoll = connecting->timer = connecting->watched = -1;
    connecting->config = config ? strdup(config) : NULL;
    connecting->service = service ? strdup(service) : NULL;
    connecting->request = (struct client_request){.config = connecting->config,
                                                  .service = connecting->service,
                                                  .deadline_us = UINT64_MAX,
                                                  .dirfd = -1,
                                                  .error = &connecting->error};
    if (timeout_ms >= 0)
        connecting->request.deadline_us = clock_us() + 1000 * (uint64_t)timeout_ms;
    if (!service || !connecting->service || (config && !connecting->config) ||
        !open_all(connecting)) {
        rpd_connect_free(connecting);
        errno = service ? ENOMEM : EINVAL;
        return NULL;
    }
    set_timer(connecting, 1); /* the first step is due */
    return connecting;
}

int rpd_connect_fd(const struct rpd_connecting *connecting)
{
    return connecting->epoll;
}

int rpd_connect_step(struct rpd_connecting *connecting, struct rpd_client_error *ret_error)
{
    uint64_t expirations;
    int result = STEP_ON;

    if (read(connecting->timer, &expirations, sizeof expirations) > 0)
        set_timer(connecting, UINT64_MAX);
    while (result == STEP_ON) {
        const bool is_late = clock_us() >= connecting->request.deadline_us;

        result = step(connecting);
        if (is_late && result < 0 && result != -1)
            result = client_time_out(&connecting->request, "waiting for it");
    }
    if (ret_error)
        *ret_error = result == -1 ? connecting->error : (struct rpd_client_error){0};
    return result;
}

/* A start that has begun continues. If rpdctl still runs, it is killed instead of waited for. */
void rpd_connect_free(struct rpd_connecting *connecting)
{
    if (!connecting)
        return;
    forget_watched(connecting);
    if (connecting->child.pid > 0) {
        kill(connecting->child.pid, SIGKILL);
        client_wait_for(connecting->child.pid);
    }
    if (connecting->epoll >= 0)
        close(connecting->epoll);
    if (connecting->timer >= 0)
        close(connecting->timer);
    if (connecting->request.dirfd >= 0)
        close(connecting->request.dirfd);
    instance_finish(&connecting->instance);
    free(connecting->config);
    free(connecting->service);
    free(connecting);
}
