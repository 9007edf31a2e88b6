/* Metrics: SERVICE.metrics in the run-time directory. It is shared memory in which rpd and the
 * backend of one service count, and which others can read. `rpdctl metrics` prints it as
 * OpenMetrics text.
 *
 * A backend declares its metrics in a table:
 *
 *     enum { HITS, KEYS, SAVE_TIME };
 *     static const struct rpd_metric metrics[] = {
 *         [HITS] = RPD_COUNTER("kv_hits", "", "Lookups that found their key"),
 *         [KEYS] = RPD_GAUGE("kv_keys", "", "Keys in the store"),
 *         [SAVE_TIME] = RPD_HISTOGRAM("kv_save", "us", "Duration of a snapshot"),
 *         RPD_METRICS_END};
 *
 *     RPD_BACKEND(kv, ..., .metrics = metrics);
 *
 * and refers to them by their place in it, on any thread:
 *
 *     uint64_t *const *m = rpd_service_metrics(service);
 *     rpd_metric_add(m[HITS], 1);
 *
 * Two names have a meaning for `rpdctl doctor`, which warns of old snapshots: NAME_last_save, a
 * gauge with the time of the last snapshot, in seconds since 1970 (0: none is kept), and
 * NAME_unsaved_changes, a gauge with the number of changes since then.
 *
 * Adding is one atomic instruction on memory that is always mapped: it takes no lock, makes no call
 * and cannot fail.
 *
 * Like the state page (state.h), the file needs no socket and no loop: the numbers of a service
 * that is stuck, or whose process is stopped, can still be read. Read the whole file with one
 * pread, and never write it. Each number is valid by itself, but the numbers are not a snapshot of
 * one moment.
 *
 * The layout is frozen. The first 64 bytes never change, in any layout; the rest changes only with
 * the layout number, except that a new field may take reserved space. */
#ifndef RPD_METRICS_H
#define RPD_METRICS_H

#include <rpd/base.h>

RPD_BEGIN

/* ---- what a backend declares ---------------------------------------------------------- */

enum rpd_metric_type {
    RPD_METRIC_NONE = 0,
    RPD_METRIC_COUNTER = 1,  /* only grows */
    RPD_METRIC_GAUGE = 2,    /* is set, grows and shrinks */
    RPD_METRIC_HISTOGRAM = 3 /* of whole numbers, such as microseconds */
};

/* name: at most 47 lower-case letters, digits and _; not "rpd_...", and without the unit or
 * "_total", which readers add. unit: "us" or "ms" (shown in seconds), "bytes", or any other word of
 * at most 15 characters; "": none. labels: "key=value", separated by newlines; NULL: none. Rows
 * with the same name stand together, have the same type and unit, and differ in their labels. */
struct rpd_metric {
    const char *name, *unit, *meaning, *labels;
    enum rpd_metric_type type;
};

enum { RPD_METRICS_MAX = 1000 }; /* how many rows a backend may have */

/* clang-format off */
#define RPD_COUNTER(name, unit, meaning) {name, unit, meaning, NULL, RPD_METRIC_COUNTER}
#define RPD_COUNTER_OF(name, labels, unit, meaning) {name, unit, meaning, labels, RPD_METRIC_COUNTER}
#define RPD_GAUGE(name, unit, meaning) {name, unit, meaning, NULL, RPD_METRIC_GAUGE}
#define RPD_GAUGE_OF(name, labels, unit, meaning) {name, unit, meaning, labels, RPD_METRIC_GAUGE}
#define RPD_HISTOGRAM(name, unit, meaning) {name, unit, meaning, NULL, RPD_METRIC_HISTOGRAM}
#define RPD_HISTOGRAM_OF(name, labels, unit, meaning) {name, unit, meaning, labels, RPD_METRIC_HISTOGRAM}
#define RPD_METRICS_END {NULL, NULL, NULL, NULL, RPD_METRIC_NONE}
/* clang-format on */

struct rpd_service;

/* [any] Returns one pointer for each row of the backend's table, in the order of the table, for the
 * functions below. The pointers are valid, and do not change, from claim() on until the service has
 * stopped. */
