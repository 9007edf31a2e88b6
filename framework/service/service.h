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

/* With a keeper (keeper/keeper.h), a service runs in two processes. */
enum service_role {
    SERVICE_WHOLE,     /* there is no keeper */
    SERVICE_OF_KEEPER, /* claims, listeners and files; no code */
    SERVICE_OF_RUNNER  /* code, state and clients */
};

/* [loop] */
struct attachment;

struct service_events {
    /* The phase that it shows to others has changed. */
    void (*phase)(void *daemon, struct rpd_service *service, enum rpd_phase phase);
    void (*ready)(void *daemon, struct rpd_service *service);
    /* The text about what it cannot do has changed. */
    void (*degraded)(void *daemon, struct rpd_service *service);
    /* It cannot go on, and the daemon must stop with this error. */
    void (*failed)(void *daemon, struct rpd_service *service, const struct error *error);
    /* Its backend wants the daemon to stop. */
    void (*stop_asked)(void *daemon, struct rpd_service *service, const char *why);
    /* error: the error of its unload; NULL: none. */
    void (*stopped)(void *daemon, struct rpd_service *service, const struct error *error);
    /* In a runner: it is about to admit a client that the keeper has passed. */
    void (*admits)(void *daemon, struct rpd_service *service);
    /* In a keeper: a page of it, or the listener of an attachment, has been replaced. */
    void (*page_made)(void *daemon, struct rpd_service *service);
    void (*listener_made)(void *daemon, struct rpd_service *service,
                          const struct attachment *attachment);
};

/* A listener, and the acceptor that receives its clients. */
struct attachment {
    struct rpd_listener listener; /* must be first: rpd_accept() receives it */
    struct rpd_service *service;
    unsigned number; /* counts all that its configuration makes, including dropped ones */
    bool is_second;  /* the second address of tcp:localhost: the one before it is the first */
    struct acceptor acceptor;
    rpd_accept_fn accept; /* NULL: connection callbacks */
    void *accept_arg;
    bool attached;
};
_Static_assert(offsetof(struct attachment, listener) == 0,
               "the one is found by a pointer to the other");

struct surroundings;
struct changed_options;

struct rpd_service {
    const struct config_service *config;
    const struct service_events *events;
    void *daemon;
    char name[64];
    unsigned number; /* with a keeper: by which both its processes know it */
    bool accepts;    /* in a runner: it was told to; else another process accepts there */
    enum service_role role;
    enum rpd_phase phase;
    struct plugin plugin;
    struct claim name_claim;
    struct state_claims state_claims;
    struct attachment *attachments;
    size_t attachment_count;
    struct options options; /* that it began with */
    /* Those that came after them, the newest first: a backend may still use strings of all of them.
     * NULL: none came. */
    _Atomic(struct changed_options *) changed_options;
    bool takes_options; /* its backend takes other options while it serves */
    enum rpd_warmup warmup;
    enum config_seal seal; /* of its own bind: as it could be had */
    struct record record;
    struct state_page state_page;
    struct metrics_page metrics;
    int metrics_fd; /* in a keeper: what its runner has made of it, until that is published; -1 */
    bool is_timed;  /* how long its start took is in its history */
    /* From serve on: */
    struct event_base *base;
    struct event *look;            /* checks whether the drain, then the stop, is complete */
    struct place_pool *place_pool; /* set by the daemon */
    struct places places;
    struct hold hold;
    struct conn_group conns;
    struct loading loading;
    struct jobs jobs;
    struct timers timers;
    _Atomic(void *) data; /* the backend's own */
    bool load_is_cancelled;
    size_t refused;   /* refused by the warm-up policy so far */
    uint64_t handed;  /* in a keeper: accepted clients passed to runners so far */
    uint64_t busy_us; /* when it last had a client or a job */
    uint64_t accepted_before;
    uint64_t progress_told_us;
    uint64_t heal_due_us; /* when to retry what could not be recreated; 0: nothing */
    unsigned heal_pause_s;
    uint64_t healed_us;  /* when the first line of this burst was written... */
    unsigned healed;     /* ...and how often files were recreated since */
    bool moves;          /* its files move to another directory: missing ones are not reported */
    bool cut_off;        /* the drain deadline has passed */
    bool backend_serves; /* its serve was called, so its stop must be called */
    uint64_t warming_since_us;
    char trouble[256];            /* what the backend cannot do now; "": nothing */
    _Atomic uint64_t stop_due_us; /* when drain_s is over; 0: no stop is under way */
    struct error *error;          /* for the backend's serve, while it runs */
    struct error *unload_error;   /* a worker's, until it has unloaded; NULL: none */
};

struct changed_options {
    struct changed_options *next;
    struct options options;
};

