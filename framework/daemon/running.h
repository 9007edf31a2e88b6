/* The daemon on its loop: everything between BOUND and the stop of the last service. This covers
 * signals, services that become ready or fail, the stop and its deadline, an idle exit, removed
 * files and directories, and the notifications to the service manager about them. */
#ifndef FRAMEWORK_RUNNING_H
#define FRAMEWORK_RUNNING_H

#include "control/control.h"
#include "daemon/census.h"
#include "daemon/intact.h"
#include "daemon/moving.h"
#include "daemon/notify.h"
#include "daemon/orphans.h"
#include "daemon/path_watch.h"
#include "daemon/pulse.h"
#include "daemon/resting.h"
#include "keeper/keeper.h"
#include "keeper/link.h"
#include "service/service.h"

struct running {
    /* Set by the daemon: */
    const struct config *config;
    struct rpd_service *services;
    size_t service_count;
    struct claim **claims;
    size_t claim_count;
    struct notify *notify;
    struct control *control;
    const char *runtime_dir;
    int runtime_dirfd;
    struct keeper *keeper; /* NULL: this is no keeper */
    /* For the next runner: */
    void (*make_state_pages)(void *daemon);
    void (*make_metrics_pages)(void *daemon);
    void *daemon;
    struct control_subject subject;
    /* SIGHUP has come; a stop has begun. With the reload_arg of the subject; NULL in a runner: */
    void (*hang_up)(void *arg);
    void (*leave_reload)(void *arg);
    struct link *link;   /* NULL: this is no runner */
    uint64_t started_us; /* the process; in its first runner: the keeper */

    struct event_base *base;
    struct event *signal_event, *drain_deadline, *hidden_long_enough, *stop_asked;
    char stop_reason[320]; /* a service's; "": none has one */
    struct conn_loop conn_loop;
    struct place_pool place_pool;
    struct pool *pool;
    struct path_watch path_watch;
    struct moving moving;
    struct pulse pulse;
    struct intact intact;
    struct orphans orphans;
    struct resting resting;
    struct census census;
    uint64_t beat_us, last_told_us, touched_us;
    uint64_t drain_due_us, drain_lost_us; /* when to cut off; what that takes into account */
    bool moved;                           /* a load made progress since the last report */
    bool hidden;                          /* an idle exit is being tried */
    bool idle_is_told;                    /* this runner has reported it to the keeper */
    bool idle_is_asked;                   /* this keeper has requested it from the runner */
    bool stopping, stopped;
    int end_signal; /* the signal that ended its runner, by which it ends, too; 0: none */
    int exit_code;  /* the exit code of a stop of its own accord */
};

/* [start] Creates the loop and the workers, and destroys them. */
int running_open(struct running *running, struct error *error);
void running_close(struct running *running);

/* [start][loop] The runner's report of its end becomes the report of this process. */
void running_note_words(const struct runner_end *end);

/* [loop] Serves; returns when every service has stopped. */
int running_serve(struct running *running, struct error *error);

#endif
