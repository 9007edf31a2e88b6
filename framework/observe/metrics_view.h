/* Metrics, from the side that reads them: SERVICE.metrics (rpd/metrics.h) as a list of rows that
 * can be believed as far as their form goes. Nothing here asks the service, or waits. libc only:
 * readers that are no part of the daemon are built with it, too. */
#ifndef FRAMEWORK_METRICS_VIEW_H
#define FRAMEWORK_METRICS_VIEW_H

#include <rpd/metrics.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics_label {
    char key[32], value[64];
};

struct metrics_row {
    char name[48], unit[16]; /* words of small letters, digits and _ */
    char meaning[112];       /* UTF-8, without control characters, as are values of labels */
    enum rpd_metric_type type;
    struct metrics_label labels[4];
    size_t label_count;
    int64_t value;                  /* of a counter or a gauge */
    struct rpd_histogram histogram; /* of a histogram */
};

struct metrics_view {
    uint32_t pid;
    uint64_t start_time;
    struct metrics_row *rows;
    size_t count;
};

/* [any] Rows that are none are left out. 0, or -1 and errno: ENOENT there is no such file; EPROTO
 * it is no page of metrics, or one of another layout; EINVAL no service can have that name.
 * metrics_view_finish() is due in any case. */
int metrics_view_read(int runtime_dirfd, const char *service, struct metrics_view *ret);
void metrics_view_finish(struct metrics_view *view);

/* [any] How many values are in it; and the value below which that part of them is, 0 to 1, as far
 * as the buckets tell. */
uint64_t metrics_histogram_count(const struct rpd_histogram *histogram);
uint64_t metrics_histogram_quantile(const struct rpd_histogram *histogram, double part);

#endif
