/* Loading: one service's state, from load() to READY, and back to nothing.
 *
 *   IDLE ──► RUNNING ──► READY
 *               │  ▲ │      │
 *               │  │ └──────┴──► CANCELLED ──► unload ──► (nothing left)
 *               ▼  │
 *         a run failed: it alone is tried again, or given up, or all is over
 *
 * A run is that of load() itself or of one part: a job of the pool, as often as it takes. What it
 * makes is handed over in its done function, on the loop: until then no loop callback can see it,
 * and from then on no worker can. The service is READY when every required run is loaded or, if
 * degraded, given up.
 *
 * There is no time limit, since rpd cannot know how much there is to load; but a run that makes no
 * progress for too long counts as failed. */
#ifndef FRAMEWORK_LOADING_H
#define FRAMEWORK_LOADING_H

#include "config/config.h"
#include "guard/foreign.h"
#include "publish/metrics_page.h"
#include "work/pool.h"

#include <rpd/backend.h>

enum { LOADING_TEXT_MAX = 512 };

enum loading_phase { LOADING_IDLE, LOADING_RUNNING, LOADING_READY, LOADING_CANCELLED };

/* [loop] What loading reports to its service. Each is called from the loop's top,
 * never from within a call of one of the functions below. */
struct loading_events {
    void (*state)(struct rpd_service *service, void *state); /* load() is done, parts follow */
    void (*ready)(struct rpd_service *service);
    void (*part)(struct rpd_service *service, const char *name, enum rpd_part_outcome outcome);
    void (*trouble)(struct rpd_service *service, const char *what); /* it goes on, somehow */
    void (*failed)(struct rpd_service *service, const char *why);   /* it does not */
    /* Whether a run could not claim its state, and why. */
    bool (*refused)(struct rpd_service *service, struct error *ret);
    void (*cancelled)(struct rpd_service *service);
    void (*unloaded)(struct rpd_service *service);
};

struct loading {
    /* Set by the service: */
    struct pool *pool;
    struct rpd_service *service;
    const struct rpd_backend *backend;
    struct foreign_owner owner;
    const struct loading_events *events;
    enum config_load_failure on_failure;
    int no_progress_s;           /* 0: no limit */
    struct rpd_state_page *page; /* shows the runs */
    struct metrics_page *metrics_page;
    uint64_t *const *metrics;

    struct event_base *base;
    enum loading_phase phase;
    void *state;
    bool degraded;                        /* something required was given up, or an optional part */
    bool settled;                         /* nothing will change any more */
    bool over;                            /* failed() was called */
    bool refusal;                         /* ... because another owner has the state: exit 75 */
    bool unloading;                       /* at stop, after cancelled */
    size_t pending;                       /* jobs that are not done */
    TAILQ_HEAD(load_runs, rpd_load) runs; /* the root first, then its parts */
    struct rpd_load *unfinished;          /* of the runs: those before it are loaded or given up */
    size_t run_count;
    uint32_t loaded_count;
    struct event *look; /* sees what has become true, and does what follows */
    char failure[LOADING_TEXT_MAX];
    /* Of the required runs together: */
    double fraction, fraction_rate; /* 0 to 1; in a second */
    uint64_t eta_ms;                /* or RPD_STATE_UNKNOWN */
    uint64_t asked_us;              /* when a stalled run's worker was last asked where it is */
    bool moved;                     /* there was progress since this was last cleared */
};

int loading_init(struct loading *loading, struct event_base *base);

/* [loop] IDLE → RUNNING; → READY at once if there is no load(). */
void loading_start(struct loading *loading);

/* [loop] Some time has passed: measures progress, and looks for runs that make none. passed_us is
 * the time that the process really ran, without the time of a SIGSTOP. */
void loading_pulse(struct loading *loading, uint64_t passed_us);

/* [loop] Between two pulses: makes the progress in the page current. */
void loading_show(struct loading *loading);

/* [loop] Any → CANCELLED, reported by events->cancelled when no worker runs any part of the load
 * any more. The state stays. */
void loading_cancel(struct loading *loading);

/* [loop] After cancelled: frees the state on a worker; events->unloaded follows. */
void loading_unload(struct loading *loading);

/* [loop] Whether that is what attaches a part of it. */
typedef void (*loading_code)(void);
bool loading_attaches(const struct loading *loading, loading_code code);

void loading_finish(struct loading *loading);

#endif
