/* The worker pool under stress, for ThreadSanitizer: a plain main, because Criterion cannot run
 * there. Each job is done exactly once, whether it runs, is cancelled while it waits or runs, or
 * waits when the pool ends.
 *
 * Prints "N passed, N failed". */
#include "library/libevent.h"
#include "work/pool.h"

#include <errno.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOBS = 100000, BATCH = 500, QUEUE_MAX = 10000 };

struct work {
    struct job job; /* first */
    int runs, dones, cancels;
    bool accepted, waits;
    unsigned payload; /* written by run, read by done: the pool's ordering is its lock */
};

static struct event_base *base;
static struct pool *pool;
static struct work *works;
static int submitted, done_total;
static unsigned seed = 1;
static int passed, failed;

static void check(bool good, const char *what, long number)
{
    if (good) {
        passed++;
        return;
    }
    failed++;
    fprintf(stderr, "FAILED: %s (%ld)\n", what, number);
}

static unsigned chance(unsigned of)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % of;
}

static void run(struct job *job)
{
    struct work *work = (struct work *)job;

    work->runs++;
    work->payload += 7;
    if (work->waits)
        job_wait(job, 60000);
}

static void count_done(struct job *job, bool cancelled)
{
    struct work *work = (struct work *)job;

    work->dones++;
    work->cancels += cancelled;
    work->payload++;
    done_total++;
}

static void submit_one(struct work *work)
{
    work->job.run = run;
    work->job.done = count_done;
    work->accepted = pool_submit(pool, &work->job, JOB_REQUEST) == 0;
}

/* Each turn of the loop submits some more jobs, and cancels some. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval now = {0};
    struct event *timer = *(struct event **)arg;

    (void)fd, (void)what;
    for (int i = 0; i < BATCH && submitted < JOBS; i++) {
        struct work *work = &works[submitted];

        submit_one(work);
        if (!work->accepted)
            break; /* full: again in the next turn */
        submitted++;
        if (chance(4) == 0) {
            struct work *victim = &works[submitted - 1 - (int)chance(submitted < 100 ? 1 : 100)];

            if (victim->dones == 0)
                pool_cancel(pool, &victim->job);
        }
    }
    if (submitted < JOBS || done_total < JOBS)
        event_add(timer, &now);
    else
        event_base_loopbreak(base);
}

static void check_all_done(const char *what, int count)
{
    long wrong = 0, lost = 0, twice = 0;

    for (int i = 0; i < count; i++) {
        const struct work *work = &works[i];

        lost += work->accepted && work->dones == 0;
        twice += work->dones > 1 || work->runs > 1;
        wrong += (work->dones > 0 && !work->accepted) ||
                 (work->cancels == 0 && work->dones == 1 && work->runs != 1) ||
                 work->payload != (unsigned)(work->runs * 7 + work->dones);
    }
    printf("%s: %d jobs\n", what, count);
    check(lost == 0, "jobs never done", lost);
    check(twice == 0, "jobs done or run twice", twice);
    check(wrong == 0, "jobs done wrongly", wrong);
}

static void make_with(int workers, int loads)
{
    struct error error;

    works = calloc(JOBS, sizeof *works);
    submitted = done_total = 0;
    if (!works || pool_create(&pool, base, &(struct pool_size){workers, loads, 5, 5}, &error) < 0) {
        fprintf(stderr, "%s\n", works ? error.text : "out of memory");
        exit(1);
    }
}

static void make(int workers)
{
    make_with(workers, workers);
}

static void test_many(int workers)
{
    static const struct timeval now = {0};
    struct event *timer;

    make(workers);
    timer = evtimer_new(base, on_turn, &timer);
    event_add(timer, &now);
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    check(done_total == JOBS, "all are done", done_total);
    pool_destroy(pool);
    check_all_done("many", JOBS);
    event_free(timer);
    free(works);
}

