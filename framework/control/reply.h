/* The control socket's words: what is answered to a request, and what watchers
 * are sent. Both are lines of JSON; rpd-control(7) has them. All of it is
 * [loop]. */
#ifndef FRAMEWORK_CONTROL_REPLY_H
#define FRAMEWORK_CONTROL_REPLY_H

#include "service/service.h"

/* In a keeper: its runner knows of clients what the keeper does not, and writes lines of the log.
 */
struct control_relay {
    /* The level of this service's log has changed. */
    void (*level)(void *arg, const struct rpd_service *service, enum rpd_log_level level);
    /* Passes a request on; control_answer() follows with this number. False: no runner can be
     * asked. */
    bool (*ask)(void *arg, uint64_t number, const char *request, size_t size);
};

/* The services that are asked about. */
struct control_subject {
    struct rpd_service *services;
    size_t service_count;
    bool completes; /* in a runner: requests come from its keeper, with what that knows */
    const struct control_relay *relay; /* in a keeper; NULL: this is none */
    void *relay_arg;
};

/* What becomes of a request. */
struct control_reply {
    char *line;      /* with its newline, to be freed; NULL without memory, or if it is asked */
    bool watches;    /* the client watches phases from now on */
    bool is_asked;   /* the answer comes later, by the runner */
    uint64_t number; /* given by the caller: of the request, if it is asked */
};

/* The request comes without newline, and may be anything. */
void control_reply(const struct control_subject *subject, const char *request, size_t size,
                   struct control_reply *reply);

/* The answer to what is no request at all. */
char *control_refusal(const char *why);

/* The service has entered this phase. */
char *control_event(const struct rpd_service *service, enum rpd_phase phase);

#endif
