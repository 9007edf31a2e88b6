/* Answers by jobs. See conn_owed.h.
 *
 * The jobs of a connection are a serial queue. While there is a job, the client is not read, so rpd
 * watches for its departure, which cancels the jobs. */
#include "clients/conn_owed.h"
#include "guard/loop_only.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct conn_job {
    struct rpd_job job; /* first */
    struct conn_owed *owed;
    rpd_job_run_fn run;
    rpd_conn_done_fn done;
    void *arg;
    TAILQ_ENTRY(conn_job) link;
};

/* The client has left when both directions are closed: a client that has only ended its input may
 * still read. */
static void on_hang_up(evutil_socket_t fd, short what, void *arg)
{
    struct conn_owed *owed = arg;
    struct pollfd poll_fd = {.fd = fd};

    (void)what;
    if (poll(&poll_fd, 1, 0) <= 0)
        return;
    owed->conn->broken = true;
    conn_settle_later(owed->conn);
}

void conn_jobs_init(struct conn_owed *owed)
{
    TAILQ_INIT(&owed->jobs);
    event_assign(&owed->hang_up, owed->conn->group->loop->base, owed->conn->fd, EV_CLOSED,
                 on_hang_up, owed);
}

void conn_drop_jobs(struct conn_owed *owed)
{
    struct conn_job *job;

    event_del(&owed->hang_up);
    TAILQ_FOREACH(job, &owed->jobs, link)
        jobs_drop(&job->job);
}

static void run_job(struct rpd_job *job, void *arg)
{
    const struct conn_job *conn_job = arg;

    conn_job->run(job, conn_job->arg);
}

static void end_job(struct rpd_service *service, void *arg, bool cancelled)
{
    struct conn_job *job = arg;
    struct conn_owed *owed = job->owed;
    struct rpd_conn *conn = owed->conn;

    (void)service;
    TAILQ_REMOVE(&owed->jobs, job, link);
    if (TAILQ_EMPTY(&owed->jobs))
        event_del(&owed->hang_up);
    conn_call_done(conn, job->done, job->arg, cancelled ? ECANCELED : 0);
    conn_owed_unpause(owed);
    conn->progressed = true;
    free(job);
    conn_owed_end_work(conn);
}

int rpd_conn_job(struct rpd_conn *conn, rpd_job_run_fn run, rpd_conn_done_fn done, void *arg)
{
    struct conn_owed *owed;
    struct conn_job *job;

    if (loop_only_refuses())
        return -1;
    owed = conn_owe(conn);
    job = owed ? calloc(1, sizeof *job) : NULL;
    if (!job)
        return -1;
    *job = (struct conn_job){.owed = owed, .run = run, .done = done, .arg = arg};
    job->job.run = run_job;
    job->job.done = end_job;
    job->job.arg = job;
    job->job.run_code = (foreign_code)run;
    if (jobs_start(conn->group->jobs, &job->job, &owed->job_queue, JOB_REQUEST) < 0) {
        free(job);
        errno = EAGAIN;
        return -1;
    }
    if (TAILQ_EMPTY(&owed->jobs))
        event_add(&owed->hang_up, NULL); /* without memory the client's departure shows later */
    TAILQ_INSERT_TAIL(&owed->jobs, job, link);
    conn->works++;
    conn_owed_pause(owed);
    conn_settle_later(conn);
    return 0;
}
