/* Files and directories of a daemon on its loop: what was removed is made again, and what
 * has moved is followed. See running.h. */
#include "daemon/running_inside.h"

#include "base/clock.h"
#include "base/directory.h"
#include "base/log.h"
#include "guard/rest.h"

#include <stdlib.h>
#include <string.h>

int running_watch_paths(struct running *running)
{
    struct path_watch_directory *directories = calloc(running->claim_count, sizeof *directories);
    int started = -1;

    if (!directories)
        return -1;
    for (size_t i = 0; i < running->claim_count; i++)
        directories[i] = (struct path_watch_directory){
            running->claims[i]->dirfd, running->claims[i]->directory,
            !strcmp(running->claims[i]->directory, running->runtime_dir)};
    started = path_watch_start(&running->path_watch, running->base, directories,
                               running->claim_count, running_on_path_changed, running);
    free(directories);
    return started;
}

static void heal(struct running *running, const char *name)
{
    FOR_EACH_SERVICE(running, service)
        service_heal(service, name);
    control_heal(running->control, name);
}

/* False: nothing is left to heal, or nothing can be made there. An idle exit looks when it is
 * called off. */
bool running_look_at_directories(struct running *running)
{
    if (running->hidden)
        return false;
    switch (moving_look(&running->moving)) {
    case MOVING_AT_HOME: return true;
    case MOVING_LOST: return false;
    case MOVING_MOVED: break;
    }
    path_watch_stop(&running->path_watch);
    if (running_watch_paths(running) < 0)
        log_line(RPD_LOG_ERROR, NULL,
                 "out of memory: files that are removed are not made again at once");
    heal(running, NULL);
    return false;
}

void running_on_path_changed(void *arg, const char *name)
{
    rest_end();
    if (running_look_at_directories(arg))
        heal(arg, name);
}

static void on_directories_changed(void *arg)
{
    rest_end();
    running_look_at_directories(arg);
}

static void on_cannot_move(void *arg, const struct error *error)
{
    running_on_failed(arg, NULL, error);
}

int running_start_moving(struct running *running)
{
    running->moving = (struct moving){
        .services = running->services,
        .service_count = running->service_count,
        .claims = running->claims,
        .claim_count = running->claim_count,
        .control = running->control,
        .runtime_dir = running->runtime_dir,
        .runtime_dirfd = running->runtime_dirfd,
        .look = on_directories_changed,
        .failed = on_cannot_move,
        .arg = running,
    };
    return moving_start(&running->moving, running->base);
}

/* As PostgreSQL does: cleaners remove what was not used for some days. */
void running_touch_files(struct running *running, uint64_t now_us)
{
    enum { AN_HOUR_S = 3600 };

    if (now_us - running->touched_us < AN_HOUR_S * UINT64_C(1000000))
        return;
    running->touched_us = now_us;
    directory_keep(running->runtime_dirfd);
    FOR_EACH_SERVICE(running, service)
        service_touch(service);
    control_touch(running->control);
}
