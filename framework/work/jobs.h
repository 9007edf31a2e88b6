/* A service's jobs: rpd_job_submit() on top of the pool, serial queues, posts to the loop, and how
 * all of them end. */
#ifndef FRAMEWORK_JOBS_H
#define FRAMEWORK_JOBS_H

#include "guard/foreign.h"
#include "work/pool.h"

#include <rpd/job.h>

#include <stdint.h>

struct jobs {
    struct pool *pool;
    struct rpd_service *service;
    uint64_t *const *metrics;
    struct foreign_owner owner;
    bool closed, is_in_post; /* a posted function is being called */
    size_t count;
    size_t refused; /* the queue was full, or there was no memory */
    uint64_t looked_us;
    LIST_HEAD(jobs_list, rpd_job) list;
    LIST_HEAD(jobs_queues, rpd_queue) queues;
    void (*emptied)(struct rpd_service *service);
    atomic_size_t
        posted; /* and not called yet; in jobs.c, POSTS_CLOSED on top: no more are taken */
};

/* Lies in memory of its owner from jobs_start() until its done, which may free it. */
struct rpd_job {
    struct job job; /* first: the pool's view of it */
    struct jobs *jobs;
    rpd_job_run_fn run;
    rpd_job_done_fn done;
    void *arg;
    foreign_code run_code; /* the plugin's code that runs in it, for the crash line; NULL: none */
    bool is_freed;         /* after its done, which is the backend's */
    uint64_t submitted_us;
    _Atomic uint64_t began_us; /* 0: it has not */
    bool is_named;
    LIST_ENTRY(rpd_job) link;
};

/* [loop] See rpd/job.h. queue: NULL for none. */
int jobs_submit(struct jobs *jobs, struct rpd_queue *queue, rpd_job_run_fn run,
                rpd_job_done_fn done, void *arg);

/* [loop] Likewise, for a job that its owner has filled in, from run to run_code; the other fields
 * are 0 or as the last use left them. queue: NULL for none. A JOB_STEP is never refused, however
 * many jobs wait. */
int jobs_start(struct jobs *jobs, struct rpd_job *job, struct job_queue *queue, enum job_kind kind);

/* [loop] The job is no longer wanted. Legal only between start and done. */
void jobs_drop(struct rpd_job *job);

/* [loop] Serial queues: see rpd/job.h. */
struct rpd_queue *jobs_make_queue(struct jobs *jobs);
int jobs_submit_to(struct rpd_queue *queue, rpd_job_run_fn run, rpd_job_done_fn done, void *arg);
void jobs_free_queue(struct rpd_queue *queue);

/* [any] See rpd/job.h. */
int jobs_post(struct jobs *jobs, rpd_post_fn fn, void *arg);

/* [loop] Closes the posts. False: some are still to be called; emptied follows. */
bool jobs_close_posts(struct jobs *jobs);

/* [loop] Names a job that runs for a long time, once, with what it does; at most one job a second.
 * Called from time to time. */
void jobs_name_long(struct jobs *jobs, uint64_t now_us);

/* [loop] Accepts no more, and cancels all. */
void jobs_cancel(struct jobs *jobs);

/* [loop] Frees the queues. No job is left. */
void jobs_finish(struct jobs *jobs);

#endif
