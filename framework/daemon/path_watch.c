/* Watching directories. See path_watch.h. */
#include "daemon/path_watch.h"

#include "guard/rest.h"
#include "library/libevent.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OF_FILES = IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
    OF_ITSELF = IN_DELETE_SELF | IN_MOVE_SELF,
    OF_PARENT = OF_FILES | IN_CREATE,
    OF_RUNTIME = OF_FILES | OF_ITSELF | IN_MODIFY
};

/* Two for each directory. */
struct path_watched {
    int wd;
    char name[NAME_MAX + 1]; /* the only one that counts there; "": what happens to any file does */
};

/* ---- what is reported ----------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    const struct path_watch *watch = arg;

    (void)fd;
    (void)what;
    watch->changed(watch->arg, NULL);
}

/* A program may have cut off a page, which the pulse sees. What its owner stores in it is no
 * such event. */
static bool is_written_page(const struct inotify_event *event)
{
    const char *dot = (event->mask & IN_MODIFY) && event->len > 0 ? strrchr(event->name, '.')
                                                                  : NULL;

    return dot && (strcmp(dot, ".state") == 0 || strcmp(dot, ".metrics") == 0);
}

/* A directory of ours may also be the one that holds another. */
static bool concerns_us(const struct path_watch *watch, const struct inotify_event *event)
{
    if (event->len == 0)
        return true;
    for (size_t i = 0; i < watch->count; i++) {
        const struct path_watched *watched = &watch->watched[i];

        if (watched->wd == event->wd && (*watched->name ? strcmp(watched->name, event->name) == 0
                                                        : (event->mask & (uint32_t)OF_FILES) != 0))
            return true;
    }
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    const struct path_watch *watch = arg;
    const unsigned starts = watch->starts;
    _Alignas(struct inotify_event) char events[8192];
    ssize_t size = read(fd, events, sizeof events);

    (void)what;
    /* What is called may end this watch and begin another: then all has been looked at. */
    for (ssize_t at = 0; at < size && watch->starts == starts;) {
        const struct inotify_event *event = (const struct inotify_event *)(events + at);

        if (is_written_page(event))
            rest_end();
        else if (concerns_us(watch, event))
            watch->changed(watch->arg, event->len > 0 ? event->name : NULL);
        at += (ssize_t)(sizeof *event + event->len);
    }
}

/* ---- what is watched ------------------------------------------------------------------ */

static int add(struct path_watch *watch, const char *path, uint32_t mask, const char *name)
{
    struct path_watched *watched = &watch->watched[watch->count];

    watched->wd = inotify_add_watch(watch->fd, path, mask | IN_MASK_ADD);
    if (watched->wd < 0)
        return -1;
    snprintf(watched->name, sizeof watched->name, "%s", name);
    watch->count++;
    return 0;
}

/* If it cannot be watched, the pulse must suffice, too. */
static void add_parent(struct path_watch *watch, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];
    struct stat status;

    if (!slash || !slash[1])
        return;
    snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (stat(parent, &status) == 0 && !(status.st_mode & S_IWOTH))
        add(watch, parent, OF_PARENT, slash + 1);
}

/* Replaces a symbolic link in the path with its target. The link ends at `end`. */
static bool follow_link(char path[PATH_MAX], const char *link, const char *end)
{
    char target[PATH_MAX], next[2 * PATH_MAX];
    const ssize_t size = readlink(link, target, sizeof target - 1);
    const char *slash = strrchr(link, '/');

    if (size <= 0)
        return false;
    target[size] = '\0';
    snprintf(next, sizeof next, "%.*s%s%s", *target == '/' ? 0 : (int)(slash + 1 - link), link,
             target, end);
    return snprintf(path, PATH_MAX, "%s", next) < PATH_MAX;
}

static bool watch_itself(const struct path_watch *watch, const char *path)
{
    return inotify_add_watch(watch->fd, path, OF_ITSELF | IN_MASK_ADD | IN_DONT_FOLLOW) >= 0;
}

/* That a directory on the way is renamed, or a symbolic link replaced, is an event of its own. */
static bool watch_way(const struct path_watch *watch, const char *whole)
{
    enum { LINKS_MAX = 16 };
    char path[PATH_MAX], part[PATH_MAX];
    struct stat status;
    int links = 0;

    if (*whole != '/' || snprintf(path, sizeof path, "%s", whole) >= (int)sizeof path)
        return false;
    for (const char *end = path + 1; *end;) {
        end += strcspn(end, "/");
        snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        if (lstat(part, &status) < 0 || !watch_itself(watch, part))
            return false;
        if (!S_ISLNK(status.st_mode)) {
            end += strspn(end, "/");
            continue;
        }
        if (links++ == LINKS_MAX || !follow_link(path, part, end))
            return false;
        end = path + 1;
    }
    return true;
}

static int add_watches(struct path_watch *watch, const struct path_watch_directory *directories,
                       size_t count)
{
    watch->is_complete = true;
    for (size_t i = 0; i < count; i++) {
        char path[64];

        if (i > 0 && strcmp(directories[i].path, directories[i - 1].path) == 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", directories[i].fd);
        if (add(watch, path, directories[i].is_runtime ? OF_RUNTIME : OF_FILES | OF_ITSELF, "") < 0)
            return -1;
        add_parent(watch, directories[i].path);
        watch->is_complete &= watch_way(watch, directories[i].path);
    }
    return 0;
}

/* ---- the beginning and the end ------------------------------------------------------------ */

static void close_watch(struct path_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    free(watch->watched);
    watch->fd = -1;
    watch->watched = NULL;
    watch->is_complete = false;
    watch->count = 0;
}

int path_watch_start(struct path_watch *watch, struct event_base *base,
                     const struct path_watch_directory *directories, size_t count,
                     path_watch_fn changed, void *arg)
{
    static const struct timeval half_a_second = {.tv_usec = 500000};

    *watch = (struct path_watch){.starts = watch->starts + 1, .changed = changed, .arg = arg};
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->watched = calloc(2 * count, sizeof *watch->watched);
    if (watch->fd >= 0 && (!watch->watched || add_watches(watch, directories, count) < 0))
        close_watch(watch);
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
    close_watch(watch);
}
