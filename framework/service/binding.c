/* One service's endpoints from bind to public, and back. See service.h for the order. */
#include "service/service.h"

#include "guard/watchdog.h"
#include "plugin/seal.h"
#include "plugin/surroundings.h"

enum { PORT_TRIES = 16 };

/* A unix path is claimed first, and its lock says what has it; other addresses
 * have no lock. */
static int name_holder(const struct rpd_listener *listener, int runtime_dirfd, struct error *error)
{
    char who[128];

    if (error->code != EXIT_RUNNING || listener->endpoint.kind == ENDPOINT_PATH)
        return -1;
    record_find(runtime_dirfd, listener->endpoint.text, who, sizeof who);
    if (*who)
        error_set(error, EXIT_RUNNING, "bind", listener->endpoint.text,
                  "already bound by %s; use that one, or stop it first", who);
    return -1;
}

/* The two addresses of tcp:localhost have one port. Where any will do, one that is free at
 * the first may be taken at the second: then both are tried again. */
static int bind_second(struct rpd_listener *first, struct rpd_listener *second, struct error *error)
{
    const struct rpd_endpoint any_port = second->endpoint;
    int bound = -1;

    for (int tries = 0; tries < PORT_TRIES; tries++) {
        const bool any = listener_follow(second, first);

        bound = listener_bind_owned(second, error);
        if (bound == 0 || !any || error->code != EXIT_RUNNING || tries + 1 == PORT_TRIES)
            break;
        second->endpoint = any_port;
        listener_close(first);
        first->state = LISTENER_NEW;
        if (listener_bind_owned(first, error) < 0)
            break;
    }
    return bound;
}

static int bind_owned(struct attachment *attachment, struct error *error)
{
    return attachment->is_second
               ? bind_second(&attachment[-1].listener, &attachment->listener, error)
               : listener_bind_owned(&attachment->listener, error);
}

int service_bind_owned(struct rpd_service *service, bool paths, int runtime_dirfd,
                       struct error *error)
{
    if (service->plugin.note.has_own_bind)
        return 0;
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct rpd_listener *listener = &service->attachments[i].listener;

        if (listener->state == LISTENER_NEW &&
            (listener->endpoint.kind == ENDPOINT_PATH) == paths &&
            bind_owned(&service->attachments[i], error) < 0)
            return name_holder(listener, runtime_dirfd, error);
    }
    return 0;
}

void service_prepare_bind(struct rpd_service *service)
{
    if (service->plugin.note.has_own_bind)
        service->seal = seal_prepare(service->config->seal, service->name);
}

int service_bind_own(struct rpd_service *service, struct surroundings *surroundings,
                     int runtime_dirfd, struct error *error)
{
    const struct listener_bind bind = {
        .bind = service->plugin.bind,
        .seal = service->seal,
        .owner = service_owner(service),
    };

    if (!service->plugin.note.has_own_bind)
        return 0;
    for (size_t i = 0; i < service->attachment_count; i++) {
        struct rpd_listener *listener = &service->attachments[i].listener;

        watchdog_describe(WATCHDOG_START, EXIT_CONTRACT, "bind", service->plugin.path,
                          "its bind() has not returned within endpoint_deadline_ms; it must not "
                          "wait for anything");
        if (service->attachments[i].is_second)
            listener_follow(listener, &service->attachments[i - 1].listener);
        if (listener->state == LISTENER_NEW && listener_bind_own(listener, &bind, error) < 0)
            return name_holder(listener, runtime_dirfd, error);
    }
    surroundings_put_back(surroundings, service->name, service->plugin.path, "bind()");
    return 0;
}

int service_publish_paths(struct rpd_service *service, struct error *error)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        if (listener_publish(&service->attachments[i].listener, error) < 0)
            return -1;
    return 0;
}

void service_turn_away(const struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++) {
        const struct rpd_listener *listener = &service->attachments[i].listener;

        if (listener->way == LISTENER_ADOPTED && listener->fd >= 0)
            adoption_turn_away(listener->fd);
    }
}

void service_unbind(struct rpd_service *service)
{
    for (size_t i = 0; i < service->attachment_count; i++)
        listener_close(&service->attachments[i].listener);
}
