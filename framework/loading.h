/* Loading: one service's state, from load() to READY, and back to nothing.
 *
 *              ┌────────────── retry ──────────────┐
 *              ▼                                   │
 *   IDLE ──► LOADING ──► READY               ──► FAILED
 *              │  └── a part failed: the rest is cancelled, what was
 *              │      loaded is freed ─────────────┘
 *              └──► CANCELLED ──► unload ──► (nothing left)
 *
 * The run of load() itself and each part are jobs of the pool. What they make
 * is handed over in their done function, on the loop: until then no loop
 * callback can see it, and from then on no worker can. */
#ifndef FRAMEWORK_LOADING_H
#define FRAMEWORK_LOADING_H

#include "pool.h"

#include <rpd/backend.h>

enum { LOADING_TEXT_MAX = 512 };

enum loading_phase {
    LOADING_IDLE,
    LOADING_RUNNING,
    LOADING_READY,
    LOADING_FAILED,
    LOADING_CANCELLED
};

/* [loop] What loading tells its service. Each is called from the loop's top,
 * never from within a call of one of the functions below. */
struct loading_events {
    void (*ready)(struct rpd_service *service);
    void (*failed)(struct rpd_service *service, const char *why);
    void (*cancelled)(struct rpd_service *service);
    void (*unloaded)(struct rpd_service *service);
};

struct loading {
    struct pool *pool;
    struct event_base *base;
    struct rpd_service *service;
    const struct rpd_backend *backend;
    const char *service_name, *plugin; /* for the crash line */
    const struct loading_events *events;
    enum loading_phase phase;
    void *state;
    bool unloading; /* at stop, after cancelled */
    size_t pending; /* jobs that are not done */
    LIST_HEAD(load_runs, rpd_load) runs;
    struct event *look; /* sees what has become true, and does what follows */
    char failure[LOADING_TEXT_MAX];
};

int loading_init(struct loading *loading, struct event_base *base);

/* [loop] IDLE or FAILED → RUNNING, → READY at once where there is no load(). */
void loading_start(struct loading *loading);

/* [loop] Any → CANCELLED, told by events->cancelled when no worker runs any of
 * it any more. The state stays. */
void loading_cancel(struct loading *loading);

/* [loop] After cancelled: frees the state on a worker; events->unloaded. */
void loading_unload(struct loading *loading);

void loading_finish(struct loading *loading);

#endif
