/* A service's jobs: rpd_job_submit() on top of the pool, and their common end. */
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
    bool closed;
    size_t count;
    size_t refused; /* the queue was full, or there was no memory */
    uint64_t looked_us;
    LIST_HEAD(jobs_list, rpd_job) list;
    void (*emptied)(struct rpd_service *service);
};

/* [loop] See rpd/job.h. */
int jobs_submit(struct jobs *jobs, rpd_job_run_fn run, rpd_job_done_fn done, void *arg);

/* [loop] Names a job that runs for long, once, with what it does; at most one a
 * second. Called from time to time. */
void jobs_name_long(struct jobs *jobs, uint64_t now_us);

/* [loop] Accepts no more, and cancels all. */
void jobs_cancel(struct jobs *jobs);

#endif
