/* What a buildcache counts, for `rpdctl metrics`: the rows of its table of metrics, by their
 * places. All are added to on the loop. */
#ifndef BUILDCACHE_NUMBERS_H
#define BUILDCACHE_NUMBERS_H

#include <rpd/metrics.h>

enum number {
    NUMBER_HITS_MEMORY,
    NUMBER_HITS_DISK,
    NUMBER_MISSES,
    NUMBER_READ_MEMORY,
    NUMBER_READ_DISK,
    NUMBER_STORED,
    NUMBER_NOT_STORED,
    NUMBER_WRITTEN,
    NUMBER_REMOVED,
    NUMBER_EVICTED,
    NUMBER_EVICTED_BYTES,
    NUMBER_DAMAGED,
    NUMBER_DISK_ERRORS,
    NUMBER_REFUSED,
    NUMBER_OBJECTS,
    NUMBER_OBJECT_BYTES,
    NUMBER_MEMORY_BYTES,
    NUMBER_RESERVED,
    NUMBER_GET_TIME,
    NUMBER_PUT_TIME,
    NUMBER_REMOVE_TIME,
    NUMBERS
};

extern const struct rpd_metric numbers_table[];

#endif
