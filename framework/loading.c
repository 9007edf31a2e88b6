/* Loading. See loading.h for the phases.
 *
 * Whatever happens, a run that ends, a failure, a cancel, only notes it and
 * asks for a look; look() sees what is true and does what follows. */
#include "loading.h"

#include "crash.h"
#include "libevent.h"
#include "log.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One run: of load() itself, or of a part. */
struct rpd_load {
    struct job job; /* first: the pool's view of it */
    struct loading *loading;
    bool is_root;
    char name[64];
    rpd_load_fn load;
    void (*attach)(void *state, void *part);
    void (*discard)(void *part);
    void *arg;
    void *result;
    bool failed;
    char failure[LOADING_TEXT_MAX];
    atomic_uint_fast64_t done, total;
    _Atomic(const char *) unit;
    LIST_ENTRY(rpd_load) link;
    TAILQ_ENTRY(rpd_load) added_link;
    TAILQ_HEAD(added_parts, rpd_load) added; /* by the root's run, until it is done */
};

/* What frees a state, or a part that was never attached, on a worker. */
struct disposal {
    struct job job;
    struct loading *loading;
    void (*dispose)(void *what);
    void *what;
};

static void look_later(struct loading *loading)
{
    event_active(loading->look, 0, 0);
}

/* ---- disposal ------------------------------------------------------------- */

static void run_disposal(struct job *job)
{
    struct disposal *disposal = (struct disposal *)job;

    crash_enter(disposal->loading->service_name, disposal->loading->plugin);
    disposal->dispose(disposal->what);
    crash_leave();
}

static void disposal_done(struct job *job, bool cancelled)
{
    struct disposal *disposal = (struct disposal *)job;

    (void)cancelled;
    disposal->loading->pending--;
    look_later(disposal->loading);
    free(disposal);
}

/* Where there is no memory even for this, it is leaked rather than freed on
 * the loop. */
static void dispose_on_worker(struct loading *loading, void (*dispose)(void *what), void *what)
{
    struct disposal *disposal = what && dispose ? calloc(1, sizeof *disposal) : NULL;

    if (!disposal)
        return;
    *disposal = (struct disposal){
        .job = {.run = run_disposal, .done = disposal_done},
        .loading = loading,
        .dispose = dispose,
        .what = what,
    };
    if (pool_submit(loading->pool, &disposal->job, JOB_LOAD) < 0)
        free(disposal);
    else
        loading->pending++;
}

/* ---- runs -------------------------------------------------------------------- */

static void run_load(struct job *job)
{
    struct rpd_load *run = (struct rpd_load *)job;

    crash_enter(run->loading->service_name, run->loading->plugin);
    run->result = run->load(run);
    crash_leave();
}

static void run_done(struct job *job, bool cancelled);

static struct rpd_load *make_run(struct loading *loading, const struct rpd_load_part *part)
{
    struct rpd_load *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->job.run = run_load;
    run->job.done = run_done;
    run->loading = loading;
    snprintf(run->name, sizeof run->name, "%s", part->name ? part->name : "part");
    run->load = part->load;
    run->attach = part->attach;
    run->discard = part->discard;
    run->arg = part->arg;
    TAILQ_INIT(&run->added);
    return run;
}

static void note_failure(struct loading *loading, const struct rpd_load *run)
{
    struct rpd_load *other;

    if (loading->phase != LOADING_RUNNING)
        return;
    loading->phase = LOADING_FAILED;
    snprintf(loading->failure, sizeof loading->failure, "%s%s%.400s", run->is_root ? "" : run->name,
             run->is_root ? "" : ": ",
             run->failed ? run->failure
                         : "it returned no state and no reason; it should call rpd_load_fail()");
    LIST_FOREACH(other, &loading->runs, link)
    pool_cancel(loading->pool, &other->job);
}

static void submit(struct loading *loading, struct rpd_load *run)
{
    LIST_INSERT_HEAD(&loading->runs, run, link);
    loading->pending++;
    if (pool_submit(loading->pool, &run->job, JOB_LOAD) < 0)
        run_done(&run->job, true);
}

/* The root's parts start once the loop has the state; if it will never have
 * it, they are forgotten. */
static void start_parts(struct loading *loading, struct rpd_load *root)
{
    struct rpd_load *part;

    while ((part = TAILQ_FIRST(&root->added))) {
        TAILQ_REMOVE(&root->added, part, added_link);
        if (loading->phase == LOADING_RUNNING)
            submit(loading, part);
        else
            free(part);
    }
}

static void take_result(struct loading *loading, struct rpd_load *run)
{
    if (run->is_root) {
        loading->state = run->result;
    } else if (loading->phase == LOADING_RUNNING) {
        crash_enter(loading->service_name, loading->plugin);
        if (run->attach)
            run->attach(loading->state, run->result);
        crash_leave();
    } else {
        dispose_on_worker(loading, run->discard, run->result);
    }
}

