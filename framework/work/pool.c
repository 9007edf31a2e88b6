/* The worker pool. See pool.h. */
#include "work/pool.h"

#include "base/clock.h"
#include "base/log.h"
#include "guard/foreign.h"
#include "guard/rest.h"
#include "guard/thread.h"
#include "library/libevent.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    QUEUE_MAX = 10000,
    DONE_US = 1000, /* of a turn of the loop: clients and timers have their share, too */
    KINDS = 2       /* of threads */
};

struct worker {
    struct pool *pool;
    pthread_t thread;
    enum job_kind kind; /* JOB_REQUEST or JOB_LOAD */
    struct job *job;    /* under the mutex; NULL: it runs none */
    bool is_replaced;   /* under the mutex */
    bool is_gone;       /* under the mutex: its thread ended within a job */
    LIST_ENTRY(worker) link;
};

struct pool {
    pthread_mutex_t mutex;
    struct pool_size size;
    pthread_cond_t wake_worker[KINDS];
    /* One a kind of threads, all under the mutex: */
    struct job_list waiting[KINDS];
    size_t waiting_counts[KINDS]; /* with those in serial queues */
    int idle[KINDS], threads[KINDS];
    struct job_list finished; /* under the mutex */
    struct job_list done;     /* the loop's: finished, and not told yet */
    int loads;                /* that compute, under the mutex */
    /* Jobs that wait in job_wait() are few, so all share one condition. It uses
     * the monotonic clock: a changed date neither delays nor hurries a load. */
    pthread_cond_t cancel_changed;
    bool closing;
    int wake_fd;
    struct event *wake_loop;
    LIST_HEAD(workers, worker) workers; /* the loop's, also those that are replaced */
    int missing[KINDS]; /* the loop's: that could not be made in place of one that is gone */
};

static enum job_kind thread_kind(enum job_kind kind)
{
    return kind == JOB_LOAD ? JOB_LOAD : JOB_REQUEST;
}

/* With the mutex held. */
static void count_load(const struct job *job, int more)
{
    struct pool *pool = job->pool;

    if (job->kind != JOB_LOAD)
        return;
    pool->loads += more;
    if (pool->loads < pool->size.loads && !TAILQ_EMPTY(&pool->waiting[JOB_LOAD]))
        pthread_cond_signal(&pool->wake_worker[JOB_LOAD]);
}

bool job_wait(struct job *job, unsigned milliseconds)
{
    struct timespec end;
    int waited = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)(milliseconds / 1000);
    end.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&job->pool->mutex);
    count_load(job, -1); /* it does not compute meanwhile */
    while (!atomic_load(&job->cancelled) && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&job->pool->cancel_changed, &job->pool->mutex, &end);
    count_load(job, 1);
    pthread_mutex_unlock(&job->pool->mutex);
    return !atomic_load(&job->cancelled);
}

static void wake(struct pool *pool)
{
    const uint64_t one = 1;

    if (write(pool->wake_fd, &one, sizeof one) < 0) {
        /* only if it were full, and then the loop is awake */
    }
}

/* With the mutex held. */
static void add_finished(struct pool *pool, struct job *job)
{
    const bool was_empty = TAILQ_EMPTY(&pool->finished);

    TAILQ_INSERT_TAIL(&pool->finished, job, link);
    if (was_empty)
        wake(pool);
}

/* With the mutex held. */
static void wait_in(struct job *job, struct job_list *list)
{
    TAILQ_INSERT_TAIL(list, job, link);
    job->waits_in = list;
}

/* With the mutex held. */
static void stop_waiting(struct job *job)
{
    TAILQ_REMOVE(job->waits_in, job, link);
    job->waits_in = NULL;
}

/* With the mutex held. Until the first thread for requests is made, those of loads run them.
 */
static void wait_for_worker(struct pool *pool, struct job *job)
{
    const enum job_kind kind = thread_kind(job->kind);

    wait_in(job, &pool->waiting[kind]);
    pthread_cond_signal(&pool->wake_worker[pool->threads[kind] > 0 ? kind : JOB_LOAD]);
}

/* With the mutex held. The next of its serial queue, if it was that one's turn. */
static void finish_job(struct pool *pool, struct job *job)
{
    struct job_queue *queue = job->queue;
    struct job *next = queue ? TAILQ_FIRST(&queue->waiting) : NULL;

    add_finished(pool, job);
    if (next) {
        stop_waiting(next);
        wait_for_worker(pool, next);
    } else if (queue) {
        queue->is_busy = false;
    }
}

/* With the mutex held. */
static struct job *take_waiting(struct pool *pool, enum job_kind kind)
{
    struct job *job = NULL;

