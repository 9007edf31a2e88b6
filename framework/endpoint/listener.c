/* Listeners. See listener.h for the states. */
#include "endpoint/listener_inside.h"

#include "base/fork_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool listener_needs_claim(const struct rpd_listener *listener)
{
    return listener->endpoint.kind == ENDPOINT_PATH && listener->way != LISTENER_ADOPTED &&
           listener->way != LISTENER_KEPT;
}

/* ---- the private name -------------------------------------------------- */

/* ".NAME." and ".tmp" frame every private name of this path. A name that would
 * not fit a socket address is cut, and distinguished by its lock file's inode. */
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

/* Asks the socket at the public name whether a process listens. 0: none. */
static int refuse_if_alive(const struct rpd_listener *listener, struct error *error)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int cause;

    if (fd < 0)
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, listener->endpoint.text,
                         "cannot make a socket: %s; raise the limit of descriptors",
                         strerror(errno));
    cause = try_to_connect(listener, fd);
    close(fd);
    if (cause == ECONNREFUSED || cause == ENOENT)
        return 0;
    if (error_is_shortage(cause))
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, listener->endpoint.text,
                         "cannot find out what listens there: %s; %s", strerror(cause),
                         error_remedy(cause, ""));
    if (cause == EACCES || cause == EPERM)
        return error_set(error, EXIT_SECURITY, LISTENER_STEP, listener->endpoint.text,
                         "there is a socket that this user may not connect to; remove it if it is "
                         "not needed, or use another path");
    return error_set(
        error, EXIT_RUNNING, LISTENER_STEP, listener->endpoint.text,
        "already bound: a process that is alive listens there%s; stop it or use another path",
        cause == EAGAIN       ? " (its queue is full)"
        : cause == EPROTOTYPE ? " (not a stream socket)"
                              : "");
}

/* A stale socket is not unlinked: it is replaced when ours is renamed over it. */
int listener_check_public_name(const struct rpd_listener *listener, struct error *error)
{
    struct stat status;

    if (fstatat(listener->claim.dirfd, listener->endpoint.name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (!S_ISSOCK(status.st_mode))
        return error_set(error, EXIT_SECURITY, LISTENER_STEP, listener->endpoint.text,
                         "something that is not a socket is in the way; move it, or use another "
                         "path");
    return refuse_if_alive(listener, error);
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
        return error_set(error, EXIT_CONFIG, LISTENER_STEP, object,
                         "invalid endpoint: %.160s; correct \"listen\"", bound->message);
    case RPD_BIND_IN_USE:
        return error_set(
            error, EXIT_RUNNING, LISTENER_STEP, object,
            "already bound: a process that is alive listens there; stop it or use another "
            "endpoint");
    case RPD_BIND_IO:
        return error_set(
            error, EXIT_SYSTEM, LISTENER_STEP, object, "the system refused: %s; %s",
            strerror(bound->error_number),
            bound->error_number == EACCES ? "ports below 1024 need a privilege"
            : bound->error_number == EADDRNOTAVAIL
                ? "this machine has no such address: use one that it has, or set \"freebind\" if "
                  "it "
                  "comes with the network later"
                : error_remedy(bound->error_number, "fix that, or use another endpoint"));
    case RPD_BIND_OTHER:
        return error_set(
            error, EXIT_SYSTEM, LISTENER_STEP, object,
            "the backend could not bind: %.160s; that is its own reason, see its documentation",
            bound->message);
    case RPD_BIND_LISTENING: break;
    }
    return error_set(error, EXIT_CONTRACT, LISTENER_STEP, object,
                     "bind() returned an unknown outcome (%d); use the rpd_bound_ functions",
                     (int)bound->outcome);
}

/* What is bound: the private name of a path, or the address itself. */
struct rpd_endpoint listener_endpoint_to_bind(struct rpd_listener *listener)
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
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, endpoint->text,
                         "cannot give the socket to group %u: %s; use a group that you are in",
                         endpoint->group, strerror(errno));
    if (has_mode != endpoint->mode &&
        fchmodat(dirfd, listener->private_name, endpoint->mode, 0) < 0)
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, endpoint->text,
                         "cannot set the mode: %s; use another directory", strerror(errno));
    return 0;
}

/* The socket's file, under the name that clients use. group (gid_t)-1: stays. */
static int change_access(const struct rpd_listener *listener, mode_t mode, gid_t group,
                         struct error *error)
{
    const struct rpd_endpoint *endpoint = &listener->endpoint;
    const int dirfd = listener->claim.dirfd;

    if (group != (gid_t)-1 &&
        fchownat(dirfd, endpoint->name, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) < 0)
        return error_set(error, EXIT_SYSTEM, "reload", endpoint->text,
                         "cannot give the socket to group %u: %s; use a group that you are in",
                         group, strerror(errno));
    if (fchmodat(dirfd, endpoint->name, mode, 0) < 0)
        return error_set(error, EXIT_SYSTEM, "reload", endpoint->text,
                         "cannot set the mode: %s; look at its directory", strerror(errno));
    return 0;
}

static void exchange(struct rpd_endpoint *a, struct rpd_endpoint *b)
{
    const struct rpd_endpoint old = *a;

    a->mode = b->mode;
    a->group = b->group;
    a->backlog = b->backlog;
    b->mode = old.mode;
    b->group = old.group;
    b->backlog = old.backlog;
}