/* [any] Those that it has now. */
static inline const struct options *service_options(const struct rpd_service *service)
{
    const struct changed_options *changed = atomic_load(&service->changed_options);

    return changed ? &changed->options : &service->options;
}

/* service is the name that the loop declares, which takes no parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define FOR_EACH_SERVICE(owner, service)                                                           \
    for (struct rpd_service *service = (owner)->services;                                          \
         service < (owner)->services + (owner)->service_count; service++)
/* NOLINTEND(bugprone-macro-parentheses) */

/* The owner of its code, for foreign_enter(). */
static inline struct foreign_owner service_owner(const struct rpd_service *service)
{
    return (struct foreign_owner){service->name, service->plugin.path};
}

/* ---- [start] -------------------------------------------------------------- */

/* Finds and judges the plugin, and sets the service's name. */
int service_inspect(struct rpd_service *service, const struct plugin_search *search,
                    const struct rpd_service *before, struct error *error);

/* Resolve its endpoints, adopt the inherited ones, and prepare the claims for the
 * others: at most one claim more than it has endpoints. */
int service_resolve(struct rpd_service *service, const char *runtime_dir, struct error *error);
int service_adopt(struct rpd_service *service, struct adoption *adoption, bool by_name,
                  struct error *error);
/* If an address of tcp:localhost was inherited, drops the second address unless it was
 * inherited, too. */
void service_drop_seconds(struct rpd_service *service);
int service_prepare_claims(struct rpd_service *service, const char *runtime_dir, int runtime_dirfd,
                           struct error *error);
size_t service_list_claims(struct rpd_service *service, struct claim **ret_claims);

/* Binds what rpd binds, one kind after the other, because TCP and abstract names are
 * visible at once. If an address is taken, the records in the run-time directory may
 * name the service that holds it. */
int service_bind_owned(struct rpd_service *service, bool paths, int runtime_dirfd,
                       struct error *error);
/* "pid 12 (service echo)", for processes that find one of its locks held. */
void service_identity(const struct rpd_service *service, char ret_text[LOCK_HOLDER_MAX]);
/* Claims the state that its backend wants to own, before the service is announced. */
int service_claim_state(struct rpd_service *service, struct surroundings *surroundings,
                        struct error *error);
int service_load_code(struct rpd_service *service, struct surroundings *surroundings,
                      const struct rpd_service *before, struct error *error);
int service_check_options(struct rpd_service *service, const struct config *config,
                          struct error **ret_errors, size_t *ret_count);
/* Determines what clients get until READY, and whether its backend can do what is configured. */
int service_settle_warmup(struct rpd_service *service, struct error *error);
/* [start][loop] Whether its backend can do what its policies ask for, which may be those of another
 * configuration. Without its code any will do. */
int service_check_policies(const struct rpd_service *service, const struct config_service *config,
                           struct error *error);
/* [start] Prepares what its own bind needs, so that the time does not count against the bind's
 * deadline. */
void service_prepare_bind(struct rpd_service *service);
int service_bind_own(struct rpd_service *service, struct surroundings *surroundings,
                     int runtime_dirfd, struct error *error);
int service_publish_paths(struct rpd_service *service, struct error *error);
int service_publish_metrics(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                            const struct state_page_identity *common, struct error *error);

/* [start][loop] In a keeper: the page of metrics that its runner has laid out, for the next
 * service_publish_metrics(). */
void service_take_metrics(struct rpd_service *service, int take_fd);
int service_publish_state(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                          const struct state_page_identity *common, struct error *error);
int service_publish_record(struct rpd_service *service, int runtime_dirfd, const char *runtime_dir,
                           const struct record_content *common, struct error *error);

/* Turns away the clients that wait at its adopted listeners; see adoption_turn_away(). */
void service_turn_away(const struct rpd_service *service);

/* Warns of each backlog that exceeds what the kernel grants. */
void service_warn_of_backlogs(const struct rpd_service *service);

/* [start] Removes the page and the record that a dead service of this name has left. The name is
 * claimed now, so an observer that cannot see that the old process is gone would take them for
 * the new one's. */
void service_clear_remains(const struct rpd_service *service, int runtime_dirfd);

/* Removes the files that killed starts left beside the sockets, the record and the state page. */
void service_sweep(const struct rpd_service *service);

/* ---- [loop] ---------------------------------------------------------------- */

/* Attaches to the loop and begins to load. After this, failed or not, it must be
 * drained and stopped through events->stopped. */
int service_serve(struct rpd_service *service, struct conn_loop *loop, struct pool *pool,
                  struct error *error);

/* In a runner: starts to accept; stops, for the next generation; takes a client that the keeper has
 * accepted; takes ownership of a listener that the keeper has recreated. */
