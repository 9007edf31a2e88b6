/* A service: one backend with a name, endpoints, options and state.
 *
 *   [start]  inspect, claim, bind, code, publish: a function each, in that
 *            order, called by daemon.c for every service before the next step
 *   [loop]   WARMING ──ready──► READY ────┐
 *               │ ▲                       ├─drain─► DRAINING ──► STOPPING ──► STOPPED
 *               ▼ │ retry                 │        clients      loads,      backend's
 *             (a run failed) ─────────────┘        finish       jobs end    stop, unload
 *
 * A service knows nothing of others, nor of the daemon except what it reports
 * through service_events. */
#ifndef FRAMEWORK_SERVICE_H
#define FRAMEWORK_SERVICE_H

#include "clients/acceptor.h"
#include "clients/conn.h"
#include "clients/hold.h"
#include "clients/places.h"
#include "config/config.h"
#include "endpoint/adopt.h"
#include "endpoint/claim.h"
#include "endpoint/listener.h"
#include "guard/foreign.h"
#include "guard/slow.h"
#include "plugin/options.h"
#include "plugin/plugin.h"
#include "publish/metrics_page.h"
#include "publish/record.h"
#include "publish/state_page.h"
#include "service/state_claims.h"
#include "work/jobs.h"
#include "work/loading.h"
#include "work/timers.h"

#include <stdatomic.h>
#include <stddef.h>

/* [loop] */
struct service_events {
    /* What it shows to others has changed. */
    void (*phase)(void *daemon, struct rpd_service *service, enum rpd_phase phase);
    void (*ready)(void *daemon, struct rpd_service *service);
    /* What it cannot do has changed. */
    void (*degraded)(void *daemon, struct rpd_service *service);
    /* It cannot go on: the daemon must stop with this. */
    void (*failed)(void *daemon, struct rpd_service *service, const struct error *error);
    /* Its backend wants the daemon to stop. */
    void (*stop_asked)(void *daemon, struct rpd_service *service, const char *why);
    /* error: of its unload; NULL: it has none. */
    void (*stopped)(void *daemon, struct rpd_service *service, const struct error *error);
};

/* A listener, and what gets its clients. */
struct attachment {
    struct rpd_listener listener; /* first: rpd_accept() is given this */
    struct rpd_service *service;
    bool is_second; /* of the two addresses of tcp:localhost: the one before it is the first */
    struct acceptor acceptor;
    rpd_accept_fn accept; /* NULL: connection callbacks */
    void *accept_arg;
    bool attached;
};
_Static_assert(offsetof(struct attachment, listener) == 0,
               "the one is found by a pointer to the other");

struct surroundings;

struct rpd_service {
    const struct config_service *config;
    const struct service_events *events;
    void *daemon;
    char name[64];
    enum rpd_phase phase;
    struct plugin plugin;
    struct claim name_claim;
    struct state_claims state_claims;
    struct attachment *attachments;
    size_t attachment_count;
    struct options options;
    enum rpd_warmup warmup;
    enum config_seal seal; /* of its own bind: as it could be had */
    struct record record;
    struct state_page state_page;
    struct metrics_page metrics;
    /* From serve on: */
    struct event_base *base;
    struct event *look;            /* looks whether the drain, then the stop, is complete */
    struct place_pool *place_pool; /* set by the daemon */
    struct places places;
    struct hold hold;
    struct conn_group conns;
    struct loading loading;
    struct jobs jobs;
    struct timers timers;
    _Atomic(void *) data; /* the backend's own */
    bool load_is_cancelled;
    size_t refused;   /* by the warm-up policy, so far */
    uint64_t busy_us; /* when it last had a client or a job */
    uint64_t accepted_before;
    uint64_t progress_told_us;
    uint64_t heal_due_us; /* what could not be made again is tried again; 0: there is nothing */
    unsigned heal_pause_s;
    uint64_t healed_us; /* when the first line of this burst was written... */
    unsigned healed;    /* ...and how often files were made again since */
    bool moves;   /* its files are due in another directory: that they are missing is no news */
    bool cut_off; /* the drain deadline has passed */
    bool backend_serves; /* its serve was called, so its stop is due */
    uint64_t warming_since_us;
    char trouble[256];            /* what the backend cannot do now; "": nothing */
    _Atomic uint64_t stop_due_us; /* when drain_s is over; 0: no stop is under way */
    struct error *error;          /* of the backend's serve, while that runs */
    struct error *unload_error;   /* a worker's, until it has unloaded; NULL: none */
};

/* service is the name that the loop declares, which takes no parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define FOR_EACH_SERVICE(owner, service)                                                           \
    for (struct rpd_service *service = (owner)->services;                                          \
         service < (owner)->services + (owner)->service_count; service++)
/* NOLINTEND(bugprone-macro-parentheses) */

/* Of its code, for foreign_enter(). */
static inline struct foreign_owner service_owner(const struct rpd_service *service)
{
    return (struct foreign_owner){service->name, service->plugin.path};
}

/* ---- [start] -------------------------------------------------------------- */

/* The plugin is found and judged; the service gets its name. */
int service_inspect(struct rpd_service *service, const struct plugin_search *search,
                    const struct rpd_service *before, struct error *error);

/* Its endpoints; those that were inherited; and what it must claim for the
 * others: at most one more than it has endpoints. */
int service_resolve(struct rpd_service *service, const char *runtime_dir, struct error *error);
int service_adopt(struct rpd_service *service, struct adoption *adoption, bool by_name,
                  struct error *error);
/* Of an address of tcp:localhost that was inherited the second is not wanted, unless it
 * was inherited, too. */
