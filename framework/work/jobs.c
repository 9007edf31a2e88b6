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

#define POSTS_CLOSED (SIZE_MAX / 2 + 1)

struct rpd_queue {
    struct job_queue queue;
    struct jobs *jobs;
    size_t count;  /* of its jobs that are not done */
    bool is_freed; /* when they are */
    LIST_ENTRY(rpd_queue) link;
};
_Static_assert(offsetof(struct rpd_job, job) == 0, "the one is found by a pointer to the other");

static void run(struct job *pool_job)
{
    struct rpd_job *job = (struct rpd_job *)pool_job;
    uint64_t *const *metrics = job->jobs->metrics;
    const uint64_t began_us = clock_us();

    atomic_store_explicit(&job->began_us, began_us, memory_order_relaxed);
    rpd_metric_observe(metrics[METRIC_JOB_WAIT], began_us - job->submitted_us);
    PROBE3(job, job->jobs->owner.service, job->run_code, began_us - job->submitted_us);
    foreign_enter(job->jobs->owner, job->run_code);
    job->run(job, job->arg);
    foreign_leave();
    rpd_metric_observe(metrics[METRIC_JOB_RUN], clock_us() - began_us);
    PROBE3(job_done, job->jobs->owner.service, job->run_code, clock_us() - began_us);
}

static void leave_queue(struct rpd_queue *queue);

/* The backend's; other owners call what is of the backend themselves. */
static void call_done(struct jobs *jobs, const struct rpd_job *job, bool cancelled)
{
    const struct callback call = callback_enter(jobs->metrics, METRIC_DONE, jobs->owner,
                                                (foreign_code)job->done);

    job->done(jobs->service, job->arg, cancelled);
    callback_leave(&call);
}

static void done(struct job *pool_job, bool cancelled)
{
    struct rpd_job *job = (struct rpd_job *)pool_job;
    struct jobs *jobs = job->jobs;
    const bool is_freed = job->is_freed; /* otherwise it may be gone after its done */
    struct rpd_queue *queue = is_freed ? (struct rpd_queue *)job->job.queue : NULL;

    LIST_REMOVE(job, link);
    if (is_freed) {
        call_done(jobs, job, cancelled);
        free(job);
    } else {
        job->done(jobs->service, job->arg, cancelled); /* it may start it again */
    }
    if (queue)
        leave_queue(queue);
    if (--jobs->count == 0)
        jobs->emptied(jobs->service);
}

int jobs_start(struct jobs *jobs, struct rpd_job *job, struct job_queue *queue, enum job_kind kind)
{
    if (jobs->closed)
        return -1;
    rest_end();
    job->job.run = run;
    job->job.done = done;
    job->job.queue = queue;
    job->jobs = jobs;
    job->submitted_us = clock_us();
    job->is_named = false;
    atomic_store_explicit(&job->began_us, 0, memory_order_relaxed);
    if (pool_submit(jobs->pool, &job->job, kind) < 0) {
        jobs->refused++;
        return -1;
    }
    LIST_INSERT_HEAD(&jobs->list, job, link);
    jobs->count++;
    rpd_metric_add(jobs->metrics[METRIC_JOBS_SUBMITTED], 1);
    return 0;
}

int jobs_submit(struct jobs *jobs, struct rpd_queue *queue, rpd_job_run_fn run_fn,
                rpd_job_done_fn done_fn, void *arg)
{
    struct rpd_job *job = calloc(1, sizeof *job);

    if (!job) {
        jobs->refused++;
        return -1;
    }
    job->run = run_fn;
    job->done = done_fn;
    job->arg = arg;
    job->run_code = (foreign_code)run_fn;
    job->is_freed = true;
    if (jobs_start(jobs, job, queue ? &queue->queue : NULL, JOB_REQUEST) == 0) {
        if (queue)
            queue->count++;
        return 0;
    }
    free(job);
    return -1;
}

