/* The keeper: the process that owns claims, listeners, files and the control socket, and runs no
 * code of a backend. Its child, the runner, runs that code (runner.h), and after a crash the next
 * runner does. A crash is a pause for the clients that wait; clients that come later do not notice
 * it.
 *
 *   [start]  STARTING ──prepared──► PREPARED        keeper_start() waits for it: until then the
 *                                                   keeper ends if the runner ends
 *   [loop]   PREPARED ──go──► SERVING ──stop──► ENDING ──► NONE
 *                ▲                │
 *                └─── STARTING ◄──┴─ crash: at once, or after a pause (crash_rules.h)
 *
 * A generation is a runner with the configuration that it was started with; a runner that replaces
 * a crashed one is of the same generation. At a reload the next generation starts and loads beside
 * the current one (renewal.c):
 *
 *   next:  STARTING ─► PREPARED ─► SERVING ─ all READY ─► current
 *   current ─ CEASE ─ CEASED ─► old: stays warm for the trial ─► drains ─► ended
 *                                 └─ the new one crashes meanwhile: it is the current one again
 *
 * At any time at most one process accepts at a listener: the keeper, while no runner serves
 * (passing.h), or one runner. */
#ifndef FRAMEWORK_KEEPER_H
#define FRAMEWORK_KEEPER_H

#include "base/error.h"
#include "keeper/crash_rules.h"
#include "keeper/passing.h"
#include "keeper/runner.h"
#include "service/service.h"

#include <sys/queue.h>

struct event;
struct event_base;
struct generation;

/* How the start of a next generation ended. */
struct keeper_renewed {
    int code;            /* 0: it serves */
    const char *text;    /* the error, or how it went */
    const char *earlier; /* lines that its runner said before, as in struct runner_end; or NULL */
};

/* [loop] */
struct keeper_events {
    /* The next runner needs state pages of its own, and when it has laid them out, pages of
     * metrics. */
    void (*make_state_pages)(void *arg);
    void (*make_metrics_pages)(void *arg);
    /* The runner has a notice for the service manager, in the format of sd_notify. */
    void (*notice)(void *arg, const char *text);
    /* The runner serves, or it no longer serves. */
    void (*serves)(void *arg, bool serves);
    /* Either no client has come for a long time, and none after the keeper asked; or one has
     * come. */
    void (*idle)(void *arg, bool is_idle);
    /* The runner ends by itself, and the keeper ends with it: no client shall come any more. */
    void (*ending)(void *arg, int code);
    /* The runner has answered a request that it was asked; NULL: the answer is lost. */
    void (*answered)(void *arg, uint64_t number, char *take_line);
    /* All is over: a stop is complete, or a runner has ended in a way that ends the keeper, too. */
    void (*ended)(void *arg, const struct runner_end *end);
    /* The next generation needs its own state pages: one a service. False: they cannot be made. */
    bool (*make_next_pages)(void *arg, struct state_page *pages);
    /* The next generation is ready, and takes over now: its configuration must become the
     * keeper's. False: it cannot, and the generation is ended. */
    bool (*switching)(void *arg);
    /* It has: its pages, one a service, take the places of the services' own. */
    void (*took_over)(void *arg, struct state_page *pages);
    /* What keeper_renew() began is over. */
    void (*renewed)(void *arg, const struct keeper_renewed *how);
    /* What keeper_change() began is over: the text of the errors, a line each, if code is not 0. */
    void (*changed)(void *arg, int code, const char *errors);
    /* The new generation has crashed, and the one before accepts again: so its configuration must
     * be the keeper's again. */
    void (*rolled_back)(void *arg, const char *how);
    /* There is no way back to the generation before any more. */
    void (*settled)(void *arg);
};

enum keeper_stage { KEEPER_NONE, KEEPER_STARTING, KEEPER_PREPARED, KEEPER_SERVING, KEEPER_ENDING };

struct keeper {
    /* Set by the owner: */
    char **argv; /* of this process */
    struct rpd_service *services;
    size_t service_count;
    struct claim **claims;
    size_t claim_count;
    int runtime_dirfd;
    uint64_t started_us, bound_us, watchdog_us;
    bool waits_in_crash_loop;
    int stall_s, trial_s;
    const struct keeper_events *events;
    void *arg;
    /* Private: */
    struct generation *current, *next, *old; /* NULL: there is none; after a start, current is */
    TAILQ_HEAD(generation_list, generation) draining;
    struct passing *rooms; /* one a service */
    struct event_base *base;
    struct event *start_again, *ceased_late, *trial_end, *ready_late, *try_again;
    struct crash_rules rules;
    bool stopping, is_ceasing, is_changing, is_killed_for_stop;
    unsigned restarts, generation, last_generation;
    int crash_code;
    int64_t crash_time_s;
};

/* [start] Starts the first runner, and waits until it could serve; what its backends bind is bound
 * by then. take_config_fd: the copy of its configuration; 0: none. 0: it could serve; 1: a stop was
 * requested; -1: the runner has ended, as *ret_end says, which lives as long as the keeper, or it
 * could not be started: then error is set, and ret_end->code is -1. */
int keeper_start(struct keeper *keeper, int take_config_fd, struct runner_end *ret_end,
                 struct error *error);

/* [loop] The pages are made: lets the runner serve. 0, or -1 without memory. */
int keeper_serve(struct keeper *keeper, struct event_base *base, struct place_pool *pool);

/* [loop] Withdraws, and lets the runners drain; ended() is called when all of them are gone,
 * possibly at once. */
void keeper_drain(struct keeper *keeper);

/* [loop] Asks the runner again whether it is idle; its answer calls idle(). */
void keeper_ask_idle(struct keeper *keeper);

/* [loop] Has the runner reopen its log, and changes the level of a service's; later runners get
 * that level, too. */
void keeper_reopen_logs(struct keeper *keeper);
void keeper_set_level(struct keeper *keeper, const struct rpd_service *service,
                      enum rpd_log_level level);

/* [loop] Passes on a request of the control socket; answered() follows, or serves() with false.
 * False: no runner serves. */
bool keeper_ask(struct keeper *keeper, uint64_t number, const char *request, size_t size);

/* [loop] The run-time directory or the locks may have changed. */
void keeper_locks_made(struct keeper *keeper);

/* [loop] A page is another file now; the listener is another socket now. */
void keeper_page_made(struct keeper *keeper, const struct rpd_service *service);
void keeper_listener_made(struct keeper *keeper, const struct rpd_service *service,
                          const struct attachment *attachment);

/* [loop] Whether the rooms are empty, one runner serves, and no other is there. */
bool keeper_may_rest(const struct keeper *keeper);

/* [loop] Whether a reload can begin: the first load is not under way, and not too many generations
 * of before still drain. */
bool keeper_may_renew(const struct keeper *keeper);

/* [loop] Starts the next generation; renewed() is called once, possibly at once. timeout_us: until
 * it must be ready; 0: for ever. */
void keeper_renew(struct keeper *keeper, int take_config_fd, uint64_t timeout_us);

/* [loop] Has the runner apply another configuration, all of whose changes are live; changed() is
 * called once, possibly at once. From then on it is the generation's. */
void keeper_change(struct keeper *keeper, int take_config_fd);

/* [loop] What the runner takes of memory, in bytes; 0: not known. */
uint64_t keeper_runner_memory(const struct keeper *keeper);

/* [start] Ends the runners, if there is still one. Legal at any time. */
void keeper_finish(struct keeper *keeper);

#endif