static void log_end(const struct rpd_load *run)
{
    const char *unit = atomic_load(&run->unit);

    log_line(RPD_LOG_DEBUG, run->loading->service_name, "%s ended at %llu of %llu %s", run->name,
             (unsigned long long)atomic_load(&run->done),
             (unsigned long long)atomic_load(&run->total), unit ? unit : "");
}

static void run_done(struct job *job, bool cancelled)
{
    struct rpd_load *run = (struct rpd_load *)job;
    struct loading *loading = run->loading;

    log_end(run);
    LIST_REMOVE(run, link);
    loading->pending--;
    if (run->result)
        take_result(loading, run);
    else if (!cancelled)
        note_failure(loading, run);
    start_parts(loading, run);
    free(run);
    look_later(loading);
}

/* ---- looking -------------------------------------------------------------------- */

static void dispose_state(struct loading *loading)
{
    void *state = loading->state;

    loading->state = NULL;
    dispose_on_worker(loading, loading->backend->unload, state);
}

static void look(evutil_socket_t fd, short what, void *arg)
{
    struct loading *loading = arg;

    (void)fd;
    (void)what;
    if (loading->pending > 0)
        return;
    switch (loading->phase) {
    case LOADING_RUNNING:
        loading->phase = LOADING_READY;
        loading->events->ready(loading->service);
        break;
    case LOADING_FAILED:
        if (loading->state) {
            dispose_state(loading);
            if (loading->pending > 0)
                break; /* comes again when it is freed */
        }
        loading->phase = LOADING_IDLE;
        loading->events->failed(loading->service, loading->failure);
        break;
    case LOADING_CANCELLED:
        if (loading->unloading)
            loading->events->unloaded(loading->service);
        else
            loading->events->cancelled(loading->service);
        break;
    case LOADING_IDLE:
    case LOADING_READY: break;
    }
}

int loading_init(struct loading *loading, struct event_base *base)
{
    loading->base = base;
    LIST_INIT(&loading->runs);
    loading->look = event_new(base, -1, 0, look, loading);
    return loading->look ? 0 : -1;
}

void loading_start(struct loading *loading)
{
    const struct rpd_load_part root = {.name = "load", .load = loading->backend->load};
    struct rpd_load *run;

    loading->phase = LOADING_RUNNING;
    if (!root.load) {
        look_later(loading);
        return;
    }
    run = make_run(loading, &root);
    if (run) {
        run->is_root = true;
        submit(loading, run);
    } else {
        loading->phase = LOADING_FAILED;
        snprintf(loading->failure, sizeof loading->failure, "out of memory; free some");
        look_later(loading);
    }
}

void loading_cancel(struct loading *loading)
{
    struct rpd_load *run;

    loading->phase = LOADING_CANCELLED;
    LIST_FOREACH(run, &loading->runs, link)
    pool_cancel(loading->pool, &run->job);
    look_later(loading);
}

void loading_unload(struct loading *loading)
{
    loading->unloading = true;
    dispose_state(loading);
    look_later(loading);
}

void loading_finish(struct loading *loading)
{
    if (loading->look)
        event_free(loading->look);
    loading->look = NULL;
}

/* ---- the backend's side ---------------------------------------------------------- */

int rpd_load_add_part(struct rpd_load *load, const struct rpd_load_part *part)
{
    struct rpd_load *run = load->is_root && part->load ? make_run(load->loading, part) : NULL;

    if (!run)
        return -1;
    TAILQ_INSERT_TAIL(&load->added, run, added_link);
    return 0;
}

void *rpd_load_arg(const struct rpd_load *load)
{
    return load->arg;
}

void rpd_load_progress(struct rpd_load *load, uint64_t done, uint64_t total, const char *unit)
{
    atomic_store_explicit(&load->unit, unit, memory_order_relaxed);
    atomic_store_explicit(&load->total, total, memory_order_relaxed);
    atomic_store_explicit(&load->done, done, memory_order_relaxed);
}

bool rpd_load_cancelled(const struct rpd_load *load)
{
    return atomic_load_explicit(&load->job.cancelled, memory_order_relaxed);
}

bool rpd_load_wait(struct rpd_load *load, unsigned milliseconds)
{
    return job_wait(&load->job, milliseconds);
}

void *rpd_load_fail(struct rpd_load *load, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(load->failure, sizeof load->failure, format, arguments);
    va_end(arguments);
    load->failed = true;
    return NULL;
}

const struct rpd_service *rpd_load_service(const struct rpd_load *load)
{
    return load->loading->service;
}