    if (kind == JOB_REQUEST || pool->threads[JOB_REQUEST] == 0)
        job = TAILQ_FIRST(&pool->waiting[JOB_REQUEST]);
    if (!job && kind == JOB_LOAD && pool->loads < pool->size.loads)
        job = TAILQ_FIRST(&pool->waiting[JOB_LOAD]);
    if (job) {
        stop_waiting(job);
        pool->waiting_counts[thread_kind(job->kind)]--;
    }
    return job;
}

/* At the loop's own priority a loop that wakes up while workers compute on all processors waits
 * until the slice of one of them, or the tick, is over: p99 of its answers was 3 to 5 ms on Linux
 * 6.18. With 5 it is 0.1 to 1 ms; with 1 or 2 up to 3 ms. Slices, longer for workers and shorter
 * for the loop (sched_setattr), and SCHED_BATCH helped in some runs only; SCHED_IDLE would starve a
 * load on a busy machine. The cost: none where nothing else wants the processors; a third of the
 * weight against others of the same session or control group. It is for the thread's life, as to
 * take it back needs a privilege: what it runs, and programs that that starts, have it, too. */
static void let_the_loop_go_first(int by)
{
    if (nice(by) < 0) { /* on Linux: of this thread alone */
        /* a sandbox forbids it, or -1 is what it is now: well, then */
    }
}

/* With the mutex held. */
static void end_job(struct worker *worker, struct job *job)
{
    worker->job = NULL;
    if (!worker->is_replaced)
        count_load(job, -1);
    finish_job(worker->pool, job);
}

/* Its job has called pthread_exit(), which is on the way through here. The loop makes another
 * worker in its place. */
static void on_thread_exit(void *argument)
{
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    const struct foreign_place place = foreign_place_of(foreign_here());
    char name[128];

    log_line(RPD_LOG_WARNING, place.service,
             "%s: its %s called pthread_exit() on a worker; it counts as failed, and the thread is "
             "replaced: let it return",
             place.plugin ? place.plugin : "(unknown)",
             foreign_callback_name(place.callback, name, sizeof name));
    pthread_mutex_lock(&pool->mutex);
    worker->is_gone = !worker->is_replaced;
    worker->job->was_left = true;
    end_job(worker, worker->job);
    pthread_mutex_unlock(&pool->mutex);
}

static void run_job(struct worker *worker, struct job *job)
{
    if (atomic_load(&job->cancelled))
        return;
    job->has_run = true;
    pthread_cleanup_push(on_thread_exit, worker);
    job->run(job);
    pthread_cleanup_pop(0);
}

/* With the mutex held. NULL: the pool closes. */
static struct job *await_job(struct pool *pool, enum job_kind kind)
{
    struct job *job;

    while (!(job = take_waiting(pool, kind)) && !pool->closing) {
        pool->idle[kind]++;
        pthread_cond_wait(&pool->wake_worker[kind], &pool->mutex);
        pool->idle[kind]--;
    }
    return job;
}

static void work(void *argument)
{
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    const struct pool_size *size = &pool->size;
    struct job *job;

    let_the_loop_go_first(worker->kind == JOB_LOAD ? size->load_nice : size->job_nice);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_mutex_lock(&pool->mutex);
    while (!worker->is_replaced && (job = await_job(pool, worker->kind))) {
        worker->job = job;
        count_load(job, 1);
        pthread_mutex_unlock(&pool->mutex);
        run_job(worker, job);
        pthread_mutex_lock(&pool->mutex);
        end_job(worker, job);
    }
    pthread_mutex_unlock(&pool->mutex);
}

/* [loop] Until some time has passed (0: all): what is left has its turn in the loop's
 * next. */
static void call_done(struct pool *pool, uint64_t until_us)
{
    struct job *job;

    pthread_mutex_lock(&pool->mutex);
    TAILQ_CONCAT(&pool->done, &pool->finished, link);
    pthread_mutex_unlock(&pool->mutex);
    while ((job = TAILQ_FIRST(&pool->done))) {
        TAILQ_REMOVE(&pool->done, job, link);
        job->done(job, !job->has_run || job->was_left || atomic_load(&job->cancelled));
        if (until_us && clock_us() >= until_us)
            break;
    }
    if (!TAILQ_EMPTY(&pool->done))
        wake(pool);
}

static void replace_gone(struct pool *pool);

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;

    (void)what;
    rest_end(); /* a plugin's own thread may have posted something */
    if (read(fd, &count, sizeof count) < 0) {
        /* nothing there: as it should be */
    }
    call_done(arg, clock_us() + DONE_US);
    replace_gone(arg); /* after: a worker that left since would have woken us */
}

static void count_thread(struct pool *pool, enum job_kind kind, int more)
{
    pthread_mutex_lock(&pool->mutex);
    pool->threads[kind] += more;
    pthread_mutex_unlock(&pool->mutex);
}

