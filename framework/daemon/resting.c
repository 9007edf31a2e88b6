/* Whether the loop may rest. See resting.h. */
#include "daemon/resting.h"

#include "base/log.h"

enum {
    LONGEST_US = 20000000,
    SHORTEST_US = 1000000, /* a shorter one is not worth it */
    AWAKE_US = 1000000     /* at least, between two: what has ended one may not be over */
};

static bool nothing_is_under_way(const struct resting *resting, uint64_t now_us)
{
    for (size_t i = 0; i < resting->service_count; i++)
        if (!service_may_rest(&resting->services[i], now_us))
            return false;
    return resting->place_pool->taken == 0 && control_may_rest(resting->control) &&
           resting->orphans->count == 0 && !log_owes_left_out();
}

/* When all services will be idle; UINT64_MAX: never. */
static uint64_t idle_due_us(const struct resting *resting)
{
    uint64_t due_us = 0;

    for (size_t i = 0; i < resting->service_count; i++) {
        const uint64_t service_us = service_idle_due_us(&resting->services[i]);

        due_us = service_us > due_us ? service_us : due_us;
    }
    return due_us;
}

static uint64_t sooner(uint64_t one_us, uint64_t other_us)
{
    return one_us < other_us ? one_us : other_us;
}

uint64_t resting_until(const struct resting *resting, uint64_t now_us)
{
    uint64_t until_us = now_us + LONGEST_US;

    if (now_us - resting->woken_us < AWAKE_US || !resting->path_watch->is_complete ||
        !moving_may_rest(resting->moving) || !nothing_is_under_way(resting, now_us))
        return 0;
    until_us = sooner(until_us, notify_rests_until_us(resting->notify));
    until_us = sooner(until_us, idle_due_us(resting));
    return until_us >= now_us + SHORTEST_US ? until_us : 0;
}
