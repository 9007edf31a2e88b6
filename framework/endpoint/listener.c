/* Listeners. See listener.h for the states. */
#include "endpoint/listener.h"

#include "base/descriptors.h"
#include "base/fork_guard.h"
#include "base/log.h"
#include "guard/crash.h"
#include "guard/thread.h"
#include "plugin/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char STEP[] = "bind";

bool listener_needs_claim(const struct rpd_listener *listener)
{
    return listener->endpoint.kind == ENDPOINT_PATH && listener->way != LISTENER_ADOPTED;
}

/* ---- the private name -------------------------------------------------- */

/* ".NAME." and ".tmp" frame every private name of this path. A name that would
 * not fit a socket address is cut, and told apart by its lock file's inode. */
static void private_prefix(const struct rpd_listener *listener, char ret_prefix[NAME_MAX + 1])
{
    enum { NAME_THAT_FITS = 64 };
    const char *name = listener->endpoint.name;
    struct stat lock = {0};

    if (strlen(name) <= NAME_THAT_FITS) {
        snprintf(ret_prefix, NAME_MAX + 1, ".%s.", name);
        return;
    }
    fstat(listener->claim.lock.fd, &lock);
    snprintf(ret_prefix, NAME_MAX + 1, ".%.40s~%lx.", name, (unsigned long)lock.st_ino);
}

/* ---- what stands at the public name ------------------------------------ */

/* Connects to the very file at the public name, however long the name is. 0, or
 * an errno; ENOENT: there is none. */
static int try_to_connect(const struct rpd_listener *listener, int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int file = openat(listener->claim.dirfd, listener->endpoint.name,
                      O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int cause = 0;

    if (file < 0)
        return errno;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", file);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        cause = errno;
    close(file);
    return cause;
}

/* Asks the socket at the public name whether anybody listens. 0: nobody. */
static int refuse_if_alive(const struct rpd_listener *listener, struct error *error)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int cause;

    if (fd < 0)
        return error_set(error, EXIT_SYSTEM, STEP, listener->endpoint.text,
                         "cannot make a socket: %s; raise the limit of descriptors",
                         strerror(errno));
    cause = try_to_connect(listener, fd);
    close(fd);
    if (cause == ECONNREFUSED || cause == ENOENT)
        return 0;
    if (error_is_shortage(cause))
        return error_set(error, EXIT_SYSTEM, STEP, listener->endpoint.text,
                         "cannot find out what listens there: %s; %s", strerror(cause),
                         error_remedy(cause, ""));
    if (cause == EACCES || cause == EPERM)
        return error_set(error, EXIT_SECURITY, STEP, listener->endpoint.text,
                         "there is a socket that this user may not connect to; remove it if it is "
                         "not needed, or use another path");
    return error_set(
        error, EXIT_RUNNING, STEP, listener->endpoint.text,
        "already bound: a process that is alive listens there%s; stop it or use another path",
        cause == EAGAIN       ? " (its queue is full)"
        : cause == EPROTOTYPE ? " (not a stream socket)"
                              : "");
}

