/* A service's clients, one by one, for those who ask: see `rpdctl clients`. */
#ifndef FRAMEWORK_CLIENTS_VIEW_H
#define FRAMEWORK_CLIENTS_VIEW_H

#include "service/service.h"

struct client_view {
    uint64_t id; /* no other client of this process ever has it */
    int fd;
    uint64_t age_us;
    const char *state;     /* "held", "active", "backend": given to the backend, "closing" */
    const char *waits_for; /* in words */
    bool knows_bytes;      /* of one that the backend has itself rpd does not */
    uint64_t received, sent, input_waits, output_waits;
};

typedef void (*client_visit_fn)(void *arg, const struct client_view *client);

/* [loop] Those with the lowest descriptors, so many at most; how many there are. */
size_t service_visit_clients(const struct rpd_service *service, size_t most, client_visit_fn visit,
                             void *arg);

/* [loop] Ends one: false: there is none with that id. */
bool service_end_client(struct rpd_service *service, uint64_t id);

#endif
