/* The numbers that kv declares: see rpd/metrics.h. What the store counts itself is shown by each
 * tick. */
#ifndef KV_METRICS_H
#define KV_METRICS_H

#include "command.h"

#include <rpd/backend.h>

struct kv;

/* Rows of the table. */
enum {
    KV_HITS,
    KV_MISSES,
    KV_EXPIRED,
    KV_EVICTED,
    KV_KEYS,
    KV_MEMORY,
    KV_CHANGES,
    KV_LAST_SAVE,
    KV_SAVED,
    KV_NOT_SAVED,
    KV_CALLED_OFF,
    KV_SAVE_TIME,
    KV_TIMES,                  /* and one for each further group of commands */
    KV_COMMANDS = KV_TIMES + 7 /* and one for each command */
};

enum { METRICS_COMMANDS = 128, METRICS_MEASURED = 64 };

struct metrics {
    uint64_t *const *values;
    const struct command *first; /* of the table of commands */
    /* By a command's place in the table: */
    uint64_t *commands[METRICS_COMMANDS], *times[METRICS_COMMANDS];
};

extern const struct rpd_metric kv_metrics[];

/* [worker] */
void metrics_init(struct metrics *metrics, const struct rpd_service *service);

/* [loop] */
void metrics_show(const struct kv *kv);

#endif