/* A stale socket is not unlinked: it is replaced when ours is renamed over it. */
static int check_public_name(const struct rpd_listener *listener, struct error *error)
{
    struct stat status;

    if (fstatat(listener->claim.dirfd, listener->endpoint.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (!S_ISSOCK(status.st_mode))
        return error_set(error, EXIT_SECURITY, STEP, listener->endpoint.text,
                         "something that is not a socket is in the way; move it, or use another "
                         "path");
    return refuse_if_alive(listener, error);
}

/* ---- checking what came back -------------------------------------------- */

static int get_option(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

/* The same for all three ways; code: whose fault it is. */
static int check_socket(struct rpd_listener *listener, const struct rpd_endpoint *wanted,
                        enum exit_code code, struct error *error)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    const char *object = listener->endpoint.text;

    const int type = get_option(listener->fd, SO_TYPE);

    if (type < 0)
        return error_set(error, code, STEP, object,
                         "descriptor %d is not a socket; return the one that listens",
                         listener->fd);
    if (type != SOCK_STREAM)
        return error_set(error, code, STEP, object,
                         "the socket is not a stream socket; make it with SOCK_STREAM");
    if (get_option(listener->fd, SO_ACCEPTCONN) != 1)
        return error_set(error, code, STEP, object, "the socket does not listen; call listen()");
    if (getsockname(listener->fd, (struct sockaddr *)&address, &length) < 0 ||
        !endpoint_is(wanted, (struct sockaddr *)&address, length)) {
        char found[ENDPOINT_TEXT_MAX];
        endpoint_format((struct sockaddr *)&address, length, found);
        return error_set(error, code, STEP, object,
                         "the socket is bound elsewhere, to %s; bind it where it was asked for",
                         found);
    }
    if (wanted->kind == ENDPOINT_TCP)
        endpoint_format((struct sockaddr *)&address, length, listener->text);
    else
        snprintf(listener->text, sizeof listener->text, "%s", listener->endpoint.text);
    return 0;
}

/* The kernel asks a client that has been silent for so long whether it is still there,
 * and takes output that is not acknowledged for as long as the asking lasts for its end.
 * Accepted sockets inherit it. */
static void set_keepalive(int fd, int silent_s)
{
    enum { PROBES = 4 };
    const int on = 1, probes = PROBES;
    const int interval_s = silent_s / PROBES > 0 ? silent_s / PROBES : 1;
    const int patience_ms = (silent_s + PROBES * interval_s) * 1000;

    if (silent_s == 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &silent_s, sizeof silent_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
}

/* The loop would hang on a socket that blocks; and an answer in two writes
 * would wait 40 ms without TCP_NODELAY, which accepted sockets inherit. */
static int make_usable(const struct rpd_listener *listener, struct error *error)
{
    const int on = 1;
    const int flags = fcntl(listener->fd, F_GETFL);

    if (flags < 0 || fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(listener->fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(error, EXIT_SYSTEM, STEP, listener->endpoint.text,
                         "cannot make it non-blocking: %s; report this", strerror(errno));
    if (listener->endpoint.kind == ENDPOINT_TCP) {
        setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        set_keepalive(listener->fd, listener->keepalive_s);
    }
    return 0;
}

/* ---- binding ------------------------------------------------------------- */

static void set_freebind(int fd, sa_family_t family)
{
    const int on = 1;

    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on);
    else
        setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
}

/* Socket, bind, listen: the one way in which rpd makes a listener. */
struct rpd_bound rpd_bind_plainly(const struct rpd_endpoint *endpoint)
{
    const int on = 1;
    struct rpd_bound refused;
    int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return rpd_bound_io(errno);
    /* The usual mode of a unix path, without a moment in which it has another. */
    if (endpoint->kind == ENDPOINT_PATH)
        fchmod(fd, 0600);
    /* A port whose last connections are in TIME_WAIT is free. */
    if (endpoint->kind == ENDPOINT_TCP)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (endpoint->freebind)
        set_freebind(fd, endpoint->address.ss_family);
    if (bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->address_length) == 0 &&
        listen(fd, endpoint->backlog) == 0)
        return rpd_bound_listening(fd);
    refused = rpd_bound_io(errno);
    close(fd);
    return refused;
}

static int refuse_bound(const struct rpd_endpoint *endpoint, const struct rpd_bound *bound,
                        struct error *error)
{
    const char *object = endpoint->text;

    switch (bound->outcome) {
    case RPD_BIND_INVALID:
        return error_set(error, EXIT_CONFIG, STEP, object,
                         "invalid endpoint: %.160s; correct \"listen\"", bound->message);
    case RPD_BIND_IN_USE:
        return error_set(
            error, EXIT_RUNNING, STEP, object,
            "already bound: a process that is alive listens there; stop it or use another "
            "endpoint");
    case RPD_BIND_IO:
        return error_set(
            error, EXIT_SYSTEM, STEP, object, "the system refused: %s; %s",
            strerror(bound->error_number),
            bound->error_number == EACCES ? "ports below 1024 need a privilege"
            : bound->error_number == EADDRNOTAVAIL
                ? "this machine has no such address: use one that it has, or set \"freebind\" if "
                  "it "
                  "comes with the network later"
                : error_remedy(bound->error_number, "mend that, or use another endpoint"));
    case RPD_BIND_OTHER:
        return error_set(
            error, EXIT_SYSTEM, STEP, object,
            "the backend could not bind: %.160s; that is its own reason, see its documentation",
            bound->message);
    case RPD_BIND_LISTENING: break;
    }
    return error_set(error, EXIT_CONTRACT, STEP, object,
                     "bind() returned an unknown outcome (%d); use the rpd_bound_ functions",
                     (int)bound->outcome);
}

/* What is bound: the private name of a path, or the address itself. */
static struct rpd_endpoint endpoint_to_bind(struct rpd_listener *listener)
{
    struct rpd_endpoint endpoint = listener->endpoint;

    if (endpoint.kind == ENDPOINT_PATH) {
        char prefix[NAME_MAX + 1];

        private_prefix(listener, prefix);
        listener->residue = residue_add(listener->claim.dirfd, prefix, listener->private_name);
        endpoint_place_in(&endpoint, listener->claim.dirfd, listener->claim.directory,
                          listener->private_name);
    }
    return endpoint;
}

/* Mode and group are right before the name is public. */
static int set_access(struct rpd_listener *listener, mode_t has_mode, struct error *error)
{
    const struct rpd_endpoint *endpoint = &listener->endpoint;
    const int dirfd = listener->claim.dirfd;

    if (endpoint->group != (gid_t)-1 && fchownat(dirfd, listener->private_name, (uid_t)-1,
                                                 endpoint->group, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(error, EXIT_SYSTEM, STEP, endpoint->text,
                         "cannot give the socket to group %u: %s; use a group that you are in",
                         endpoint->group, strerror(errno));
    if (has_mode != endpoint->mode &&
        fchmodat(dirfd, listener->private_name, endpoint->mode, 0) < 0)
        return error_set(error, EXIT_SYSTEM, STEP, endpoint->text,
                         "cannot set the mode: %s; use another directory", strerror(errno));
    return 0;
}

static int remember_file(struct rpd_listener *listener, mode_t *ret_mode, struct error *error)
{
    struct stat status;

    if (fstatat(listener->claim.dirfd, listener->private_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISSOCK(status.st_mode))
        return error_set(error, EXIT_CONTRACT, STEP, listener->endpoint.text,
                         "no socket appeared at the address that was asked for; bind it there");
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    *ret_mode = status.st_mode & 07777;
    residue_identify(listener->residue, &status);
    return 0;
}

/* What rpd itself has just bound at a path is as it made it: that costs no system call. */
static int check_bound(struct rpd_listener *listener, const struct rpd_endpoint *wanted,
                       struct error *error)
{
    if (listener->way == LISTENER_OWNED && wanted->kind == ENDPOINT_PATH) {
        snprintf(listener->text, sizeof listener->text, "%s", listener->endpoint.text);
        return 0;
    }
    return check_socket(listener, wanted, EXIT_CONTRACT, error) < 0 ||
                   make_usable(listener, error) < 0
               ? -1
               : 0;
}

static int take_bound(struct rpd_listener *listener, const struct rpd_endpoint *wanted,
                      const struct rpd_bound *bound, struct error *error)
{
    mode_t mode = 0;

    if (bound->outcome != RPD_BIND_LISTENING)
        return refuse_bound(&listener->endpoint, bound, error);
    listener->fd = bound->fd;
    fork_guard_add(listener->fd);
    listener->state = LISTENER_BOUND;
    if (check_bound(listener, wanted, error) < 0)
        return -1;
    if (wanted->kind != ENDPOINT_PATH) {
        listener->state = LISTENER_PUBLIC;
        return 0;
    }
    return remember_file(listener, &mode, error) < 0 || set_access(listener, mode, error) < 0 ? -1
                                                                                              : 0;
}

static int accept_bound(struct rpd_listener *listener, const struct rpd_endpoint *wanted,
                        const struct rpd_bound *bound, struct error *error)
{
    if (wanted->kind == ENDPOINT_PATH && !listener->residue)
        return error_set(error, EXIT_SYSTEM, STEP, listener->endpoint.text,
                         "out of memory; free some");
    if (take_bound(listener, wanted, bound, error) == 0)
        return 0;
    /* Whatever went wrong, the file may be there already. */
    residue_remove_one(listener->residue);
    listener->residue = NULL;
    return -1;
}

int listener_bind_owned(struct rpd_listener *listener, struct error *error)
{
    struct rpd_endpoint endpoint;
    struct rpd_bound bound;

    if (listener->endpoint.kind == ENDPOINT_PATH && check_public_name(listener, error) < 0)
        return -1;
    endpoint = endpoint_to_bind(listener);
    bound = endpoint.kind == ENDPOINT_PATH
                ? endpoint_bind_in(&endpoint, listener->claim.dirfd, listener->private_name)
                : rpd_bind_plainly(&endpoint);
    return accept_bound(listener, &endpoint, &bound, error);
}

bool listener_follow(struct rpd_listener *listener, const struct rpd_listener *first)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;

    if (!endpoint_takes_any_port(&listener->endpoint) ||
        getsockname(first->fd, (struct sockaddr *)&address, &length) < 0)
        return false;
    endpoint_set_port_of(&listener->endpoint, (struct sockaddr *)&address);
    snprintf(listener->text, sizeof listener->text, "%s", listener->endpoint.text);
    return true;
}

struct bind_call {
    const struct listener_bind *how;
    const struct rpd_endpoint *endpoint;
    struct seal seal;
    int seal_error;                   /* an errno */
    struct descriptors before, after; /* what was open */
    bool are_listed;
    struct rpd_bound bound;
};

static void run_bind(void *argument)
{
    struct bind_call *call = argument;

    if (!seal_this_thread(&call->seal))
        call->seal_error = errno;
    crash_enter(call->how->service, call->how->plugin, (crash_code)call->how->bind);
    call->bound = call->how->bind(call->endpoint);
    crash_leave();
}

/* On a thread of its own: what bind does to its thread ends with it. */
static int call_bind(struct bind_call *call, struct error *error)
{
    pthread_t thread;
    int failed;

    seal_init(&call->seal, call->how->seal);
    failed = thread_create(&thread, "bind", 0, run_bind, call);
    if (failed)
        return error_set(error, EXIT_SYSTEM, STEP, call->how->plugin,
                         "cannot make a thread for bind(): %s; raise the limit of processes",
                         strerror(failed));
    seal_watch(&call->seal);
    pthread_join(thread, NULL);
    if (call->seal_error)
        log_line(RPD_LOG_WARNING, call->how->service, "bind() is not sealed: the kernel says %s",
                 strerror(call->seal_error));
    return 0;
}

/* What it was denied, or would have been. */
static int judge_breach(const struct bind_call *call, struct error *error)
{
    char what[512];

    if (call->seal.breach.count == 0)
        return 0;
    seal_describe(&call->seal.breach, what, sizeof what);
    if (call->how->seal == SEAL_ENFORCE)
        return error_set(
            error, EXIT_CONTRACT, STEP, call->how->plugin,
            "its bind() called %s; it may only make sockets: leave all else to load(), "
            "or set \"seal\" to \"log\"",
            what);
    log_line(RPD_LOG_WARNING, call->how->service,
             "bind() of %s called %s; it should only make sockets", call->how->plugin, what);
    return 0;
}

/* A socket of its own, and nothing else: neither left open, nor closed. */
static int judge_descriptors(const struct bind_call *call, struct error *error)
{
    const int fd = call->bound.fd;
    const char *object = call->how->plugin;
    char what[320];

    if (!call->are_listed || call->bound.outcome != RPD_BIND_LISTENING)
        return 0;
    switch (descriptors_compare(&call->before, &call->after, fd, what, sizeof what)) {
    case DESCRIPTORS_CLOSED:
        return error_set(error, EXIT_CONTRACT, STEP, object,
                         "its bind() closed or replaced %s, which was not its own; close only "
                         "what it has opened",
                         what);
    case DESCRIPTORS_LEFT_OPEN:
        return error_set(error, EXIT_CONTRACT, STEP, object,
                         "its bind() left %s open; close all but the socket that it returns", what);
    case DESCRIPTORS_SAME: break;
    }
    if (!descriptors_have(&call->before, fd))
        return 0;
    return error_set(error, EXIT_CONTRACT, STEP, object,
                     "its bind() returned descriptor %d, which was open before; return a socket "
                     "of its own making",
                     fd);
}

/* Takes what was bound, even where bind has broken its contract: to be taken away. */
static int judge_bind(struct rpd_listener *listener, const struct rpd_endpoint *endpoint,
                      const struct bind_call *call, struct error *error)
{
    struct error breach;
    const bool is_broken = judge_breach(call, &breach) < 0 || judge_descriptors(call, &breach) < 0;
    const int accepted = accept_bound(listener, endpoint, &call->bound, error);

    if (is_broken)
        *error = breach;
    return is_broken ? -1 : accepted;
}

int listener_bind_own(struct rpd_listener *listener, const struct listener_bind *bind,
                      struct error *error)
{
    struct rpd_endpoint endpoint;
    struct bind_call call = {.how = bind, .endpoint = &endpoint};
    int result;

    listener->way = LISTENER_OWN;
    if (listener->endpoint.kind == ENDPOINT_PATH && check_public_name(listener, error) < 0)
        return -1;
    endpoint = endpoint_to_bind(listener);
    call.are_listed = descriptors_list(&call.before) == 0;
    result = call_bind(&call, error);
    if (result == 0) {
        call.are_listed = call.are_listed && descriptors_list(&call.after) == 0;
        if (!call.are_listed)
            log_line(RPD_LOG_WARNING, bind->service,
                     "cannot see whether bind() left descriptors open: %s", strerror(errno));
        result = judge_bind(listener, &endpoint, &call, error);
    }
    descriptors_free(&call.before);
    descriptors_free(&call.after);
    return result;
}

int listener_adopt(struct rpd_listener *listener, int take_fd, struct error *error)
{
    listener->way = LISTENER_ADOPTED;
    listener->fd = take_fd;
    fork_guard_add(listener->fd);
    listener->state = LISTENER_PUBLIC;
    return check_socket(listener, &listener->endpoint, EXIT_CONFIG, error) < 0 ||
                   make_usable(listener, error) < 0
               ? -1
               : 0;
}

/* ---- the public name ------------------------------------------------------ */

int listener_publish(struct rpd_listener *listener, struct error *error)
{
    if (listener->state != LISTENER_BOUND)
        return 0;
    if (residue_rename(listener->residue, listener->endpoint.name, 0) < 0)
        return error_set(error, EXIT_SYSTEM, STEP, listener->endpoint.text,
                         "cannot give the socket its name: %s; %s", strerror(errno),
                         errno == EBUSY
                             ? "something is mounted on that path: mount its directory instead"
                             : "find out what else changes that directory");
    listener->state = LISTENER_PUBLIC;
    return 0;
}

void listener_sweep(const struct rpd_listener *listener)
{
    char prefix[NAME_MAX + 1];

    if (!listener_needs_claim(listener))
        return;
    private_prefix(listener, prefix);
    residue_sweep(listener->claim.dirfd, prefix, listener->private_name);
}

static bool is_ours(const struct rpd_listener *listener, const char *name)
{
    struct stat status;

    return fstatat(listener->claim.dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_dev == listener->device && status.st_ino == listener->inode;
}

void listener_withdraw(struct rpd_listener *listener)
{
    if (listener->state != LISTENER_PUBLIC)
        return;
    listener->state = LISTENER_WITHDRAWN;
    if (!listener_needs_claim(listener) || !is_ours(listener, listener->endpoint.name))
        return;
    residue_rename(listener->residue, listener->private_name, 0);
}

void listener_restore(struct rpd_listener *listener)
{
    if (listener->state != LISTENER_WITHDRAWN)
        return;
    listener->state = LISTENER_PUBLIC;
    if (!listener_needs_claim(listener) || !is_ours(listener, listener->private_name))
        return;
    /* Not over what somebody may have put there meanwhile: that is for
     * listener_heal() to judge. */
    residue_rename(listener->residue, listener->endpoint.name, RENAME_NOREPLACE);
}

int listener_heal(struct rpd_listener *listener, int *ret_old_fd, struct error *error)
{
    struct rpd_listener fresh = *listener;
    int claimed;

    if (!listener_needs_claim(listener) || listener->state != LISTENER_PUBLIC ||
        listener->unreachable)
        return 0;
    claimed = claim_heal(&listener->claim, error);
    if (claimed != 0)
        return -1;
    if (listener->fd >= 0 && is_ours(listener, listener->endpoint.name))
        return 0;
    if (listener->way == LISTENER_OWN) {
        listener->unreachable = true;
        return error_set(error, EXIT_SYSTEM, STEP, listener->endpoint.text,
                         "its socket file is gone, and only its backend could make it again; "
                         "restart the service");
    }
    fresh.claim = listener->claim;
    fresh.state = LISTENER_NEW;
    fresh.residue = NULL;
    fresh.fd = -1;
    if (listener_bind_owned(&fresh, error) < 0 || listener_publish(&fresh, error) < 0) {
        fork_guard_close(fresh.fd);
        residue_remove_one(fresh.residue);
        return -1;
    }
    *ret_old_fd = listener->fd;
    fork_guard_remove(listener->fd);
    residue_forget(listener->residue);
    *listener = fresh;
    return 1;
}

void listener_touch(const struct rpd_listener *listener)
{
    if (!listener_needs_claim(listener) || listener->state != LISTENER_PUBLIC)
        return;
    lock_touch(&listener->claim.lock);
    if (is_ours(listener, listener->endpoint.name))
        utimensat(listener->claim.dirfd, listener->endpoint.name, NULL, AT_SYMLINK_NOFOLLOW);
}

void listener_close(struct rpd_listener *listener)
{
    if (listener->state == LISTENER_NEW || listener->state == LISTENER_CLOSED)
        return;
    residue_remove_one(listener->residue);
    listener->residue = NULL;
    fork_guard_close(listener->fd);
    listener->fd = -1;
    listener->state = LISTENER_CLOSED;
}
