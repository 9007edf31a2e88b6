/* The state of all services of a configuration, at one look. */
#ifndef FRAMEWORK_ENSURE_LOOK_H
#define FRAMEWORK_ENSURE_LOOK_H

#include "observe/instance.h"
#include "rpdctl/ensure/request.h"

#include <stdbool.h>
#include <stddef.h>

enum ensure_picture {
    ENSURE_RUNS,      /* all in one process, bound */
    ENSURE_UNSETTLED, /* one is on its way up or down */
    ENSURE_ELSEWHERE, /* some live, but not as asked for */
    ENSURE_ABSENT
};

/* instances: of the request's services, in their order, or all zero; the instances of the look
 * before are finished. */
enum ensure_picture ensure_look(const struct ensure_request *request, struct instance *instances);

/* Whether this service is on its way up or down. */
bool ensure_look_is_unsettled(const struct instance *instance);

/* "a runs as pid 7 from /etc/a.json, b is not running"; a text that has no room is cut off. */
void ensure_look_describe(const struct instance *instances, size_t count, char *ret_text,
                          size_t size);

#endif
