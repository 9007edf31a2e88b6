/* A runner on its loop: what its keeper tells it, and what it reports. See running.h. */
#include "daemon/running_inside.h"

#include "base/clock.h"
#include "daemon/daemon_inside.h"
#include "daemon/live.h"

#include <stdio.h>
#include <stdlib.h>

static void on_stop(void *arg)
{
    running_stop(arg, EXIT_STOPPED, "told to by its keeper");
}

static void on_ask_idle(void *arg)
{
    struct running *running = arg;

    FOR_EACH_SERVICE(running, service)
        service_pulse(service, clock_us(), 0, 0);
    link_tell_idle(running->link, running_is_idle(running, clock_us()));
    running->idle_is_told = false;
}

void running_tell_idle(struct running *running, bool is_idle)
{
    if (is_idle && !running->idle_is_told)
        link_tell_idle(running->link, true);
    running->idle_is_told = is_idle;
}

static void on_lost(void *arg)
{
    running_stop(arg, EXIT_STOPPED, "its keeper is gone");
}

/* All changes are live, which the keeper has seen to. */
static int on_change(void *arg, int copy_fd, int errors_fd)
{
    struct running *running = arg;
    struct error_list errors = {NULL, 0, 0};
    const int code = live_change(running->daemon, copy_fd > 0 ? copy_fd : 0, &errors);

    for (size_t i = 0; i < errors.count; i++)
        dprintf(errors_fd, "%s\n", errors.items[i].text);
    free(errors.items);
    return code;
}

int running_listen(struct running *running)
{
    static const struct link_events events = {on_stop, on_ask_idle, on_lost, on_change};

    return link_start(running->link, running->base, &events, running);
}
