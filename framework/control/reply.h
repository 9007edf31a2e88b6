/* What the control socket says: answers to requests, and events for watchers. Both are lines of
 * JSON, which rpd-control(7) describes. All functions are [loop]. */
#ifndef FRAMEWORK_CONTROL_REPLY_H
#define FRAMEWORK_CONTROL_REPLY_H

#include "service/service.h"

/* The services that requests are about. */
struct control_subject {
    struct rpd_service *services;
    size_t service_count;
};

/* Returns the answer with its newline, which the caller frees; NULL if out of memory. The request
 * has no newline, and may be any bytes. *ret_watches becomes true if the client watches phases from
 * now on. */
char *control_reply(const struct control_subject *subject, const char *request, size_t size,
                    bool *ret_watches);

/* The answer to bytes that are not a request. */
char *control_refusal(const char *why);

/* The event that says that a service has entered this phase. */
char *control_event(const struct rpd_service *service, enum rpd_phase phase);

#endif
