/* Around each call of a backend on the loop but the data path's, which does the same more cheaply
 * (conn_call()): the crash line knows of it, it is counted, and how long it takes is measured. */
#ifndef FRAMEWORK_CALLBACK_H
#define FRAMEWORK_CALLBACK_H

#include "base/clock.h"
#include "guard/foreign.h"
#include "publish/metrics_page.h"

struct callback {
    uint64_t *const *metrics;
    enum metric_callback kind;
    uint64_t began_us, outer_us; /* of the one that it is called from; 0: none */
};

static inline struct callback callback_enter(uint64_t *const *metrics, enum metric_callback kind,
                                             struct foreign_owner owner, foreign_code code)
{
    const struct callback call = {metrics, kind, clock_us(), foreign_began_us()};

    foreign_set_began_us(call.began_us);
    foreign_enter(owner, code);
    return call;
}

static inline void callback_leave(const struct callback *call)
{
    foreign_leave();
    foreign_set_began_us(call->outer_us);
    rpd_metric_add_alone(call->metrics[METRIC_CALLBACKS + (int)call->kind], 1);
    rpd_metric_observe(call->metrics[METRIC_CALLBACK_TIME + (int)call->kind],
                       clock_us() - call->began_us);
}

#endif
