/* Watching directories. See path_watch.h. */
#include "daemon/path_watch.h"

#include "library/libevent.h"

#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    const struct path_watch *watch = arg;

    (void)fd;
    (void)what;
    watch->changed(watch->arg, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    const struct path_watch *watch = arg;
    _Alignas(struct inotify_event) char events[8192];
    ssize_t size = read(fd, events, sizeof events);

    (void)what;
    for (ssize_t at = 0; at < size;) {
        const struct inotify_event *event = (const struct inotify_event *)(events + at);

        watch->changed(watch->arg, event->len > 0 ? event->name : NULL);
        at += (ssize_t)(sizeof *event + event->len);
    }
}

static int add_watches(int fd, const int *dirfds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[64];

        snprintf(path, sizeof path, "/proc/self/fd/%d", dirfds[i]);
        if (inotify_add_watch(fd, path, IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF) <
            0)
            return -1;
    }
    return 0;
}

int path_watch_start(struct path_watch *watch, struct event_base *base, const int *dirfds,
                     size_t count, path_watch_fn changed, void *arg)
{
    static const struct timeval half_a_second = {.tv_usec = 500000};

    *watch = (struct path_watch){.changed = changed, .arg = arg};
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd >= 0 && add_watches(watch->fd, dirfds, count) < 0) {
        close(watch->fd);
        watch->fd = -1;
    }
    watch->event = watch->fd >= 0
                       ? event_new(base, watch->fd, EV_READ | EV_PERSIST, on_readable, watch)
                       : event_new(base, -1, EV_PERSIST, on_timer, watch);
    return watch->event && event_add(watch->event, watch->fd >= 0 ? NULL : &half_a_second) == 0
               ? 0
               : -1;
}

void path_watch_stop(struct path_watch *watch)
{
    if (!watch->event)
        return;
    event_free(watch->event);
    watch->event = NULL;
    if (watch->fd >= 0)
        close(watch->fd);
}
