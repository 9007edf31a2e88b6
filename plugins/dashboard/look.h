/* One look at the services of the run-time directory: their pages and histories are read, and made
 * into the texts that were asked for. No service is asked. */
#ifndef DASHBOARD_LOOK_H
#define DASHBOARD_LOOK_H

#include <stdbool.h>
#include <stddef.h>

enum look_kind { LOOK_STATUS, LOOK_OPENMETRICS, LOOK_TEXT_0_0_4, LOOK_KINDS };

struct look {
    const char *own_service;
    unsigned refresh_ms;
    bool wanted[LOOK_KINDS];
    char *texts[LOOK_KINDS]; /* NULL: not wanted, or it failed */
    size_t sizes[LOOK_KINDS];
    char error[512]; /* why it failed */
};

/* [worker] look_finish() is due. */
void look_read(struct look *look);
void look_finish(struct look *look);

#endif
