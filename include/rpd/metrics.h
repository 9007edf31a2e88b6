/* Metrics: SERVICE.metrics in the run-time directory, the numbers of one service, which rpd and its
 * backend add to in memory that others can read. `rpdctl metrics` prints them as OpenMetrics text.
 *
 * A backend declares its own in a table:
 *
 *     enum { HITS, KEYS, SAVE_TIME };
 *     static const struct rpd_metric metrics[] = {
 *         [HITS] = RPD_COUNTER("kv_hits", "", "Keys that were looked for and found"),
 *         [KEYS] = RPD_GAUGE("kv_keys", "", "Keys that there are"),
 *         [SAVE_TIME] = RPD_HISTOGRAM("kv_save", "us", "How long a snapshot took"),
 *         RPD_METRICS_END};
 *
 *     RPD_BACKEND(kv, ..., .metrics = metrics);
 *
 * and adds by their place in it, on any thread:
 *
 *     uint64_t *const *m = rpd_service_metrics(service);
 *     rpd_metric_add(m[HITS], 1);
 *
 * Adding is one plain atomic instruction on memory that is mapped all the time: it takes no lock,
 * calls nothing and cannot fail.
 *
 * The file needs no socket and no loop, as the state page (state.h): the numbers of a service that
 * is stuck, or whose process is stopped, can still be read. Read it whole (one pread), never write
 * it. Each number is valid by itself; numbers are not a snapshot of one moment.
 *
 * The layout is frozen. The first 64 bytes stay for ever, in every layout; the rest stays within a
 * layout number, where fields are only taken from what is reserved. */
#ifndef RPD_METRICS_H
#define RPD_METRICS_H

#include <rpd/base.h>

RPD_BEGIN

/* ---- what a backend declares ---------------------------------------------------------- */

enum rpd_metric_type {
    RPD_METRIC_NONE = 0,
    RPD_METRIC_COUNTER = 1,  /* only grows */
    RPD_METRIC_GAUGE = 2,    /* is set; grows and shrinks */
    RPD_METRIC_HISTOGRAM = 3 /* of whole numbers, such as microseconds */
};

/* name: small letters, digits and _, at most 47; not "rpd_...", and without the unit or
 * "_total", which readers add. unit: "us" and "ms" (read as seconds), "bytes", or any other word of
 * at most 15; "": none. labels: "key=value", further ones after a newline each; NULL: none. Rows of
 * one name stand together, have one type and unit, and differ in their labels. */
struct rpd_metric {
    const char *name, *unit, *meaning, *labels;
    enum rpd_metric_type type;
};

enum { RPD_METRICS_MAX = 1000 }; /* rows of a backend, at most */

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

/* [any] One pointer for each row of the backend's table, in its order, to be added to with the
 * functions below. They stay the same, and valid, from claim() on until the service has stopped. */
RPD_API uint64_t *const *rpd_service_metrics(const struct rpd_service *service);

/* ---- adding --------------------------------------------------------------------------- */

/* [any] A counter grows; a gauge changes (by a negative amount, too). */
static inline void rpd_metric_add(uint64_t *metric, int64_t amount)
{
    __atomic_fetch_add(metric, (uint64_t)amount, __ATOMIC_RELAXED);
}

/* The same, cheaper, of a metric that only one thread ever adds to: the loop's, say. */
static inline void rpd_metric_add_alone(uint64_t *metric, int64_t amount)
{
    __atomic_store_n(metric, __atomic_load_n(metric, __ATOMIC_RELAXED) + (uint64_t)amount,
                     __ATOMIC_RELAXED);
}

/* [any] A gauge is this now. */
static inline void rpd_metric_set(uint64_t *metric, int64_t value)
{
    __atomic_store_n(metric, (uint64_t)value, __ATOMIC_RELAXED);
}

/* A histogram is log-linear: values below 4 have a bucket each, and each power of two above has
 * four. So what is read of it is at most a quarter too high. */
enum {
    RPD_HISTOGRAM_STEPS = 4,
    RPD_HISTOGRAM_BUCKETS = 149 /* the last one: 2^38 and above; of microseconds that is 3 days */
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

/* [any] A histogram gets one more value. */
static inline void rpd_metric_observe(uint64_t *metric, uint64_t value)
{
    __atomic_fetch_add(metric, value, __ATOMIC_RELAXED);
    __atomic_fetch_add(metric + 1 + rpd_histogram_bucket(value), 1, __ATOMIC_RELAXED);
}

/* ---- the file --------------------------------------------------------------------------- */

#define RPD_METRICS_MAGIC "rpdmtrcs" /* 8 bytes, no NUL */
enum { RPD_METRICS_LAYOUT = 1, RPD_METRICS_SIZE_MAX = 4 * 1024 * 1024 };

/* One row: what rpd's own come first, then the backend's, then those that appear while it runs,
 * with the parts of its load. */
struct rpd_metric_entry {
    char name[48]; /* texts end in a NUL */
    char unit[16];
    char labels[64]; /* as of struct rpd_metric; "": none */
    char meaning[112];
    uint32_t type; /* enum rpd_metric_type */
    uint32_t at;   /* where its value is in the file: an int64_t, or struct rpd_histogram */
    uint32_t reserved[2];
};

struct rpd_metrics_page {
    /* For ever: */
    char magic[8];
    uint32_t layout;
    uint32_t size; /* of the file */
    uint32_t pid;
    uint32_t entry_count; /* only grows */
    uint64_t start_time;  /* of pid: field 22 of /proc/PID/stat */
    uint8_t boot_id[16];  /* /proc/sys/kernel/random/boot_id, in binary */
    uint32_t entries_at;  /* where the first is in the file */
    uint32_t entry_size;  /* from one to the next */
    uint64_t reserved_for_ever;

    /* Layout 1: */
    char service[64];
    char build[64]; /* of rpd */
    uint64_t reserved[8];
};

RPD_END
#endif
