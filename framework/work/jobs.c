/* A service's jobs. See jobs.h. */
#include "work/jobs.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/probe.h"
#include "guard/foreign.h"
#include "guard/rest.h"
#include "guard/stack.h"
#include "publish/callback.h"

#include <stddef.h>
#include <stdlib.h>

enum { LONG_US = 10 * 1000000, LOOK_US = 1000000 };

struct rpd_job {
    struct job job; /* first: the pool's view of it */
    struct jobs *jobs;
    rpd_job_run_fn run;
    rpd_job_done_fn done;
    void *arg;
    uint64_t submitted_us;
    _Atomic uint64_t began_us; /* 0: it has not */
    bool is_named;
    LIST_ENTRY(rpd_job) link;
};
_Static_assert(offsetof(struct rpd_job, job) == 0, "the one is found by a pointer to the other");

static void run(struct job *pool_job)
{
    struct rpd_job *job = (struct rpd_job *)pool_job;
    uint64_t *const *metrics = job->jobs->metrics;
    const uint64_t began_us = clock_us();

    atomic_store_explicit(&job->began_us, began_us, memory_order_relaxed);
    rpd_metric_observe(metrics[METRIC_JOB_WAIT], began_us - job->submitted_us);
    PROBE3(job, job->jobs->owner.service, job->run, began_us - job->submitted_us);
    foreign_enter(job->jobs->owner, (foreign_code)job->run);
    job->run(job, job->arg);
    foreign_leave();
    rpd_metric_observe(metrics[METRIC_JOB_RUN], clock_us() - began_us);
    PROBE3(job_done, job->jobs->owner.service, job->run, clock_us() - began_us);
}

static void done(struct job *pool_job, bool cancelled)
{
    struct rpd_job *job = (struct rpd_job *)pool_job;
    struct jobs *jobs = job->jobs;
    const struct callback call = callback_enter(jobs->metrics, METRIC_DONE, jobs->owner,
                                                (foreign_code)job->done);

    job->done(jobs->service, job->arg, cancelled);
    callback_leave(&call);
    LIST_REMOVE(job, link);
    free(job);
    if (--jobs->count == 0)
        jobs->emptied(jobs->service);
}

int jobs_submit(struct jobs *jobs, rpd_job_run_fn run_fn, rpd_job_done_fn done_fn, void *arg)
{
    struct rpd_job *job;

    if (jobs->closed)
        return -1;
    rest_end();
    job = calloc(1, sizeof *job);
    if (job) {
        job->job.run = run;
        job->job.done = done;
        job->jobs = jobs;
        job->run = run_fn;
        job->done = done_fn;
        job->arg = arg;
        job->submitted_us = clock_us();
    }
    if (!job || pool_submit(jobs->pool, &job->job, JOB_REQUEST) < 0) {
        free(job);
        jobs->refused++;
        return -1;
    }
    LIST_INSERT_HEAD(&jobs->list, job, link);
    jobs->count++;
    rpd_metric_add(jobs->metrics[METRIC_JOBS_SUBMITTED], 1);
    return 0;
}

static bool is_long(const struct rpd_job *job, uint64_t now_us)
{
    const uint64_t began = atomic_load_explicit(&job->began_us, memory_order_relaxed);

    return began > 0 && now_us > began + LONG_US && !job->is_named;
}

/* False if it has ended meanwhile: then the stack is that of some other job. */
static bool name_long(struct rpd_job *job, uint64_t now_us)
{
    const struct jobs *jobs = job->jobs;
    pthread_t thread;
    struct stack stack;
    bool answered;

    job->is_named = true;
    if (!pool_worker_of(jobs->pool, &job->job, &thread))
        return false;
    answered = stack_of_thread(thread, &stack);
    if (!pool_worker_of(jobs->pool, &job->job, &thread))
        return false;
    log_line(RPD_LOG_WARNING, NULL, "job of service %s runs since %llu s: %s", jobs->owner.service,
             (unsigned long long)((now_us - atomic_load(&job->began_us)) / 1000000),
             answered ? stack.text : stack_unknown);
    return true;
}

/* One at a time: a worker that does not answer costs the loop some time. */
void jobs_name_long(struct jobs *jobs, uint64_t now_us)
{
    struct rpd_job *job;

    if (now_us < jobs->looked_us + LOOK_US)
        return;
    jobs->looked_us = now_us;
    LIST_FOREACH(job, &jobs->list, link)
    if (is_long(job, now_us) && name_long(job, now_us))
        return;
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
