/* What the control socket says: answers to requests, and events for watchers. Both are lines of
 * JSON, which rpd-control(7) describes. All functions are [loop]. */
#ifndef FRAMEWORK_CONTROL_REPLY_H
#define FRAMEWORK_CONTROL_REPLY_H

#include "service/service.h"

/* In a keeper: its runner has clients that the keeper does not know, and writes log lines of its
 * own. */
struct control_relay {
    /* The level of this service's log has changed. */
    void (*level)(void *arg, const struct rpd_service *service, enum rpd_log_level level);
    /* Passes a request to the runner; control_answer() follows with this number. False: there is no
     * runner to answer. */
    bool (*ask)(void *arg, uint64_t number, const char *request, size_t size);
};

/* The services that requests are about. */
struct control_subject {
    struct rpd_service *services;
    size_t service_count;
    bool completes; /* in a runner: requests come from its keeper, with the keeper's part of the
                     * answer */
    const struct control_relay *relay; /* in a keeper; otherwise NULL */
    void *relay_arg;
};

/* The result of a request. */
struct control_reply {
    char *line;   /* with its newline; the caller frees it; NULL if out of memory, or if is_asked */
    bool watches; /* the client watches phases from now on */
    bool is_asked;   /* the runner will answer later */
    uint64_t number; /* set by the caller: the number of the request, if is_asked */
};

/* The request has no newline, and may be any bytes. */
void control_reply(const struct control_subject *subject, const char *request, size_t size,
                   struct control_reply *reply);

/* The answer to bytes that are not a request. */
char *control_refusal(const char *why);

/* The event that says that a service has entered this phase. */
char *control_event(const struct rpd_service *service, enum rpd_phase phase);

#endif