RPD_API uint64_t *const *rpd_service_metrics(const struct rpd_service *service);

/* ---- adding --------------------------------------------------------------------------- */

/* [any] Adds to a counter or a gauge; for a gauge, amount may be negative. */
static inline void rpd_metric_add(uint64_t *metric, int64_t amount)
{
    __atomic_fetch_add(metric, (uint64_t)amount, __ATOMIC_RELAXED);
}

/* Likewise, but cheaper: for a metric to which only one thread ever adds, such as the loop's. */
static inline void rpd_metric_add_alone(uint64_t *metric, int64_t amount)
{
    __atomic_store_n(metric, __atomic_load_n(metric, __ATOMIC_RELAXED) + (uint64_t)amount,
                     __ATOMIC_RELAXED);
}

/* [any] Sets a gauge. */
static inline void rpd_metric_set(uint64_t *metric, int64_t value)
{
    __atomic_store_n(metric, (uint64_t)value, __ATOMIC_RELAXED);
}

/* A histogram is log-linear: values below 4 have a bucket each, and each power of two above has
 * four. So a value read from it is at most a quarter too high. */
enum {
    RPD_HISTOGRAM_STEPS = 4,
    RPD_HISTOGRAM_BUCKETS = 149 /* the last one: 2^38 and above, which is 3 days in microseconds */
};

struct rpd_histogram {
    uint64_t sum; /* of all values */
    uint64_t buckets[RPD_HISTOGRAM_BUCKETS];
};

static inline unsigned rpd_histogram_bucket(uint64_t value)
{
    unsigned power;

    if (value < RPD_HISTOGRAM_STEPS)
        return (unsigned)value;
    if (value >> 38)
        return RPD_HISTOGRAM_BUCKETS - 1;
    power = 63u - (unsigned)__builtin_clzll(value);
    return (power - 1) * RPD_HISTOGRAM_STEPS +
           (unsigned)(value >> (power - 2)) % RPD_HISTOGRAM_STEPS;
}

/* The smallest value of a bucket. */
static inline uint64_t rpd_histogram_from(unsigned bucket)
{
    return bucket < RPD_HISTOGRAM_STEPS
               ? bucket
               : (uint64_t)(RPD_HISTOGRAM_STEPS + bucket % RPD_HISTOGRAM_STEPS)
                     << (bucket / RPD_HISTOGRAM_STEPS - 1);
}

/* [any] Adds one value to a histogram. */
static inline void rpd_metric_observe(uint64_t *metric, uint64_t value)
{
    __atomic_fetch_add(metric, value, __ATOMIC_RELAXED);
    __atomic_fetch_add(metric + 1 + rpd_histogram_bucket(value), 1, __ATOMIC_RELAXED);
}

/* ---- the file --------------------------------------------------------------------------- */

#define RPD_METRICS_MAGIC "rpdmtrcs" /* 8 bytes, no NUL */
enum { RPD_METRICS_LAYOUT = 1, RPD_METRICS_SIZE_MAX = 4 * 1024 * 1024 };

/* One row. rpd's own come first, then the backend's, then those that appear at run time with the
 * parts of the load. */
struct rpd_metric_entry {
    char name[48]; /* texts end in a NUL */
    char unit[16];
    char labels[64]; /* as in struct rpd_metric; "": none */
    char meaning[112];
    uint32_t type; /* enum rpd_metric_type */
    uint32_t at;   /* offset of its value in the file: an int64_t, or struct rpd_histogram */
    uint32_t reserved[2];
};

struct rpd_metrics_page {
    /* In every layout: */
    char magic[8];
    uint32_t layout;
    uint32_t size; /* of the file */
    uint32_t pid;
    uint32_t entry_count; /* only grows */
    uint64_t start_time;  /* of pid: field 22 of /proc/PID/stat */
    uint8_t boot_id[16];  /* /proc/sys/kernel/random/boot_id, in binary */
    uint32_t entries_at;  /* offset of the first entry in the file */
    uint32_t entry_size;  /* from one entry to the next */
    uint64_t reserved_for_ever;

    /* Layout 1: */
    char service[64];
    char build[64]; /* of rpd */
    uint64_t reserved[8];
};

RPD_END
#endif
