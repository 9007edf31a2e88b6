/* The daemon's step "inspect", and its reversal. See inspecting.h. */
#include "daemon/inspecting.h"

#include "daemon/daemon_inside.h"

#include <stdlib.h>
#include <string.h>

static int refuse_same_name(const struct daemon *daemon, const struct rpd_service *service,
                            struct error *error)
{
    FOR_EACH_SERVICE(daemon, other) {
        if (other == service)
            break;
        if (strcmp(other->name, service->name) == 0)
            return error_set(error, EXIT_CONFIG, "config", service->config->origin,
                             "two services are named \"%s\"; give one a \"name\" of its own",
                             service->name);
    }
    return 0;
}

int daemon_inspect_services(struct daemon *daemon, struct error *error)
{
    const struct plugin_search search = {.dirs = daemon->config->plugin_dirs};

    daemon->services = calloc(daemon->config->service_count, sizeof *daemon->services);
    if (!daemon->services)
        return error_set(error, EXIT_SYSTEM, "inspect", "services", "out of memory");
    for (size_t i = 0; i < daemon->config->service_count; i++) {
        struct rpd_service *service = &daemon->services[daemon->service_count++];
        const struct rpd_service *before = i > 0 ? service - 1 : NULL;

        service->config = &daemon->config->services[i];
        service->role = daemon->role;
        if (service_inspect(service, &search, before, error) < 0 ||
            refuse_same_name(daemon, service, error) < 0)
            return -1;
    }
    return 0;
}

int daemon_inspect(struct daemon *daemon, struct error *error)
{
    if (daemon_inspect_services(daemon, error) < 0)
        return -1;
    FOR_EACH_SERVICE(daemon, service)
        if (service->config->log_level != LOG_LEVEL_OF_PROCESS)
            log_set_level(service->name, (enum rpd_log_level)service->config->log_level);
    return 0;
}

void daemon_forget_services(struct daemon *daemon)
{
    FOR_EACH_SERVICE(daemon, service)
        service_finish(service);
    free(daemon->services);
    daemon->services = NULL;
    daemon->service_count = 0;
}