void service_accept(struct rpd_service *service);
void service_cease(struct rpd_service *service);
void service_take_passed(struct rpd_service *service, unsigned attachment_number, int take_fd);
void service_follow_listener(struct rpd_service *service, unsigned attachment_number, int take_fd);

/* [any] Returns NULL if no attachment has that number. */
struct attachment *service_attachment(struct rpd_service *service, unsigned number);

/* In a keeper: sets the phase that others see, and whether its load has degraded it. */
void service_mirror_phase(struct rpd_service *service, enum rpd_phase phase, bool is_degraded);

/* Whether its backend or its load has reported that not all of it works. */
bool service_is_degraded(const struct rpd_service *service);

/* What a service needs to live by another configuration: all that can fail of it is done before any
 * of it takes effect. */
struct service_change {
    struct rpd_service *wanted;      /* inspected and resolved, by the new configuration */
    struct changed_options *options; /* NULL: they have not changed */
};

/* [loop] Makes the new options, if they differ: service_change_finish() frees what is not applied.
 * Adds all mistakes. */
int service_prepare_change(const struct rpd_service *service, const struct config *config,
                           struct rpd_service *wanted, bool has_options, struct service_change *ret,
                           struct error_list *errors);
void service_change_finish(struct service_change *change);

/* [start] */
void service_finish_changed_options(struct rpd_service *service);

/* [loop] Exchanges backlog, mode and group of the endpoints that both have: a second call undoes
 * the first. On failure all is as it was. */
int service_exchange_listeners(struct rpd_service *service, struct rpd_service *wanted,
                               struct error *error);

/* [loop] From now on it lives by the new configuration. Cannot fail. In a keeper a second call
 * undoes the first. */
void service_apply_change(struct rpd_service *service, struct service_change *change);

/* Takes no new clients and lets those in flight finish; then stops. */
void service_drain(struct rpd_service *service);

/* The loop's pulse. passed_us: since the last one. late_us: how late this one is. */
void service_pulse(struct rpd_service *service, uint64_t now_us, uint64_t passed_us,
                   uint64_t late_us);

/* service_may_rest(): the service has had no client for a while and has no work, so it does not
 * prevent a rest of the loop. The other two show the rest, and its end. */
bool service_may_rest(const struct rpd_service *service, uint64_t now_us);
void service_rest(struct rpd_service *service, uint64_t now_us);
void service_wake(struct rpd_service *service, uint64_t now_us);

/* When service_is_idle() becomes true if no client comes; UINT64_MAX: never. */
uint64_t service_idle_due_us(const struct rpd_service *service);

/* One of its callbacks was slow: reports that in the log, the metrics and the state page. */
void service_note_slow(struct rpd_service *service, const struct slow_callback *slow);

/* Writes to its history how long its start took. */
void service_note_times(const struct rpd_service *service);

/* Writes the counters to the state page and to the page of metrics. */
void service_show(struct rpd_service *service);

/* "42 %, about 12 s left" */
void service_describe_progress(const struct rpd_service *service, char *text, size_t size);

/* How long it may be until the next progress of its load, or the end of it. */
uint64_t service_patience_us(const struct rpd_service *service);

/* No client has come for idle_exit_s. */
bool service_is_idle(const struct rpd_service *service, uint64_t now_us);

/* Hides its unix paths from clients and shows the service as draining, but serves clients as
 * before; and reverses this. The service must be READY. */
void service_hide(struct rpd_service *service);
void service_unhide(struct rpd_service *service);

/* Cuts off the remaining clients, because the drain deadline has passed. */
void service_cut_off(struct rpd_service *service);

/* Recreates lost locks and sockets after a change of a file of this name. NULL: the name is
 * unknown. */
void service_heal(struct rpd_service *service, const char *file_name);

/* Keeps the content of its state page, and recreates that page, and the page of metrics, if its
 * file was damaged. */
void service_keep_pages(struct rpd_service *service);

/* Protects its files from cleaners of unused files. */
void service_touch(const struct rpd_service *service);

/* Recreates its files or sockets in the directory that has replaced theirs. */
void service_move(struct rpd_service *service);

/* Whether one of its sockets is lost with its directory, because only its backend could recreate
 * the socket. */
bool service_cannot_move(const struct rpd_service *service);

/* Retries what could not be recreated, if a retry is due. */
void service_heal_again(struct rpd_service *service, uint64_t now_us);

/* ---- [start] the way back, each the mirror of one above; all are legal at any
 * time ------------------------------------------------------------------------ */
void service_unserve(struct rpd_service *service);
void service_unpublish(struct rpd_service *service);
void service_unbind(struct rpd_service *service);
void service_unclaim(struct rpd_service *service);
void service_finish(struct rpd_service *service);

#endif