static int start_thread(struct pool *pool, enum job_kind kind)
{
    struct worker *worker = calloc(1, sizeof *worker);
    int failed;

    if (!worker)
        return ENOMEM;
    worker->pool = pool;
    worker->kind = kind;
    failed = thread_create(&worker->thread, "worker", 0, work, worker);
    if (failed) {
        free(worker);
        return failed;
    }
    LIST_INSERT_HEAD(&pool->workers, worker, link);
    count_thread(pool, kind, 1);
    return 0;
}

/* Where there is no thread to be had, it is tried again at the next job. */
static void make_missing(struct pool *pool)
{
    for (int kind = 0; kind < KINDS; kind++)
        while (pool->missing[kind] > 0 && start_thread(pool, (enum job_kind)kind) == 0)
            pool->missing[kind]--;
}

/* Not joined: a plugin's own data of the thread may still be destroyed. */
static void replace_gone(struct pool *pool)
{
    struct worker *worker, *next;

    for (worker = LIST_FIRST(&pool->workers); worker; worker = next) {
        bool is_gone;

        next = LIST_NEXT(worker, link);
        pthread_mutex_lock(&pool->mutex);
        is_gone = worker->is_gone;
        pthread_mutex_unlock(&pool->mutex);
        if (!is_gone)
            continue;
        LIST_REMOVE(worker, link);
        pthread_detach(worker->thread);
        count_thread(pool, worker->kind, -1);
        pool->missing[worker->kind]++;
        free(worker);
    }
    make_missing(pool);
}

/* How many could be made. */
static int start_threads(struct pool *pool, int workers, int *ret_failed)
{
    int count = 0;

    while (count < workers && (*ret_failed = start_thread(pool, JOB_LOAD)) == 0)
        count++;
    return count;
}

static void init_cancel_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Those that this process may use. */
static int count_processors(void)
{
    cpu_set_t set;

    /* Where there are more than the set has room for, they are more than enough. */
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : CPU_SETSIZE;
}

/* Without workers. NULL and errno. */
static struct pool *make_pool(struct event_base *base, const struct pool_size *size)
{
    struct pool *pool = calloc(1, sizeof *pool);
    int cause;

    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->mutex, NULL);
    init_cancel_condition(&pool->cancel_changed);
    for (size_t kind = 0; kind < KINDS; kind++) {
        pthread_cond_init(&pool->wake_worker[kind], NULL);
        TAILQ_INIT(&pool->waiting[kind]);
    }
    TAILQ_INIT(&pool->finished);
    TAILQ_INIT(&pool->done);
    LIST_INIT(&pool->workers);
    pool->size = *size;
    if (size->loads <= 0)
        pool->size.loads = count_processors();
    pool->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cause = pool->wake_fd < 0 ? errno : ENOMEM;
    if (pool->wake_fd >= 0)
        pool->wake_loop = event_new(base, pool->wake_fd, EV_READ | EV_PERSIST, on_wake, pool);
    if (pool->wake_loop && event_add(pool->wake_loop, NULL) == 0)
        return pool;
    pool_destroy(pool);
    errno = cause;
    return NULL;
}

int pool_create(struct pool **ret_pool, struct event_base *base, const struct pool_size *size,
                struct error *error)
{
    struct pool *pool = make_pool(base, size);
    int failed = 0, count;

    *ret_pool = pool;
    if (!pool)
        return error_set(error, EXIT_SYSTEM, "workers", "worker pool", "cannot make it: %s; %s",
                         strerror(errno), error_remedy(errno, "raise the limits"));
    count = start_threads(pool, size->workers, &failed);
    if (count == 0) {
        pool_destroy(pool);
        *ret_pool = NULL;
        return error_set(error, EXIT_SYSTEM, "workers", "worker pool",
                         "cannot make a single thread: %s; raise the limit of processes",
                         strerror(failed));
    }
    if (failed)
        log_line(RPD_LOG_WARNING, NULL, "only %d of %d workers could be made: %s", count,
                 size->workers, strerror(failed));
    return 0;
}

/* With the mutex held. */
static void accept_job(struct pool *pool, struct job *job)
{
    struct job_queue *queue = job->queue;

    pool->waiting_counts[thread_kind(job->kind)]++;
    if (queue && queue->is_busy) {
        wait_in(job, &queue->waiting);
        return;
    }
    if (queue) {
        TAILQ_INIT(&queue->waiting);
        queue->is_busy = true;
    }
    wait_for_worker(pool, job);
}

/* Threads for requests are made as they are needed; where none can be had, those of loads do their
 * work. */
