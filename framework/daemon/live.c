/* Another configuration for a running daemon. See live.h. */
#include "daemon/live.h"

#include "base/log.h"
#include "config/digest.h"
#include "daemon/claiming.h"
#include "daemon/daemon_inside.h"
#include "daemon/inspecting.h"
#include "daemon/keeping.h"
#include "daemon/publishing.h"
#include "daemon/running_inside.h"
#include "guard/watchdog.h"
#include "library/libjansson.h"

#include <stdlib.h>
#include <string.h>

struct rpd_service *live_find(const struct daemon *daemon, const char *name)
{
    FOR_EACH_SERVICE(daemon, service)
        if (strcmp(service->name, name) == 0)
            return service;
    return NULL;
}

/* ---- the check ------------------------------------------------------------------------ */

static int load(struct live *live, const struct config_request *request, struct error_list *errors)
{
    struct error *mistakes = NULL, error;
    size_t count = 0;

    if (libjansson_load(&error) < 0)
        return error_list_push(errors, &error);
    live->has_config = config_load(&live->config, request, &mistakes, &count) == 0;
    for (size_t i = 0; i < count; i++)
        error_list_push(errors, &mistakes[i]);
    free(mistakes);
    if (!live->has_config && count == 0)
        return error_list_out_of_memory(errors);
    return live->has_config ? 0 : -1;
}

static int inspect(const struct daemon *daemon, struct live *live, struct error_list *errors)
{
    struct error error;

    live->probe = calloc(1, sizeof *live->probe);
    if (!live->probe)
        return error_list_out_of_memory(errors);
    live->probe->config = &live->config;
    live->probe->role = daemon->role;
    if (daemon_inspect_services(live->probe, &error) < 0 || daemon_resolve(live->probe, &error) < 0)
        return error_list_push(errors, &error);
    return 0;
}

/* In the order of the configuration; to be freed. */
static const char **names_of(const struct daemon *daemon)
{
    const size_t count = daemon->config->service_count;
    const char **names = calloc(count + 1, sizeof *names);

    if (!names)
        return NULL;
    for (size_t i = 0; i < count; i++)
        FOR_EACH_SERVICE(daemon, service)
            if (service->config == &daemon->config->services[i])
                names[i] = service->name;
    return names;
}

static bool takes_options(const void *arg, const char *name)
{
    const struct rpd_service *service = live_find(arg, name);

    return service && service->takes_options;
}

static int make_plan(const struct daemon *daemon, struct live *live, struct error_list *errors)
{
    const char **old_names = names_of(daemon), **new_names = names_of(live->probe);
    const struct plan_side old_side = {daemon->config, old_names},
                           new_side = {&live->config, new_names};
    int made = -1;

    if (old_names && new_names)
        made = plan_make(&live->plan, &old_side, &new_side, takes_options, daemon);
    free(old_names);
    free(new_names);
    return made < 0 ? error_list_out_of_memory(errors) : 0;
}

int live_check(const struct daemon *daemon, const struct config_request *request, struct live *live,
               struct error_list *errors)
{
    *live = (struct live){0};
    if (load(live, request, errors) < 0 || inspect(daemon, live, errors) < 0)
        return -1;
    return make_plan(daemon, live, errors);
}

/* ---- prepare ------------------------------------------------------------------------------ */

static bool has_new_options(const struct plan *plan, const char *service)
{
    const size_t length = strlen(service);

    for (size_t i = 0; i < plan->count; i++) {
        const char *name = strchr(plan->changes[i].path, '[');

        if (plan->changes[i].key == config_key_at("services[].options.*") && name &&
            strncmp(name + 1, service, length) == 0 && name[length + 1] == ']')
            return true;
    }
    return false;
}

static int prepare_services(struct daemon *daemon, struct live *live, struct error_list *errors)
{
    int result = 0;

    FOR_EACH_SERVICE(daemon, service) {
        struct rpd_service *wanted = live_find(live->probe, service->name);

        result |= service_prepare_change(service, &live->config, wanted,
                                         has_new_options(&live->plan, service->name),
                                         &live->changes[live->change_count++], errors);
    }
    return result;
}

static int exchange_listeners(struct daemon *daemon, const struct live *live, struct error *error)
{
    struct error ignored;

    for (size_t i = 0; i < live->change_count; i++) {
        if (service_exchange_listeners(&daemon->services[i], live->changes[i].wanted, error) == 0)
            continue;
        while (i-- > 0)
            service_exchange_listeners(&daemon->services[i], live->changes[i].wanted, &ignored);
        return -1;
    }
    return 0;
}

int live_prepare(struct daemon *daemon, struct live *live, struct error_list *errors)
{
    struct error error;

    live->changes = calloc(daemon->service_count, sizeof *live->changes);
    if (!live->changes)
        return error_list_out_of_memory(errors);
    if (prepare_services(daemon, live, errors) < 0)
        return -1;
    if (exchange_listeners(daemon, live, &error) < 0)
        return error_list_push(errors, &error);
    return 0;
}

void live_forget(struct daemon *daemon, struct live *live)
{
    struct error ignored;

    exchange_listeners(daemon, live, &ignored);
}

/* ---- apply -------------------------------------------------------------------------------- */

static void apply_process(struct daemon *daemon)
{
    const struct config *config = daemon->config;
    struct running *running = &daemon->running;

    log_change(config->log_level, config->log_format, (unsigned)config->log_limit);
    watchdog_change_limits(config->stall_s, config->slow_ms);
    running_limit_stop(running, EXIT_STOPPED);
    if (daemon->role == SERVICE_OF_KEEPER)
        daemon_configure_keeper(daemon);
}

/* A level that rpdctl log has set stays if the configuration does not say another. */
static void apply_level(const struct daemon *daemon, const struct rpd_service *service, int before)
{
    const int level = service->config->log_level;

    if (level != before)
        log_set_level(service->name, level == LOG_LEVEL_OF_PROCESS ? daemon->config->log_level
                                                                   : (enum rpd_log_level)level);
}

void live_apply(struct daemon *daemon, struct live *live)
{
    const struct config old = *daemon->config;

    *daemon->config = live->config;
    live->config = old;
    for (size_t i = 0; i < live->change_count; i++) {
        const int level = daemon->services[i].config->log_level;

        service_apply_change(&daemon->services[i], &live->changes[i]);
        apply_level(daemon, &daemon->services[i], level);
    }
    apply_process(daemon);
    if (daemon->role != SERVICE_OF_RUNNER)
        daemon_publish_records(daemon);
}

void live_finish(struct live *live)
{
    for (size_t i = 0; i < live->change_count; i++)
        service_change_finish(&live->changes[i]);
    free(live->changes);
    plan_finish(&live->plan);
    if (live->probe)
        daemon_forget_services(live->probe);
    free(live->probe);
    if (live->has_config)
        config_finish(&live->config);
    *live = (struct live){0};
}

int live_change(struct daemon *daemon, int copy_fd, struct error_list *errors)
{
    struct config_request request = daemon->arguments->request;
    struct live live;

    request.copy_fd = copy_fd;
    if (live_check(daemon, &request, &live, errors) == 0 &&
        live_prepare(daemon, &live, errors) == 0)
        live_apply(daemon, &live);
    live_finish(&live);
    return errors->count > 0 ? (int)errors->items[0].code : EXIT_STOPPED;
}
