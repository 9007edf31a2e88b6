/* The worker pool, and the queue by which finished work comes back to the loop.
 *
 *     pool_submit ──► waiting ──► run ──► finished ──► done
 *        [loop]         │      [worker]               [loop]
 *                       └── cancelled ───────────────►
 *
 * done runs exactly once for each job that was accepted. The queue is bounded.
 *
 * Loads and requests have threads of their own, with a nice value each: those of loads are
 * made with the pool, those of requests when they are first needed. (Where none of these can
 * be made, those of loads do their work.)
 *
 * Jobs of one serial queue run one after the other, in the order in which they were submitted;
 * so do their dones, but for those that are cancelled while they wait.
 *
 * Only the loop's side touches libevent, which therefore needs no locks: a
 * worker wakes the loop by a write to an eventfd, and only when the queue of
 * finished jobs was empty. */
#ifndef FRAMEWORK_POOL_H
#define FRAMEWORK_POOL_H

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

struct event_base;
struct pool;
struct job;

typedef void (*job_run_fn)(struct job *job); /* [worker] */
/* [loop] May free the job. cancelled: also when run has called pthread_exit(). */
typedef void (*job_done_fn)(struct job *job, bool cancelled);

enum job_kind {
    JOB_REQUEST, /* a client waits for it; refused when the queue is full */
    JOB_LOAD,    /* part of a load, or of its undoing: always accepted */
    JOB_STEP     /* of what was accepted before: as a request, and never refused */
};

TAILQ_HEAD(job_list, job);

/* Zeroed to begin with; must not go while it is busy. */
struct job_queue {
    struct job_list waiting; /* behind the one that is under way; under the pool's mutex */
    bool is_busy;
};

/* Embedded in what needs a job done. The pool owns it from submit to done. */
struct job {
    job_run_fn run;
    job_done_fn done;
    struct pool *pool;
    atomic_bool cancelled;
    bool has_run;
    bool was_left; /* run did not return: it ended its thread */
    enum job_kind kind;
    struct job_queue *queue;   /* NULL: none; set before it is submitted */
    struct job_list *waits_in; /* NULL: it does not wait */
    TAILQ_ENTRY(job) link;
};

struct pool_size {
    int workers; /* threads of each kind, at most */
    /* So many loads compute at once, at most; 0: one a processor. More than those finish none
     * sooner, but were seen to make the loop, and its clients, wait: p99 of answers 3.6 ms instead
     * of 1.2 ms, 4 of them on 2 processors. One that waits in job_wait() is not counted. */
    int loads;
    int job_nice, load_nice; /* how much lower than the loop's their priority is */
};

/* Makes the pool, with at least one thread. */
int pool_create(struct pool **ret_pool, struct event_base *base, const struct pool_size *size,
                struct error *error);

/* [loop] 0, or -1 when the queue is full. */
int pool_submit(struct pool *pool, struct job *job, enum job_kind kind);

/* [loop] A waiting job is done, as cancelled, in the loop's next turn; a running
 * one sees the flag and is done when it returns. */
void pool_cancel(struct pool *pool, struct job *job);

/* [any] Its done runs on the loop, in the order of all that is finished: behind those of jobs
 * that have ended. Nothing of it runs on a worker. */
void pool_post(struct pool *pool, struct job *job);

/* [loop] The thread that runs the job now; false when none does. It lives as long
 * as the pool. */
bool pool_worker_of(struct pool *pool, const struct job *job, pthread_t *ret_thread);

/* [loop] The thread that runs the job has been given up: makes one in its place. Should
 * it come back, the job is done as ever, and the thread ends. 0, or an errno. */
int pool_replace_worker(struct pool *pool, const struct job *job);

/* [loop] The descriptor by which workers wake the loop; and another one in its place, as a
 * plugin has closed it: 0, or -1 and errno. */
int pool_wake_fd(const struct pool *pool);
int pool_make_wake_fd_again(struct pool *pool);

/* [loop] Ends the workers once they have finished what they run, calls done
 * for all that is left, and frees the pool. NULL is legal. */
void pool_destroy(struct pool *pool);

/* [worker] Waits; false at once when the job is cancelled. */
bool job_wait(struct job *job, unsigned milliseconds);

#endif
