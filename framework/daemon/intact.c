/* What the daemon stands on. See intact.h.
 *
 * The number of a descriptor that was closed may be another's by now: it is never
 * closed again, nor read or written from then on, only forgotten. */
#include "daemon/intact.h"

#include "base/fork_guard.h"
#include "base/log.h"
#include "guard/foreign.h"
#include "guard/signals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { LOOK_US = 1000000 };

/* What may have done it, for a line: its subject, and its beginning. What is found a second
 * later may be any service's; with one alone it is clear whose. */
struct suspect {
    const char *subject;
    char text[640];
};

static void list_services(const struct intact *intact, char *ret, size_t size)
{
    size_t used = 0;

    FOR_EACH_SERVICE(intact, service)
        if (used < size)
            used += (size_t)snprintf(ret + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     service->name);
}

static struct suspect suspect_of(const struct intact *intact)
{
    const struct foreign_place place = foreign_last_place_of(foreign_here());
    const char *last;
    char name[128], services[256] = "";
    struct suspect suspect = {.subject = NULL};

    last = place.service ? foreign_callback_name(place.callback, name, sizeof name) : "a callback";
    if (intact->service_count == 1) {
        suspect.subject = intact->services[0].name;
        snprintf(suspect.text, sizeof suspect.text,
                 "%.300s: its %s, or other code of the last second,",
                 intact->services[0].plugin.path, last);
        return suspect;
    }
    list_services(intact, services, sizeof services);
    snprintf(suspect.text, sizeof suspect.text,
             "loop: code of one of the services %s (the last that ran is %s of %s)", services, last,
             place.service ? place.service : "none");
    return suspect;
}

void intact_name_suspect(const struct intact *intact, char *ret, size_t size)
{
    const struct suspect suspect = suspect_of(intact);

    snprintf(ret, size, "%s", suspect.text);
}

/* ---- signals ----------------------------------------------------------------------- */

/* A plugin that does it again and again is named once. */
static void look_at_signals(struct intact *intact)
{
    char changes[sizeof intact->told_signals];
    struct suspect suspect;

    if (!surroundings_put_back_signals(&intact->saved, changes, sizeof changes) ||
        strcmp(changes, intact->told_signals) == 0)
        return;
    memcpy(intact->told_signals, changes, sizeof changes);
    suspect = suspect_of(intact); /* which reads files */
    log_line(RPD_LOG_WARNING, suspect.subject,
             "%s changed %s on the loop's thread; put back: these are rpd's", suspect.text,
             changes);
}

/* ---- descriptors ------------------------------------------------------------------- */

static bool listens(int fd)
{
    int value = 0;
    socklen_t size = sizeof value;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

/* A lock file that was removed is another matter: claim_heal()'s. */
static bool is_held(const struct lock *lock)
{
    struct stat status;

    return lock_in_place(lock) ||
           (fstat(lock->fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 0);
}

static bool is_anonymous(const struct intact *intact, int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_dev == intact->anonymous_device &&
           status.st_ino == intact->anonymous_inode;
}

static void tell_lost(const struct intact *intact, int fd, const char *what, const char *object)
{
    const struct suspect suspect = suspect_of(intact);

    log_line(RPD_LOG_WARNING, suspect.subject,
             "%s closed descriptor %d, %s%s; a plugin must close only what it has opened",
             suspect.text, fd, what, object);
}

/* Whether it is gone; then it is forgotten. */
static bool lose(const struct intact *intact, int *fd, bool is_there, const char *what,
                 const char *object)
{
    if (*fd < 0 || is_there)
        return false;
    tell_lost(intact, *fd, what, object);
    fork_guard_remove(*fd);
    *fd = -1;
    return true;
}

static bool lose_lock(const struct intact *intact, struct claim *claim)
{
    return lose(intact, &claim->lock.fd, is_held(&claim->lock), "the lock of ", claim->object);
}

/* Whether one of it cannot be had again. */
static bool lacks_listener(const struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        if (service->attachments[i].listener.fd < 0)
            return true;
    return false;
}

static void look_at_service(const struct intact *intact, struct rpd_service *service)
{
    bool lost = lose_lock(intact, &service->name_claim);
    struct error error;

    for (size_t i = 0; i < service->attachment_count; i++) {
        struct rpd_listener *listener = &service->attachments[i].listener;

        if (listener_needs_claim(listener))
            lost |= lose_lock(intact, &listener->claim);
        lost |= lose(intact, &listener->fd, listens(listener->fd), "the listener of ",
                     listener->text);
    }
    if (!lost)
        return;
    service_heal(service, NULL);
    if (!lacks_listener(service))
        return;
    error_set(&error, EXIT_INTERNAL, "loop", service->name,
              "a listener was closed, and cannot be made again without a restart; restart it, and "
              "have the plugin corrected");
    service->events->failed(service->daemon, service, &error);
}

/* What wakes the loop. */
static void look_at_loop(struct intact *intact)
{
    int fd = signals_fd();

    if (lose(intact, &fd, is_anonymous(intact, fd), "the loop's, for signals", "") &&
        intact->open_signals(intact->arg) < 0)
        log_line(RPD_LOG_ERROR, NULL, "loop: signals: can no longer be received: %s",
                 strerror(errno));
    fd = pool_wake_fd(intact->pool);
    if (lose(intact, &fd, is_anonymous(intact, fd), "the loop's, for workers", "") &&
        pool_make_wake_fd_again(intact->pool) < 0)
        log_line(RPD_LOG_ERROR, NULL, "loop: workers: can no longer be received: %s",
                 strerror(errno));
    if (lose(intact, &intact->path_watch->fd,
             intact->path_watch->fd < 0 || is_anonymous(intact, intact->path_watch->fd),
             "the loop's, for changes of files", "") &&
        intact->watch_paths(intact->arg) < 0)
        log_line(RPD_LOG_ERROR, NULL, "loop: files: can no longer be watched: %s", strerror(errno));
    if (lose(intact, &intact->control->fd, listens(intact->control->fd), "the control socket ",
             intact->control->path))
        control_heal(intact->control, NULL);
}

/* ---- the look ---------------------------------------------------------------------- */

void intact_begin(struct intact *intact)
{
    struct stat status;

    surroundings_save(&intact->saved);
    if (fstat(signals_fd(), &status) < 0)
        return;
    intact->anonymous_device = status.st_dev;
    intact->anonymous_inode = status.st_ino;
}

void intact_end(struct intact *intact)
{
    surroundings_finish(&intact->saved);
}

void intact_look(struct intact *intact, uint64_t now_us, bool signals_only)
{
    if (now_us - intact->looked_us < LOOK_US)
        return;
    intact->looked_us = now_us;
    look_at_signals(intact);
    if (signals_only)
        return;
    look_at_loop(intact);
    FOR_EACH_SERVICE(intact, service)
        if (service->phase == RPD_PHASE_WARMING || service->phase == RPD_PHASE_READY)
            look_at_service(intact, service);
}
