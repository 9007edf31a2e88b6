/* Metrics of services as text for Prometheus and its kin: OpenMetrics 1.0, or the older text
 * format 0.0.4. What pages say comes first to last by name; and of each service what its state page
 * and its lock say: whether it lives. libc only. */
#ifndef FRAMEWORK_METRICS_TEXT_H
#define FRAMEWORK_METRICS_TEXT_H

#include "observe/metrics_view.h"
#include "observe/state_view.h"

#include <stdio.h>

enum metrics_format { METRICS_OPENMETRICS, METRICS_TEXT_0_0_4 };

struct metrics_service {
    char name[64];
    enum state_verdict verdict;
    struct rpd_state_page page;
    struct metrics_view view; /* without rows: it has none, or they cannot be read */
    bool has_view;
};

struct metrics_services {
    struct metrics_service *list;
    size_t count;
};

/* [any] Of one service, or of all that have left something (NULL). Nothing is asked, nothing waits.
 * 0, or -1 and errno. metrics_services_finish() is due. */
int metrics_services_read(int runtime_dirfd, const char *service, struct metrics_services *ret);
void metrics_services_finish(struct metrics_services *services);

/* [any] 0, or -1: out of memory. */
int metrics_text_print(const struct metrics_services *services, enum metrics_format format,
                       FILE *to);

/* [any] "rpd_sent_bytes": the name with its unit; of "us" and "ms" that is seconds. */
void metrics_full_name(const struct metrics_row *row, char ret_name[80]);

/* [any] A value of the row in the unit that its full name has. */
double metrics_scale(const struct metrics_row *row);

#endif
