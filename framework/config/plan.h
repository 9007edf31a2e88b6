/* What it takes to get from one configuration to another: each key whose value differs, with both
 * values and how the change takes effect. */
#ifndef FRAMEWORK_CONFIG_PLAN_H
#define FRAMEWORK_CONFIG_PLAN_H

#include "config/config.h"
#include "config/keys.h"

struct plan_change {
    const struct config_key *key;
    enum config_effect effect;
    char *path;                /* "services[echo].limits.clients" */
    char *old_text, *new_text; /* NULL: not set */
};

/* Starts as all zeros. The changes are in the order of their paths. */
struct plan {
    struct plan_change *changes;
    size_t count;
};

/* A configuration with the names of its services, as they run. */
struct plan_side {
    const struct config *config;
    const char *const *names;
};

/* Whether a running service takes new options while it serves. */
typedef bool (*plan_takes_options_fn)(const void *arg, const char *service);

/* [start][loop] 0, or -1 without memory. Finish the plan in both cases. */
int plan_make(struct plan *plan, const struct plan_side *old_side, const struct plan_side *new_side,
              plan_takes_options_fn takes_options, const void *arg);
void plan_finish(struct plan *plan);

bool plan_has(const struct plan *plan, enum config_effect effect);

/* "workers, services[echo].plugin": the keys that take effect so; a long list is cut. */
void plan_name_keys(const struct plan *plan, enum config_effect effect, char *ret, size_t size);

#endif