void service_drop_seconds(struct rpd_service *service);
int service_prepare_claims(struct rpd_service *service, const char *runtime_dir, int runtime_dirfd,
                           struct error *error);
size_t service_list_claims(struct rpd_service *service, struct claim **ret_claims);

/* Binds what rpd binds: kind by kind, as TCP and abstract names are visible at
 * once. Where an address is taken, the records in the run-time directory may
 * say by which service. */
int service_bind_owned(struct rpd_service *service, bool paths, int runtime_dirfd,
                       struct error *error);
/* "pid 12 (service echo)", for processes that find a lock of it held. */
void service_identity(const struct rpd_service *service, char ret_text[LOCK_HOLDER_MAX]);
/* What its backend wants to own of its state, before it is announced. */
int service_claim_state(struct rpd_service *service, struct surroundings *surroundings,
                        struct error *error);
int service_load_code(struct rpd_service *service, struct surroundings *surroundings,
                      const struct rpd_service *before, struct error *error);
int service_check_options(struct rpd_service *service, const struct config *config,
                          struct error **ret_errors, size_t *ret_count);
/* What clients get until READY; whether its backend can do what is configured. */
int service_settle_warmup(struct rpd_service *service, struct error *error);
/* [start] What its own bind needs, and its deadline should not pay for. */
void service_prepare_bind(struct rpd_service *service);
int service_bind_own(struct rpd_service *service, struct surroundings *surroundings,
                     int runtime_dirfd, struct error *error);
int service_publish_paths(struct rpd_service *service, struct error *error);
int service_publish_metrics(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                            const struct state_page_identity *common, struct error *error);
int service_publish_state(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                          const struct state_page_identity *common, struct error *error);
int service_publish_record(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                           const struct record_content *common, struct error *error);

/* Clients that wait at its adopted listeners are turned away: adoption_turn_away(). */
void service_turn_away(const struct rpd_service *service);

/* Says which backlogs are more than the kernel gives. */
void service_warn_of_backlogs(const struct rpd_service *service);

/* [start] Removes the page and the record that a dead one has left: its name is claimed, and
 * an observer that cannot see that its process is gone would take them for the new one's. */
void service_clear_remains(const struct rpd_service *service, int runtime_dirfd);

/* Removes what killed starts left beside the sockets, the record and the state page. */
void service_sweep(const struct rpd_service *service);

/* ---- [loop] ---------------------------------------------------------------- */

/* Attaches to the loop and begins to load. After this, failed or not, it must be
 * drained and stopped through events->stopped. */
int service_serve(struct rpd_service *service, struct conn_loop *loop, struct pool *pool,
                  struct error *error);

/* Its backend or its load has said that not all of it works. */
bool service_is_degraded(const struct rpd_service *service);

/* Takes no new clients and lets those in flight finish; then stops. */
void service_drain(struct rpd_service *service);

/* The loop's pulse: passed_us since the last, late_us too late. */
void service_pulse(struct rpd_service *service, uint64_t now_us, uint64_t passed_us,
                   uint64_t late_us);

/* No client has been here for a while, and nothing is to be done: the loop may rest as far as this
 * service goes. Then the rest is shown, and its end. */
bool service_may_rest(const struct rpd_service *service, uint64_t now_us);
void service_rest(struct rpd_service *service, uint64_t now_us);
void service_wake(struct rpd_service *service, uint64_t now_us);

/* When it will be idle (service_is_idle()), if no client comes; UINT64_MAX: never. */
uint64_t service_idle_due_us(const struct rpd_service *service);

/* One of its callbacks was slow: says so in the log, the metrics and the state page. */
void service_note_slow(struct rpd_service *service, const struct slow_callback *slow);

/* How long its start took, into its history. */
void service_note_times(const struct rpd_service *service, uint64_t ready_after_us);

/* Puts what is counted into the state page. */
void service_show(struct rpd_service *service);

/* "42 %, about 12 s left" */
void service_describe_progress(const struct rpd_service *service, char *text, size_t size);

/* How long it may be until the next progress of its load, or the end of it. */
uint64_t service_patience_us(const struct rpd_service *service);

/* No client has come for idle_exit_s. */
bool service_is_idle(const struct rpd_service *service, uint64_t now_us);

/* No client finds its unix paths any more, and it is shown as draining, but clients are
 * served as before. And back. Only of one that is READY. */
void service_hide(struct rpd_service *service);
void service_unhide(struct rpd_service *service);

/* The drain deadline has passed: clients that are left are cut off. */
void service_cut_off(struct rpd_service *service);

/* Something happened to a file of this name (NULL: unknown); makes lost locks
 * and sockets again. */
void service_heal(struct rpd_service *service, const char *file_name);

/* Keeps what its state page says, and makes that, and the page of metrics, again if the file was
 * damaged. */
void service_keep_pages(struct rpd_service *service);

/* Keeps its files from cleaners of unused files. */
void service_touch(const struct rpd_service *service);

/* The directory of its files, or of its sockets, is another one now: makes them there. */
void service_move(struct rpd_service *service);

/* Whether a socket of it stays behind where its directory has gone: only its backend could make it
 * again. */
bool service_cannot_move(const struct rpd_service *service);

/* Tries again what could not be made again, if that is due. */
void service_heal_again(struct rpd_service *service, uint64_t now_us);

/* ---- [start] the way back, each the mirror of one above; all are legal at any
 * time ------------------------------------------------------------------------ */
void service_unserve(struct rpd_service *service);
void service_unpublish(struct rpd_service *service);
void service_unbind(struct rpd_service *service);
void service_unclaim(struct rpd_service *service);
void service_finish(struct rpd_service *service);

#endif
