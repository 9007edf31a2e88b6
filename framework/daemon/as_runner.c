/* A daemon as the runner of a keeper. See as_runner.h. */
#include "daemon/as_runner.h"

#include "daemon/claiming.h"
#include "daemon/daemon_inside.h"
#include "guard/outcome.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

void runner_init_process(struct daemon *daemon, int take_channel)
{
    prctl(PR_SET_NAME, "rpd-runner"); /* exec has named it after /proc/self/exe */
    outcome_keep_start_fd();
    link_init(&daemon->link, take_channel);
    notify_init_runner(&daemon->notify, -1, 0);
}

/* A second address of tcp:localhost that its keeper has dropped is not bound here either. */
int runner_take_setup(struct daemon *daemon, struct error *error)
{
    struct link *link = &daemon->link;

    link->services = daemon->services;
    link->service_count = daemon->service_count;
    if (link_take_setup(link, error) < 0)
        return -1;
    FOR_EACH_SERVICE(daemon, service)
        service_drop_seconds(service);
    daemon->runtime_dirfd = link->runtime_dirfd;
    daemon->bound_us = link->bound_us;
    notify_init_runner(&daemon->notify, link->notices_fd, link->watchdog_us);
    return 0;
}

void runner_forget_setup(struct daemon *daemon)
{
    outcome_ended(daemon->exit_code, NULL);
    FOR_EACH_SERVICE(daemon, service)
        service_unclaim(service);
    link_finish(&daemon->link);
}

int runner_report(struct daemon *daemon, struct error *error)
{
    bool stops;

    if (link_prepared(&daemon->link, &stops, error) < 0)
        return -1;
    if (stops)
        raise(SIGTERM);
    return 0;
}
