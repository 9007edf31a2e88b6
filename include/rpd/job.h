/* Jobs: work that would block the loop, done on a worker.
 *
 *     rpd_job_submit ──► run ──► done
 *         [loop]       [worker]  [loop]
 *
 * done is called exactly once for each accepted job: also when it was
 * cancelled, and when the daemon stops; all jobs of a service are done before
 * its state is unloaded. arg belongs to run while run runs, and to the loop
 * before and after: nothing of it needs a lock. The state belongs to the loop
 * throughout: give run what it needs of it in arg.
 *
 * The pool has "workers" threads for all services. Jobs go before loads that
 * wait for a thread, but a load that runs keeps its thread until it returns or is
 * given up. The nice value of these threads, and so of programs that they start,
 * is 5 above the loop's. */
#ifndef RPD_JOB_H
#define RPD_JOB_H

#include <rpd/base.h>

RPD_BEGIN

struct rpd_job;

/* [worker] May block. */
typedef void (*rpd_job_run_fn)(struct rpd_job *job, void *arg);

/* [loop] cancelled: run was not called, was called and cancelled, or called
 * pthread_exit(). */
typedef void (*rpd_job_done_fn)(struct rpd_service *service, void *arg, bool cancelled);

/* [loop] Queues a job. 0, or -1 when 10,000 wait in this process already or the
 * service stops: done is then not called; answer the client that you are busy. */
RPD_API int rpd_job_submit(struct rpd_service *service, rpd_job_run_fn run, rpd_job_done_fn done,
                           void *arg) RPD_MUST_CHECK;

/* [worker] For options and the log. */
RPD_API const struct rpd_service *rpd_job_service(const struct rpd_job *job);

/* [worker] The daemon stops: return soon. */
RPD_API bool rpd_job_cancelled(const struct rpd_job *job);

RPD_END
#endif