/* Jobs wait, run, and wait inside their run when the pool ends. The owner cancels them first, or
 * leaves some of them to the end. */
static void test_destroy(int count, bool cancel)
{
    make(4);
    for (int i = 0; i < count; i++) {
        works[i].waits = cancel && i % 3 == 0;
        submit_one(&works[i]);
    }
    for (int i = 0; cancel && i < count; i++)
        if (works[i].accepted)
            pool_cancel(pool, &works[i].job);
    pool_destroy(pool);
    check_all_done(cancel ? "destroy after cancel" : "destroy", count);
    free(works);
}

/* The workers are kept busy, so that all other jobs wait: the queue is bounded. */
static void test_bound(void)
{
    int accepted = 0;

    make(2);
    for (int i = 0; i < QUEUE_MAX + 100; i++) {
        works[i].waits = true;
        submit_one(&works[i]);
        accepted += works[i].accepted;
    }
    check(accepted >= QUEUE_MAX && accepted <= QUEUE_MAX + 2, "the bound of the queue", accepted);
    works[JOBS - 1].job.run = run;
    works[JOBS - 1].job.done = count_done;
    works[JOBS - 1].accepted = pool_submit(pool, &works[JOBS - 1].job, JOB_LOAD) == 0;
    check(works[JOBS - 1].accepted, "must_run is above the bound", 0);
    for (int i = 0; i < JOBS; i++)
        if (works[i].accepted)
            pool_cancel(pool, &works[i].job);
    pool_destroy(pool);
    check_all_done("bound", JOBS);
    free(works);
}

static sem_t begins;
static pthread_t running_on;

/* A job that is cancelled while it waits is done without a worker. */
static void test_cancel_waiting(void)
{
    enum { WORKERS = 2, WAITING = 50 };
    static const struct timeval a_while = {.tv_sec = 20};

    make(WORKERS);
    for (int i = 0; i < WORKERS + WAITING; i++) {
        works[i].waits = true;
        submit_one(&works[i]);
    }
    /* Whichever two jobs the workers have taken, the others wait until the end. */
    for (int i = WORKERS; i < WORKERS + WAITING; i++)
        pool_cancel(pool, &works[i].job);
    event_base_loopexit(base, &a_while);
    while (done_total < WAITING && event_base_loop(base, EVLOOP_ONCE) == 0 &&
           !event_base_got_exit(base))
        continue;
    check(done_total == WAITING, "done without a worker", done_total);
    for (int i = 0; i < WORKERS; i++)
        pool_cancel(pool, &works[i].job);
    pool_destroy(pool);
    check_all_done("cancelled while they wait", WORKERS + WAITING);
    free(works);
}

static void run_and_say_where(struct job *job)
{
    running_on = pthread_self();
    sem_post(&begins);
    job_wait(job, 60000);
}

/* One job runs, the other waits for its thread. */
static void test_worker_of(void)
{
    pthread_t thread;

    make(1);
    sem_init(&begins, 0, 0);
    works[0].job.run = run_and_say_where;
    works[0].job.done = count_done;
    works[0].accepted = pool_submit(pool, &works[0].job, JOB_REQUEST) == 0;
    submit_one(&works[1]);
    check(!pool_worker_of(pool, &works[2].job, &thread), "one that was never submitted", 0);
    sem_wait(&begins);
    check(pool_worker_of(pool, &works[0].job, &thread), "one that runs", 0);
    check(pthread_equal(thread, running_on), "its thread", 0);
    check(!pool_worker_of(pool, &works[1].job, &thread), "one that waits", 0);
    pool_cancel(pool, &works[0].job);
    pool_cancel(pool, &works[1].job);
    while (works[0].dones == 0 || works[1].dones == 0)
        event_base_loop(base, EVLOOP_ONCE);
    check(!pool_worker_of(pool, &works[0].job, &thread), "one that is done", 0);
    pool_destroy(pool);
    free(works);
}

