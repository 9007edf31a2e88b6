/* A service's public functions for jobs, queues, posts, timers, its own data and the stop, which
 * only say on which thread they may be called. See rpd/job.h and rpd/service.h. */
#include "service/service.h"

#include "guard/loop_only.h"

#include <stdio.h>

int rpd_job_submit(struct rpd_service *service, rpd_job_run_fn run, rpd_job_done_fn done, void *arg)
{
    if (loop_only_refuses())
        return -1;
    return jobs_submit(&service->jobs, NULL, run, done, arg);
}

struct rpd_queue *rpd_queue_create(struct rpd_service *service)
{
    return loop_only_refuses() ? NULL : jobs_make_queue(&service->jobs);
}

int rpd_queue_submit(struct rpd_queue *queue, rpd_job_run_fn run, rpd_job_done_fn done, void *arg)
{
    if (loop_only_refuses())
        return -1;
    return jobs_submit_to(queue, run, done, arg);
}

void rpd_queue_free(struct rpd_queue *queue)
{
    if (!loop_only_refuses() && queue)
        jobs_free_queue(queue);
}

int rpd_post(struct rpd_service *service, rpd_post_fn fn, void *arg)
{
    return jobs_post(&service->jobs, fn, arg);
}

struct rpd_timer_handle *rpd_timer(struct rpd_service *service, unsigned milliseconds,
                                   rpd_timer_fn fn, void *arg)
{
    return loop_only_refuses() ? NULL : timers_start(&service->timers, milliseconds, fn, arg);
}

void rpd_timer_cancel(struct rpd_timer_handle *timer)
{
    if (!loop_only_refuses() && timer)
        timers_cancel(timer);
}

void rpd_service_set_data(struct rpd_service *service, void *data)
{
    if (service->base && loop_only_refuses()) /* (before serve there is no loop yet) */
        return;
    atomic_store(&service->data, data);
}

void *rpd_service_data(const struct rpd_service *service)
{
    return atomic_load(&service->data);
}

void rpd_stop(struct rpd_service *service, const char *why)
{
    char text[256];

    if (loop_only_refuses())
        return;
    snprintf(text, sizeof text, "%s", why ? why : "it gave no reason");
    service->events->stop_asked(service->daemon, service, text);
}
