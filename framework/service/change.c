/* A service that gets another configuration while it serves. See service.h.
 *
 * What takes memory, or may be refused, comes first; what is left cannot fail. So all services of a
 * process change together, or none does. */
#include "service/service.h"

#include "guard/foreign.h"

#include <stdlib.h>
#include <string.h>

/* ---- what may fail ------------------------------------------------------------------ */

static int make_options(const struct rpd_service *service, const struct config *config,
                        const struct service_change *change, struct error_list *errors)
{
    const struct option_tables tables = {service->plugin.backend.options,
                                         service->plugin.backend.option_details};
    struct error *mistakes = NULL;
    size_t count = 0;
    const int made = options_make(&change->options->options, &tables, service->plugin.path, config,
                                  change->wanted->config, &mistakes, &count);

    for (size_t i = 0; i < count; i++)
        error_list_push(errors, &mistakes[i]);
    free(mistakes);
    return made;
}

int service_prepare_change(const struct rpd_service *service, const struct config *config,
                           struct rpd_service *wanted, bool has_options, struct service_change *ret,
                           struct error_list *errors)
{
    struct error error;

    *ret = (struct service_change){.wanted = wanted};
    if (service_check_policies(service, wanted->config, &error) < 0)
        return error_list_push(errors, &error);
    if (!has_options || service->role == SERVICE_OF_KEEPER)
        return 0;
    ret->options = calloc(1, sizeof *ret->options);
    if (!ret->options)
        return error_list_out_of_memory(errors);
    if (make_options(service, config, ret, errors) == 0)
        return 0;
    free(ret->options);
    ret->options = NULL;
    return -1;
}

static void free_options(struct changed_options *options)
{
    options_finish(&options->options);
    free(options);
}

void service_change_finish(struct service_change *change)
{
    if (change->options)
        free_options(change->options);
    change->options = NULL;
}

void service_finish_changed_options(struct rpd_service *service)
{
    struct changed_options *next;

    for (struct changed_options *at = atomic_load(&service->changed_options); at; at = next) {
        next = at->next;
        free_options(at);
    }
    atomic_store(&service->changed_options, NULL);
}

/* ---- endpoints ------------------------------------------------------------------------ */

static struct rpd_endpoint *endpoint_like(const struct rpd_service *wanted,
                                          const struct attachment *attachment)
{
    for (size_t i = 0; i < wanted->attachment_count; i++)
        if (wanted->attachments[i].is_second == attachment->is_second &&
            strcmp(wanted->attachments[i].listener.endpoint.text,
                   attachment->listener.endpoint.text) == 0)
            return &wanted->attachments[i].listener.endpoint;
    return NULL;
}

static int exchange(struct attachment *attachment, const struct rpd_service *wanted,
                    struct error *error)
{
    struct rpd_endpoint *endpoint = endpoint_like(wanted, attachment);

    if (!endpoint || attachment->listener.way == LISTENER_KEPT)
        return 0;
    return listener_exchange(&attachment->listener, endpoint, error);
}

int service_exchange_listeners(struct rpd_service *service, struct rpd_service *wanted,
                               struct error *error)
{
    struct error ignored;

    for (size_t i = 0; i < service->attachment_count; i++) {
        if (exchange(&service->attachments[i], wanted, error) == 0)
            continue;
        while (i-- > 0)
            exchange(&service->attachments[i], wanted, &ignored);
        return -1;
    }
    return 0;
}

/* ---- what cannot ------------------------------------------------------------------------- */

/* Workers may read the options meanwhile: those of before, or these. */
static void take_options(struct rpd_service *service, struct service_change *change)
{
    const struct rpd_backend *backend = &service->plugin.backend;

    change->options->next = atomic_load(&service->changed_options);
    atomic_store(&service->changed_options, change->options);
    change->options = NULL;
    foreign_enter(service_owner(service), (foreign_code)backend->on_options);
    backend->on_options(service, service->conns.state);
    foreign_leave();
}

static void take_limits(struct rpd_service *service, const struct config_limits *limits)
{
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct rpd_listener *listener = &service->attachments[i].listener;

        listener->endpoint.origin = NULL; /* it was the old configuration's */
        listener_change_keepalive(listener, limits->keepalive_s);
    }
    if (!service->base)
        return;
    places_change_limits(&service->places, service->base, limits, service->name);
    if (service->role != SERVICE_OF_KEEPER)
        conn_group_change_limits(&service->conns, limits);
}

static void exchange_configs(struct rpd_service *a, struct rpd_service *b)
{
    const struct config_service *config = a->config;

    a->config = b->config;
    b->config = config;
}

/* A keeper runs no code of it: what it knows is that of the generation. */
static void exchange_plugins(struct rpd_service *a, struct rpd_service *b)
{
    const struct plugin plugin = a->plugin;

    a->plugin = b->plugin;
    b->plugin = plugin;
}

void service_apply_change(struct rpd_service *service, struct service_change *change)
{
    exchange_configs(service, change->wanted);
    if (service->role == SERVICE_OF_KEEPER)
        exchange_plugins(service, change->wanted);
    take_limits(service, &service->config->limits);
    service->loading.on_failure = service->config->on_load_failure;
    service->loading.no_progress_s = service->config->no_progress_s;
    if (change->options)
        take_options(service, change);
}
