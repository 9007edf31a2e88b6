/* Jobs: work that would block the loop, done on a worker; queues of jobs that must not overlap;
 * timers; and the way back to the loop from any thread.
 *
 *     rpd_job_submit ──► run ──► done
 *         [loop]       [worker]  [loop]
 *
 * done is called exactly once for each accepted job, even if the job was cancelled or the daemon
 * stops. All jobs of a service are done before its state is unloaded. arg belongs to run while run
 * runs, and to the loop before and after, so it needs no lock. The state belongs to the loop
 * throughout: pass what run needs of the state in arg. What no callback changes once it is loaded,
 * run may read in place.
 *
 *                      runs on     order                         at the stop
 *     ---------------  ----------  ----------------------------  -----------------------------
 *     run of a job     [worker]    none; in parallel             told to give up (cancelled)
 *       of a queue     [worker]    as submitted, one at a time   likewise
 *     done             [loop]      as their runs have ended      called, with cancelled
 *     rpd_post()       [loop]      as posted; a job's before     called, before stop()
 *                                  its done
 *     rpd_timer()      [loop]      as they are due               not called any more
 *     rpd_conn_job()   as a job    one a client at a time        the drain waits for it
 *
 * rpd_conn_job(), for a job that answers a client, is in rpd/body.h.
 *
 * The pool has "workers" threads for the jobs of all services, and as many for loads: neither kind
 * waits for the other. The nice values of these threads, and so of programs that they start, exceed
 * the loop's by "job_nice" and "load_nice". */
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

/* [loop] Queues a job. Returns 0, or -1 if 10,000 jobs wait in this process already, or the service
 * is stopping. After -1 done is not called; give the client a busy answer. */
RPD_API int rpd_job_submit(struct rpd_service *service, rpd_job_run_fn run, rpd_job_done_fn done,
                           void *arg) RPD_MUST_CHECK;

/* [worker] The service of the job, for options and the log. */
RPD_API const struct rpd_service *rpd_job_service(const struct rpd_job *job);

/* [worker] The daemon stops, or the client of rpd_conn_job() has left: return soon. */
RPD_API bool rpd_job_cancelled(const struct rpd_job *job);

/* ---- serial queues ---------------------------------------------------------------------
 * For objects that only one thread at a time may touch, and not the loop: a dictionary, a key, a
 * file that is appended to. */

struct rpd_queue;

/* [loop] Makes a queue; NULL: out of memory. The queue is freed with the service at the latest,
 * after stop(). */
RPD_API struct rpd_queue *rpd_queue_create(struct rpd_service *service);

/* [loop] Like rpd_job_submit(), but the job runs when the jobs before it in the queue have ended.
 * Queues run beside each other, and beside jobs that are in no queue. */
RPD_API int rpd_queue_submit(struct rpd_queue *queue, rpd_job_run_fn run, rpd_job_done_fn done,
                             void *arg) RPD_MUST_CHECK;

/* [loop] The queue takes no more jobs; the jobs in it are done as usual. */
RPD_API void rpd_queue_free(struct rpd_queue *queue);

/* ---- back to the loop ------------------------------------------------------------------ */

/* [loop] */
typedef void (*rpd_post_fn)(struct rpd_service *service, void *arg);

/* [any] Calls fn on the loop, soon and exactly once. This is for a job or a load that has something
 * to report before it ends, and for a thread of the plugin's own. Returns 0, or -1 if out of
 * memory, or if stop() has been called or is about to be. After -1 fn is not called. A thread of
 * the plugin's own must have ended when unload returns, and may post nothing after that. */
RPD_API int rpd_post(struct rpd_service *service, rpd_post_fn fn, void *arg) RPD_MUST_CHECK;

/* ---- timers ----------------------------------------------------------------------------- */

struct rpd_timer_handle;

/* [loop] */
typedef void (*rpd_timer_fn)(struct rpd_service *service, void *arg);

/* [loop] Calls fn once, after that many milliseconds: never sooner, and up to 10 ms later, or as
 * much later as callbacks keep the loop busy. 0: fn is called in a later turn of the loop, after
 * clients. Timers use the monotonic clock. To repeat a timer, start it again in fn. Returns a
 * handle that cancels the timer until fn is called; NULL: out of memory, or stop() has been called.
 * A timer makes a daemon neither busy nor idle: an idle exit does not wait for timers; a timer that
 * is due ends the daemon's rest. */
RPD_API struct rpd_timer_handle *rpd_timer(struct rpd_service *service, unsigned milliseconds,
                                           rpd_timer_fn fn, void *arg);

/* [loop] Cancels a timer: fn is not called. Do not call this once fn has been called. NULL is
 * allowed. */
RPD_API void rpd_timer_cancel(struct rpd_timer_handle *timer);

RPD_END
#endif
