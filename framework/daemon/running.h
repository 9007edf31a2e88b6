/* The daemon on its loop: what happens between BOUND and the last service
 * stopped. Signals, services that become ready or fail, the stop and its
 * deadline, an idle exit, files and directories that were removed, and what the service
 * manager hears of all that. */
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
    uint64_t started_us; /* the process */

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
    uint64_t beat_us, last_hangup_us, last_told_us, touched_us;
    uint64_t drain_due_us, drain_lost_us; /* when to cut off; what that takes into account */
    bool moved;                           /* a load made progress since the manager heard of one */
    bool hidden;                          /* an idle exit is being tried */
    bool stopping, stopped;
    int exit_code; /* what a stop of its own accord ends with */
};

/* [start] Makes the loop and the workers; and the way back. */
int running_open(struct running *running, struct error *error);
void running_close(struct running *running);

/* [loop] Serves; returns when every service has stopped. */
int running_serve(struct running *running, struct error *error);

#endif