static void make_thread_if_needed(struct pool *pool)
{
    bool is_needed;

    pthread_mutex_lock(&pool->mutex);
    is_needed = pool->threads[JOB_REQUEST] < pool->size.workers &&
                pool->waiting_counts[JOB_REQUEST] >= (size_t)pool->idle[JOB_REQUEST];
    pthread_mutex_unlock(&pool->mutex);
    if (is_needed)
        start_thread(pool, JOB_REQUEST);
}

int pool_submit(struct pool *pool, struct job *job, enum job_kind kind)
{
    bool is_refused;

    make_missing(pool);
    if (kind != JOB_LOAD)
        make_thread_if_needed(pool);
    atomic_init(&job->cancelled, false);
    job->pool = pool;
    job->kind = kind;
    job->has_run = job->was_left = false;
    job->waits_in = NULL;
    pthread_mutex_lock(&pool->mutex);
    is_refused = pool->closing ||
                 (kind == JOB_REQUEST && pool->waiting_counts[JOB_REQUEST] >= QUEUE_MAX);
    if (!is_refused)
        accept_job(pool, job);
    pthread_mutex_unlock(&pool->mutex);
    return is_refused ? -1 : 0;
}

void pool_post(struct pool *pool, struct job *job)
{
    atomic_init(&job->cancelled, false);
    job->pool = pool;
    job->kind = JOB_STEP;
    job->queue = NULL;
    job->waits_in = NULL;
    job->has_run = true;
    job->was_left = false;
    pthread_mutex_lock(&pool->mutex);
    add_finished(pool, job);
    pthread_mutex_unlock(&pool->mutex);
}

/* With the mutex held. Its turn, if it was its queue's first, is the next one's. */
static void cancel_waiting(struct pool *pool, struct job *job)
{
    const bool is_behind = job->queue && job->waits_in == &job->queue->waiting;

    stop_waiting(job);
    pool->waiting_counts[thread_kind(job->kind)]--;
    if (is_behind)
        add_finished(pool, job);
    else
        finish_job(pool, job);
}

void pool_cancel(struct pool *pool, struct job *job)
{
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&job->cancelled, true);
    pthread_cond_broadcast(&pool->cancel_changed);
    if (job->waits_in)
        cancel_waiting(pool, job);
    pthread_mutex_unlock(&pool->mutex);
}

/* With the mutex held. */
static struct worker *find_worker(struct pool *pool, const struct job *job)
{
    struct worker *worker;

    LIST_FOREACH(worker, &pool->workers, link)
    if (worker->job == job)
        return worker;
    return NULL;
}

bool pool_worker_of(struct pool *pool, const struct job *job, pthread_t *ret_thread)
{
    const struct worker *worker;

    pthread_mutex_lock(&pool->mutex);
    worker = find_worker(pool, job);
    if (worker)
        *ret_thread = worker->thread;
    pthread_mutex_unlock(&pool->mutex);
    return worker;
}

int pool_replace_worker(struct pool *pool, const struct job *job)
{
    int failed = start_thread(pool, thread_kind(job->kind));
    struct worker *worker;

    if (failed)
        return failed;
    pthread_mutex_lock(&pool->mutex);
    worker = find_worker(pool, job);
    if (worker) { /* else it came back just now: then there is one more */
        worker->is_replaced = true;
        pool->threads[worker->kind]--;
        count_load(job, -1);
    }
    pthread_mutex_unlock(&pool->mutex);
    return 0;
}

int pool_wake_fd(const struct pool *pool)
{
    return pool->wake_fd;
}

/* What finished meanwhile could not wake the loop. */
int pool_make_wake_fd_again(struct pool *pool)
{
    const int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return -1;
    pthread_mutex_lock(&pool->mutex);
    pool->wake_fd = fd;
    pthread_mutex_unlock(&pool->mutex);
    event_del(pool->wake_loop);
    event_assign(pool->wake_loop, event_get_base(pool->wake_loop), fd, EV_READ | EV_PERSIST,
                 on_wake, pool);
    return event_add(pool->wake_loop, NULL);
}

void pool_destroy(struct pool *pool)
{
    struct worker *worker;

    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    for (size_t kind = 0; kind < KINDS; kind++)
        pthread_cond_broadcast(&pool->wake_worker[kind]);
    pthread_mutex_unlock(&pool->mutex);
    while ((worker = LIST_FIRST(&pool->workers))) {
        LIST_REMOVE(worker, link);
        pthread_join(worker->thread, NULL);
        free(worker);
    }
    call_done(pool, 0);
    if (pool->wake_loop)
        event_free(pool->wake_loop);
    if (pool->wake_fd >= 0)
        close(pool->wake_fd);
    pthread_cond_destroy(&pool->cancel_changed);
    for (size_t kind = 0; kind < KINDS; kind++)
        pthread_cond_destroy(&pool->wake_worker[kind]);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}
