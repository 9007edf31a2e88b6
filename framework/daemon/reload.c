/* Reloads. See reload.h. */
#include "daemon/reload.h"

#include "base/log.h"
#include "daemon/daemon_inside.h"
#include "guard/rest.h"
#include "guard/signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_US = 10000 };

/* ---- who asks ---------------------------------------------------------------------------- */

static void merge(struct control_reload *into, const struct control_reload *request)
{
    into->fresh |= request->fresh;
    into->force |= request->force;
    if (request->timeout_us == 0 || into->timeout_us == 0)
        into->timeout_us = 0; /* that is the longest */
    else if (request->timeout_us > into->timeout_us)
        into->timeout_us = request->timeout_us;
}

static void begin_soon(struct reload *reload, const struct control_reload *request)
{
    reload->ticket++;
    reload->asked = *request;
    reload->state = RELOAD_ASKED;
    rest_end();
    event_active(reload->begin, 0, 0);
}

unsigned long reload_ask(void *arg, const struct control_reload *request)
{
    struct reload *reload = arg;

    switch (reload->state) {
    case RELOAD_IDLE: begin_soon(reload, request); break;
    case RELOAD_ASKED: merge(&reload->asked, request); break;
    case RELOAD_RUNS:
        if (reload->is_queued)
            merge(&reload->queued, request);
        else
            reload->queued = *request;
        reload->is_queued = true;
        return reload->ticket + 1;
    }
    return reload->ticket;
}

void reload_by_signal(void *arg)
{
    static const struct control_reload request;
    char sender[SIGNALS_TEXT_MAX];

    signals_describe_hangup(sender);
    log_line(RPD_LOG_INFO, NULL, "reload: asked for by %s", sender);
    reload_ask(arg, &request);
}

/* ---- how it ends --------------------------------------------------------------------------- */

static struct control_reload_end end_of(const struct live *live, const struct error_list *errors,
                                        const struct daemon *daemon, const char *text)
{
    return (struct control_reload_end){
        .code = errors->count > 0 ? (int)errors->items[0].code : EXIT_STOPPED,
        .errors = errors->items,
        .error_count = errors->count,
        .plan = live->probe ? &live->plan : NULL,
        .generation = daemon->role == SERVICE_OF_KEEPER ? daemon->keeper.generation : 0,
        .text = text,
    };
}

static void clear_errors(struct error_list *errors)
{
    free(errors->items);
    *errors = (struct error_list){NULL, 0, 0};
}

/* In the status, too: a reload by a signal has no caller to tell. */
void reload_show_error(const struct reload *reload, const char *text)
{
    FOR_EACH_SERVICE(reload->daemon, service)
        state_page_error(&service->state_page, text);
}

static void log_end(const struct reload *reload)
{
    if (reload->errors.count > 0)
        reload_show_error(reload, reload->errors.items[0].text);
    for (size_t i = 0; i < reload->errors.count; i++)
        log_line(RPD_LOG_ERROR, NULL, "%s", reload->errors.items[i].text);
    if (reload->errors.count > 0)
        log_line(RPD_LOG_WARNING, NULL,
                 "reload: failed; the configuration of before is still in use");
    else
        log_line(RPD_LOG_INFO, NULL, "reload: %s", reload->text);
}

void reload_end(struct reload *reload)
{
    const struct control_reload_end end = end_of(&reload->live, &reload->errors, reload->daemon,
                                                 reload->text);
    const unsigned long ticket = reload->ticket;

    log_end(reload);
    reload->state = RELOAD_IDLE;
    control_reloaded(&reload->daemon->control, ticket, &end);
    if (reload->took_over && !reload->is_settled)
        reload->trial = reload->live;
    else
        live_finish(&reload->live);
    reload->live = (struct live){0};
    clear_errors(&reload->errors);
    if (!reload->is_queued)
        return;
    reload->is_queued = false;
    begin_soon(reload, &reload->queued);
}

/* ---- what it does ---------------------------------------------------------------------------- */

static void refuse(struct error_list *errors, const struct plan *plan, enum config_effect effect,
                   const char *why)
{
    char keys[512];

    plan_name_keys(plan, effect, keys, sizeof keys);
    error_list_add(errors, EXIT_CONFIG, "reload", keys, "%s", why);
}

/* What comes or goes has listeners and locks, which belong to the process. */
static void refuse_comers(const struct plan *plan, struct error_list *errors)
{
    static const char *const keys[] = {"services[]", "services[].listen[]",
                                       "services[].listen[].freebind"};

    for (size_t i = 0; i < plan->count; i++)
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (plan->changes[i].key == config_key_at(keys[k]))
                error_list_add(errors, EXIT_CONFIG, "reload", plan->changes[i].path,
                               "services and endpoints come and go only by a restart; nothing was "
                               "changed: rpdctl restart");
}