void jobs_drop(struct rpd_job *job)
{
    pool_cancel(job->jobs->pool, &job->job);
}

/* ---- serial queues --------------------------------------------------------------- */

struct rpd_queue *jobs_make_queue(struct jobs *jobs)
{
    struct rpd_queue *queue = calloc(1, sizeof *queue);

    if (!queue)
        return NULL;
    queue->jobs = jobs;
    LIST_INSERT_HEAD(&jobs->queues, queue, link);
    return queue;
}

static void remove_queue(struct rpd_queue *queue)
{
    LIST_REMOVE(queue, link);
    free(queue);
}

static void leave_queue(struct rpd_queue *queue)
{
    if (--queue->count == 0 && queue->is_freed)
        remove_queue(queue);
}

int jobs_submit_to(struct rpd_queue *queue, rpd_job_run_fn run_fn, rpd_job_done_fn done_fn,
                   void *arg)
{
    return queue->is_freed ? -1 : jobs_submit(queue->jobs, queue, run_fn, done_fn, arg);
}

void jobs_free_queue(struct rpd_queue *queue)
{
    if (queue->count == 0)
        remove_queue(queue);
    else
        queue->is_freed = true;
}

void jobs_finish(struct jobs *jobs)
{
    struct rpd_queue *queue;

    while ((queue = LIST_FIRST(&jobs->queues)))
        /* It is off the list then; the analyzer loses track of the heads.
         * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        remove_queue(queue);
}

/* ---- posts ------------------------------------------------------------------------- */

struct post {
    struct job job; /* first */
    struct jobs *jobs;
    rpd_post_fn fn;
    void *arg;
};

static void end_post(struct jobs *jobs)
{
    if (atomic_fetch_sub(&jobs->posted, 1) == POSTS_CLOSED + 1)
        jobs->emptied(jobs->service);
}

static void call_post(struct job *pool_job, bool cancelled)
{
    struct post *post = (struct post *)pool_job;
    struct jobs *jobs = post->jobs;
    struct callback call;

    (void)cancelled;
    jobs->is_in_post = true;
    call = callback_enter(jobs->metrics, METRIC_POST, jobs->owner, (foreign_code)post->fn);
    post->fn(jobs->service, post->arg);
    callback_leave(&call);
    jobs->is_in_post = false;
    free(post);
    end_post(jobs);
}

/* False: they are closed. */
static bool begin_post(struct jobs *jobs)
{
    size_t posted = atomic_load(&jobs->posted);

    while (posted < POSTS_CLOSED)
        if (atomic_compare_exchange_weak(&jobs->posted, &posted, posted + 1))
            return true;
    return false;
}

int jobs_post(struct jobs *jobs, rpd_post_fn fn, void *arg)
{
    struct post *post = calloc(1, sizeof *post);

    if (!post || !begin_post(jobs)) {
        free(post);
        return -1;
    }
    post->job.done = call_post;
    post->jobs = jobs;
    post->fn = fn;
    post->arg = arg;
    pool_post(jobs->pool, &post->job);
    return 0;
}

bool jobs_close_posts(struct jobs *jobs)
{
    return (atomic_fetch_or(&jobs->posted, POSTS_CLOSED) & ~POSTS_CLOSED) == 0;
}

/* ---- what takes long ------------------------------------------------------------------ */

static bool is_long(const struct rpd_job *job, uint64_t now_us)
{
    const uint64_t began = atomic_load_explicit(&job->began_us, memory_order_relaxed);

    return began > 0 && now_us > began + LONG_US && !job->is_named;
}

/* False if the job has ended meanwhile: then the stack is that of some other job. */
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
    log_line(RPD_LOG_WARNING, NULL, "job of service %s has been running for %llu s: %s",
             jobs->owner.service,
             (unsigned long long)((now_us - atomic_load(&job->began_us)) / 1000000),
             answered ? stack.text : stack_unknown);
    return true;
}

/* Names one job at a time: a worker that does not answer costs the loop some time. */
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
