/* A service's jobs. See jobs.h. */
#include "jobs.h"

#include "crash.h"

#include <stdlib.h>

struct rpd_job {
    struct job job; /* first: the pool's view of it */
    struct jobs *jobs;
    rpd_job_run_fn run;
    rpd_job_done_fn done;
    void *arg;
    LIST_ENTRY(rpd_job) link;
};

static void run(struct job *pool_job)
{
    struct rpd_job *job = (struct rpd_job *)pool_job;

    crash_enter(job->jobs->service_name, job->jobs->plugin);
    job->run(job, job->arg);
    crash_leave();
}

static void done(struct job *pool_job, bool cancelled)
{
    struct rpd_job *job = (struct rpd_job *)pool_job;
    struct jobs *jobs = job->jobs;

    crash_enter(jobs->service_name, jobs->plugin);
    job->done(jobs->service, job->arg, cancelled);
    crash_leave();
    LIST_REMOVE(job, link);
    free(job);
    if (--jobs->count == 0)
        jobs->emptied(jobs->service);
}

int jobs_submit(struct jobs *jobs, rpd_job_run_fn run_fn, rpd_job_done_fn done_fn, void *arg)
{
    struct rpd_job *job = jobs->closed ? NULL : calloc(1, sizeof *job);

    if (!job)
        return -1;
    job->job.run = run;
    job->job.done = done;
    job->jobs = jobs;
    job->run = run_fn;
    job->done = done_fn;
    job->arg = arg;
    if (pool_submit(jobs->pool, &job->job, JOB_REQUEST) < 0) {
        free(job);
        return -1;
    }
    LIST_INSERT_HEAD(&jobs->list, job, link);
    jobs->count++;
    return 0;
}

void jobs_cancel(struct jobs *jobs)
{
    struct rpd_job *job;

    jobs->closed = true;
    LIST_FOREACH(job, &jobs->list, link)
    pool_cancel(jobs->pool, &job->job);
}

const struct rpd_service *rpd_job_service(const struct rpd_job *job)
{
    return job->jobs->service;
}

bool rpd_job_cancelled(const struct rpd_job *job)
{
    return atomic_load(&job->job.cancelled);
}
