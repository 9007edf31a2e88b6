/* The census of descriptors: how many the process has open, for the metrics. To list 10 000 takes
 * milliseconds, so a worker does it, once in a while, and only while there is a client. */
#ifndef FRAMEWORK_CENSUS_H
#define FRAMEWORK_CENSUS_H

#include "service/service.h"
#include "work/pool.h"

struct census {
    struct job job;
    struct rpd_service *services;
    size_t service_count;
    struct pool *pool;
    bool runs;
    size_t counted; /* 0: it could not be */
    uint64_t due_us;
};

/* [loop] */
void census_begin(struct census *census, struct rpd_service *services, size_t count,
                  struct pool *pool);

/* [loop] If it is due, and if clients are there. */
void census_look(struct census *census, uint64_t now_us, bool has_clients);

#endif