/* Loads that compute, or wait in job_wait(), until they are told to end. */
static sem_t computes, goes_on, waits;

static void compute(struct job *job)
{
    (void)job;
    sem_post(&computes);
    sem_wait(&goes_on);
}

static void compute_and_wait(struct job *job)
{
    compute(job);
    sem_post(&waits);
    job_wait(job, 60000);
    compute(job);
}

static void submit(struct work *work, job_run_fn run_, enum job_kind kind)
{
    work->job.run = run_;
    work->job.done = count_done;
    work->accepted = pool_submit(pool, &work->job, kind) == 0;
}

static int count_computing(void)
{
    int count;

    sem_getvalue(&computes, &count);
    return count;
}

static void await_dones(int count)
{
    for (int i = 0; i < count; i++)
        while (works[i].dones == 0)
            event_base_loop(base, EVLOOP_ONCE);
}

/* Of 4 loads 2 compute at once. A job runs beside them, and one more load starts for each load that
 * waits or is given up. That a further one does not start shows only in hindsight: a job that was
 * submitted later is done. */
static void test_loads_at_once(void)
{
    make_with(5, 2);
    sem_init(&computes, 0, 0);
    sem_init(&goes_on, 0, 0);
    sem_init(&waits, 0, 0);
    submit(&works[1], compute_and_wait, JOB_LOAD);
    submit(&works[2], compute_and_wait, JOB_LOAD);
    sem_wait(&computes);
    sem_wait(&computes);
    submit(&works[3], compute, JOB_LOAD);
    submit(&works[4], compute, JOB_LOAD);
    submit(&works[0], run, JOB_REQUEST);
    await_dones(1);
    check(count_computing() == 0, "no more than two loads compute", count_computing());
    sem_post(&goes_on);
    sem_wait(&waits);
    sem_wait(&computes);
    check(true, "one that waits lets another compute", 0);
    check(pool_replace_worker(pool, &works[3].job) == 0, "a worker is replaced", 0);
    sem_wait(&computes);
    check(true, "one that is given up lets another compute", 0);
    for (int i = 0; i < 6; i++)
        sem_post(&goes_on);
    for (int i = 1; i <= 2; i++)
        pool_cancel(pool, &works[i].job);
    await_dones(5);

    pool_destroy(pool);
    free(works);
}

/* ---- jobs that end their thread ---- */

static void leave(struct job *job)
{
    ((struct work *)job)->runs++;
    pthread_exit(NULL);
}

/* On one worker: each job is done, as cancelled, and the next one finds a thread. */
static void test_threads_that_leave(void)
{
    enum { LEAVING = 200 };
    int wrong = 0;

    make_with(1, 1);
    for (int i = 0; i < 2 * LEAVING; i++)
        submit(&works[i], i % 2 ? run : leave, i % 4 < 2 ? JOB_REQUEST : JOB_LOAD);
    await_dones(2 * LEAVING);
    for (int i = 0; i < 2 * LEAVING; i++)
        wrong += works[i].runs != 1 || works[i].dones != 1 || works[i].cancels != (i % 2 == 0);
    check(wrong == 0, "jobs that left, or followed one, done wrongly", wrong);
    submit(&works[2 * LEAVING], leave, JOB_REQUEST);
    pool_destroy(pool);
    check(works[2 * LEAVING].dones == 1, "one that leaves while the pool ends is done",
          works[2 * LEAVING].dones);
    free(works);
}

int main(void)
{
    struct error error;

    if (libevent_load(&error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    base = event_base_new();
    if (!base)
        return 1;
    test_many(1);
    test_many(4);
    test_many(16);
    test_destroy(5000, false);
    test_destroy(5000, true);
    test_destroy(0, true);
    test_bound();
    test_cancel_waiting();
    test_worker_of();
    test_loads_at_once();
    test_threads_that_leave();
    event_base_free(base);
    libevent_global_shutdown();
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
