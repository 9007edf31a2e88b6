/* The census of descriptors. See census.h. */
#include "daemon/census.h"

#include "base/descriptors.h"

#include <stddef.h>
#include <sys/resource.h>

enum { EVERY_US = 10 * 1000000 };

static struct census *census_of(struct job *job)
{
    return (struct census *)((char *)job - offsetof(struct census, job));
}

static void count(struct job *job)
{
    census_of(job)->counted = descriptors_count();
}

static void show(struct job *job, bool cancelled)
{
    struct census *census = census_of(job);

    census->runs = false;
    if (cancelled || census->counted == 0)
        return;
    FOR_EACH_SERVICE(census, service)
        rpd_metric_set(service->metrics.metrics[METRIC_DESCRIPTORS], (int64_t)census->counted);
}

void census_begin(struct census *census, struct rpd_service *services, size_t service_count,
                  struct pool *pool)
{
    struct rlimit limit = {0};

    *census = (struct census){.job = {.run = count, .done = show},
                              .services = services,
                              .service_count = service_count,
                              .pool = pool};
    getrlimit(RLIMIT_NOFILE, &limit);
    FOR_EACH_SERVICE(census, service)
        rpd_metric_set(service->metrics.metrics[METRIC_DESCRIPTORS_LIMIT], (int64_t)limit.rlim_cur);
}

void census_look(struct census *census, uint64_t now_us, bool has_clients)
{
    if (!census->pool || census->runs || now_us < census->due_us ||
        (census->due_us > 0 && !has_clients))
        return;
    census->due_us = now_us + EVERY_US;
    /* It takes no place in the queue of clients' jobs. */
    census->runs = pool_submit(census->pool, &census->job, JOB_LOAD) == 0;
}