int listener_exchange(struct rpd_listener *listener, struct rpd_endpoint *wanted,
                      struct error *error)
{
    const struct rpd_endpoint *endpoint = &listener->endpoint;
    const bool is_own_path = endpoint->kind == ENDPOINT_PATH && listener->way != LISTENER_ADOPTED &&
                             listener->state == LISTENER_PUBLIC;
    const bool loses_group = wanted->group == (gid_t)-1 && endpoint->group != (gid_t)-1;
    struct error ignored;

    if (is_own_path &&
        change_access(listener, wanted->mode, loses_group ? getegid() : wanted->group, error) < 0) {
        change_access(listener, endpoint->mode, endpoint->group, &ignored);
        return -1;
    }
    if (listener->fd >= 0 && wanted->backlog != endpoint->backlog &&
        listen(listener->fd, wanted->backlog) < 0)
        return error_set(error, EXIT_SYSTEM, "reload", endpoint->text,
                         "cannot set its backlog: %s; report this", strerror(errno));
    exchange(&listener->endpoint, wanted);
    return 0;
}

static int remember_file(struct rpd_listener *listener, mode_t *ret_mode, struct error *error)
{
    struct stat status;

    if (fstatat(listener->claim.dirfd, listener->private_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISSOCK(status.st_mode))
        return error_set(error, EXIT_CONTRACT, LISTENER_STEP, listener->endpoint.text,
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
    return listener_check_socket(listener, wanted, EXIT_CONTRACT, error) < 0 ||
                   listener_make_usable(listener, error) < 0
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

int listener_accept_bound(struct rpd_listener *listener, const struct rpd_endpoint *wanted,
                          const struct rpd_bound *bound, struct error *error)
{
    if (wanted->kind == ENDPOINT_PATH && !listener->residue)
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, listener->endpoint.text,
                         "out of memory");
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

    if (listener->endpoint.kind == ENDPOINT_PATH && listener_check_public_name(listener, error) < 0)
        return -1;
    endpoint = listener_endpoint_to_bind(listener);
    bound = endpoint.kind == ENDPOINT_PATH
                ? endpoint_bind_in(&endpoint, listener->claim.dirfd, listener->private_name)
                : rpd_bind_plainly(&endpoint);
    return listener_accept_bound(listener, &endpoint, &bound, error);
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

int listener_adopt(struct rpd_listener *listener, int take_fd, struct error *error)
{
    listener->way = LISTENER_ADOPTED;
    listener->fd = take_fd;
    fork_guard_add(listener->fd);
    listener->state = LISTENER_PUBLIC;
    return listener_check_socket(listener, &listener->endpoint, EXIT_CONFIG, error) < 0 ||
                   listener_make_usable(listener, error) < 0
               ? -1
               : 0;
}

/* ---- keeper and runner ------------------------------------------------------ */

static void name_listener(struct rpd_listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;

    if (listener->endpoint.kind == ENDPOINT_TCP &&
        getsockname(listener->fd, (struct sockaddr *)&address, &length) == 0)
        endpoint_format((struct sockaddr *)&address, length, listener->text);
    else
        snprintf(listener->text, sizeof listener->text, "%s", listener->endpoint.text);
}

void listener_keep(struct rpd_listener *listener, int take_fd, enum listener_way way)
{
    listener->way = way;
    listener->fd = take_fd;
    fork_guard_add(take_fd);
    listener->state = LISTENER_PUBLIC;
    name_listener(listener);
}

void listener_give_away(struct rpd_listener *listener)
{
    residue_forget(listener->residue);
    listener->residue = NULL;
    listener->way = LISTENER_KEPT;
    listener->state = LISTENER_PUBLIC;
}

static int take_private_name(struct rpd_listener *listener, const char *private_name)
{
    const int dirfd = listener->claim.dirfd;
    char prefix[NAME_MAX + 1];
    struct stat status;

    private_prefix(listener, prefix);
    listener->residue = residue_add(dirfd, prefix, listener->private_name);
    if (!listener->residue) {
        errno = ENOMEM;
        return -1;
    }
    if (strchr(private_name, '/') ||
        renameat(dirfd, private_name, dirfd, listener->private_name) < 0 ||
        fstatat(dirfd, listener->private_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    residue_identify(listener->residue, &status);
    return 0;
}

int listener_take_own(struct rpd_listener *listener, int take_fd, const char *private_name,
                      struct error *error)
{
    listener->way = LISTENER_OWN;
    listener->fd = take_fd;
    fork_guard_add(take_fd);
    listener->state = private_name ? LISTENER_BOUND : LISTENER_PUBLIC;
    name_listener(listener);
    if (!private_name || take_private_name(listener, private_name) == 0)
        return 0;
    return error_set(error, EXIT_SYSTEM, LISTENER_STEP, listener->endpoint.text,
                     "cannot take the socket over from the runner: %s; find out what else changes "
                     "that directory",
                     strerror(errno));
}

/* ---- the public name ------------------------------------------------------ */

int listener_publish(struct rpd_listener *listener, struct error *error)
{
    if (listener->state != LISTENER_BOUND)
        return 0;
    if (residue_rename(listener->residue, listener->endpoint.name, 0) < 0)
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, listener->endpoint.text,
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
    /* Not over what another process may have put there meanwhile: that is for
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
        return error_set(error, EXIT_SYSTEM, LISTENER_STEP, listener->endpoint.text,
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