/* False: it is refused. */
static bool is_possible(const struct daemon *daemon, const struct live *live,
                        const struct control_reload *asked, struct error_list *errors)
{
    if (plan_has(&live->plan, EFFECT_RESTART))
        refuse(errors, &live->plan, EFFECT_RESTART,
               "changed, which takes a restart; nothing was changed: rpdctl restart");
    if (daemon->role == SERVICE_OF_KEEPER) {
        refuse_comers(&live->plan, errors);
        return errors->count == 0;
    }
    if (plan_has(&live->plan, EFFECT_GENERATION))
        refuse(errors, &live->plan, EFFECT_GENERATION,
               "changed, which takes a new generation, and there is no keeper; nothing was "
               "changed: rpdctl restart, or set \"keeper\"");
    else if (asked->fresh)
        error_list_add(errors, EXIT_CONFIG, "reload", "--fresh",
                       "takes a new generation, and there is no keeper: rpdctl restart, or set "
                       "\"keeper\"");
    return errors->count == 0;
}

void reload_describe_live(struct reload *reload)
{
    const size_t count = reload->live.plan.count;

    if (count == 0)
        snprintf(reload->text, sizeof reload->text, "nothing has changed");
    else
        snprintf(reload->text, sizeof reload->text, "%zu key%s changed, at once", count,
                 count == 1 ? "" : "s");
}

static void apply_at_once(struct reload *reload)
{
    struct daemon *daemon = reload->daemon;

    if (live_prepare(daemon, &reload->live, &reload->errors) < 0)
        return;
    notify_reloading(&daemon->notify);
    live_apply(daemon, &reload->live);
    notify_reloaded(&daemon->notify);
    reload_describe_live(reload);
}

static void on_begin(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval a_while = {.tv_usec = AGAIN_US};
    struct reload *reload = arg;
    struct daemon *daemon = reload->daemon;

    (void)fd;
    (void)what;
    if (reload->state != RELOAD_ASKED)
        return;
    if (daemon->role == SERVICE_OF_KEEPER && !reload_may_begin(reload)) {
        event_add(reload->begin, &a_while);
        return;
    }
    reload->state = RELOAD_RUNS;
    reload->is_prepared = reload->took_over = reload->is_settled = false;
    *reload->text = '\0';
    if (live_check(daemon, &daemon->arguments->request, &reload->live, &reload->errors) == 0 &&
        is_possible(daemon, &reload->live, &reload->asked, &reload->errors)) {
        if (daemon->role == SERVICE_OF_KEEPER) {
            reload_by_keeper(reload);
            return;
        }
        apply_at_once(reload);
    }
    reload_end(reload);
}

const struct control_reload_end *reload_check(void *arg)
{
    static const struct control_reload nothing;
    struct reload *reload = arg;
    const struct daemon *daemon = reload->daemon;

    live_finish(&reload->check);
    clear_errors(&reload->check_errors);
    if (live_check(daemon, &daemon->arguments->request, &reload->check, &reload->check_errors) == 0)
        is_possible(daemon, &reload->check, &nothing, &reload->check_errors);
    reload->check_end = end_of(&reload->check, &reload->check_errors, daemon, "");
    return &reload->check_end;
}

/* ---- life ---------------------------------------------------------------------------------------
 */

struct reload *reload_new(struct daemon *daemon)
{
    struct reload *reload = calloc(1, sizeof *reload);

    if (reload)
        reload->daemon = daemon;
    return reload;
}

int reload_start(struct reload *reload, struct event_base *base)
{
    reload->begin = event_new(base, -1, 0, on_begin, reload);
    return reload->begin ? 0 : -1;
}

void reload_leave(void *arg)
{
    struct reload *reload = arg;

    if (reload->state == RELOAD_IDLE)
        return;
    reload->is_queued = false;
    error_list_add(&reload->errors, EXIT_RUNNING, "reload", "rpd",
                   "the daemon stops; nothing was changed");
    reload_end(reload);
}

void reload_free(struct reload *reload)
{
    if (!reload)
        return;
    if (reload->begin)
        event_free(reload->begin);
    live_finish(&reload->live);
    live_finish(&reload->trial);
    live_finish(&reload->check);
    clear_errors(&reload->errors);
    clear_errors(&reload->check_errors);
    free(reload);
}
