/* Another configuration for a daemon that runs: it is checked whole, compared with the one that the
 * daemon runs with, and applied in one step.
 *
 *   live_check()    reads the file, inspects the plugins and resolves the endpoints of all
 * services, as a start would, and makes the plan. Nothing has happened after it live_prepare() does
 * all that can fail of a plan of live changes, and undoes it if a part fails live_apply()    the
 * new configuration is the daemon's. Cannot fail
 *
 * A keeper and its runner each do this with their own part of the services. */
#ifndef FRAMEWORK_LIVE_H
#define FRAMEWORK_LIVE_H

#include "config/plan.h"
#include "service/service.h"

struct daemon;

/* Starts as all zeros. */
struct live {
    struct config config; /* the new one; after live_apply(), the old one */
    bool has_config;
    struct daemon *probe; /* its services: inspected and resolved, never started */
    struct plan plan;
    struct service_change *changes; /* one a service of the daemon */
    size_t change_count;
};

/* [loop] All mistakes are added. 0 or -1; live_finish() is due in both cases. */
int live_check(const struct daemon *daemon, const struct config_request *request, struct live *live,
               struct error_list *errors);

/* [loop] Of a plan without changes that need more. On failure all is as it was. */
int live_prepare(struct daemon *daemon, struct live *live, struct error_list *errors);

/* [loop] Undoes live_prepare(). */
void live_forget(struct daemon *daemon, struct live *live);

/* [loop] In a keeper, live_forget() and a second call undo the first. */
void live_apply(struct daemon *daemon, struct live *live);

void live_finish(struct live *live);

/* [loop] In a runner, whose keeper has other changes for it that are all live: all of it. copy_fd:
 * of the file; 0: there is none. 0, or the exit code of the errors. */
int live_change(struct daemon *daemon, int copy_fd, struct error_list *errors);

/* The service of this name; NULL: there is none. */
struct rpd_service *live_find(const struct daemon *daemon, const char *name);

#endif
