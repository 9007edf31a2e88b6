/* The control socket's words: what is answered to a request, and what watchers
 * are sent. Both are lines of JSON; rpd-control(7) has them. All of it is
 * [loop]. */
#ifndef FRAMEWORK_CONTROL_REPLY_H
#define FRAMEWORK_CONTROL_REPLY_H

#include "service/service.h"

/* The services that are asked about. */
struct control_subject {
    struct rpd_service *services;
    size_t service_count;
};

/* The answer, with its newline, to be freed; NULL without memory. The request
 * comes without newline, and may be anything. ret_watches becomes true if the
 * client watches phases from now on. */
char *control_reply(const struct control_subject *subject, const char *request, size_t size,
                    bool *ret_watches);

/* The answer to what is no request at all. */
char *control_refusal(const char *why);

/* The service has entered this phase. */
char *control_event(const struct rpd_service *service, enum rpd_phase phase);

#endif
