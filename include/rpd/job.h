/* Jobs: work that would block the loop, done on a worker; queues of jobs that must not overlap;
 * timers; and the way back to the loop from any thread.
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
 *                      runs on     order                         at the stop
 *     ---------------  ----------  ----------------------------  -----------------------------
 *     run of a job     [worker]    none; beside each other       told to give up (cancelled)
 *       of a queue     [worker]    as submitted, one at a time   likewise
 *     done             [loop]      as their runs have ended      called, with cancelled
 *     rpd_post()       [loop]      as posted; a job's before     called, before stop()
 *                                  its done
 *     rpd_timer()      [loop]      as they are due               not called any more
 *     rpd_conn_job()   as a job    one a client at a time        the drain waits for it
 *
 * (rpd_conn_job(), for a job that answers a client, is in rpd/body.h.)
 *
 * The pool has "workers" threads for the jobs of all services, and as many for loads: neither
 * waits for the other. The nice values of these threads, and so of programs that they start, are
 * "job_nice" and "load_nice" above the loop's. */
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

/* [worker] The daemon stops, or the client of rpd_conn_job() has left: return soon. */
RPD_API bool rpd_job_cancelled(const struct rpd_job *job);

/* ---- serial queues ---------------------------------------------------------------------
 * For what only one thread may touch at a time, and not the loop: a dictionary, a key, a
 * file that is appended to. */

struct rpd_queue;

/* [loop] Makes one; NULL: no memory. It goes with the service at the latest, after stop(). */
RPD_API struct rpd_queue *rpd_queue_create(struct rpd_service *service);

/* [loop] As rpd_job_submit(); runs when the queue's jobs before it have ended. Queues are
 * beside each other, and beside jobs of none. */
RPD_API int rpd_queue_submit(struct rpd_queue *queue, rpd_job_run_fn run, rpd_job_done_fn done,
                             void *arg) RPD_MUST_CHECK;

/* [loop] Takes no more jobs; those in it are done as ever. */
RPD_API void rpd_queue_free(struct rpd_queue *queue);

/* ---- back to the loop ------------------------------------------------------------------ */

/* [loop] */
typedef void (*rpd_post_fn)(struct rpd_service *service, void *arg);

/* [any] Has fn called on the loop, soon and exactly once: from a job or a load that has
 * something to say before its end, or from a thread of the plugin's own. 0, or -1: no memory,
 * or stop() has been called, or is about to be; fn is then not called. A thread of the
 * plugin's own ends by the time unload returns, and posts nothing after that. */
RPD_API int rpd_post(struct rpd_service *service, rpd_post_fn fn, void *arg) RPD_MUST_CHECK;

/* ---- timers ----------------------------------------------------------------------------- */

struct rpd_timer_handle;

/* [loop] */
typedef void (*rpd_timer_fn)(struct rpd_service *service, void *arg);

/* [loop] Has fn called once, after that many milliseconds: never sooner, and up to 10 ms later,
 * or by as long as callbacks keep the loop busy. 0: in a later turn of the loop, after clients.
 * The clock is the monotonic one. To repeat it, start it again in fn. Returns what cancels it,
 * until fn is called; NULL: no memory, or stop() has been called. Timers are neither busy nor
 * idle: an idle exit does not wait for them; one that is due ends the daemon's rest. */
RPD_API struct rpd_timer_handle *rpd_timer(struct rpd_service *service, unsigned milliseconds,
                                           rpd_timer_fn fn, void *arg);

/* [loop] fn is not called. Not legal once it has been. NULL is legal. */
RPD_API void rpd_timer_cancel(struct rpd_timer_handle *timer);

RPD_END
#endif
