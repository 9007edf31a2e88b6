/* A service's timers. See rpd/job.h. All of it is [loop]. */
#ifndef FRAMEWORK_TIMERS_H
#define FRAMEWORK_TIMERS_H

#include "guard/foreign.h"

#include <rpd/job.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;

struct timers {
    struct event_base *base;
    struct rpd_service *service;
    uint64_t *const *metrics;
    struct foreign_owner owner;
    bool closed, is_in_call;
    LIST_HEAD(timer_list, rpd_timer_handle) list;
};

struct rpd_timer_handle *timers_start(struct timers *timers, unsigned milliseconds, rpd_timer_fn fn,
                                      void *arg);
void timers_cancel(struct rpd_timer_handle *timer);

/* No timer is called any more, and none is made. Legal at any time after the list is
 * initialized. */
void timers_close(struct timers *timers);

#endif
