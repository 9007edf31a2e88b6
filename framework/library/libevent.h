/* libevent, as librpd uses it: loaded once the endpoints are up (late_library.h).
 * The names below stand for the entries of the table. */
#ifndef FRAMEWORK_LIBEVENT_H
#define FRAMEWORK_LIBEVENT_H

#include "base/error.h"
#include "library/late_library.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <stdbool.h>

/* clang-format off */
#define LIBEVENT_FUNCTIONS(X) \
    X(event_active) X(event_add) X(event_assign) \
    X(event_base_free) X(event_base_loop) X(event_base_loopbreak) \
    X(event_base_new_with_config) X(event_config_free) X(event_config_new) \
    X(event_config_set_flag) X(event_del) X(event_free) \
    X(event_get_base) X(event_new) X(event_pending) X(event_set_fatal_callback) X(event_set_log_callback) \
    X(libevent_global_shutdown)
/* clang-format on */

struct libevent {
    LIBEVENT_FUNCTIONS(LATE_FUNCTION)
};

extern struct libevent libevent;

/* [start] Call this before any of the functions. */
int libevent_load(struct error *error);

/* [start] Calls late_library_lend(). Returns the library's name, or NULL. */
const char *libevent_lend(const char *dlopen_error);

#define event_active(...) libevent.event_active(__VA_ARGS__)
#define event_add(...) libevent.event_add(__VA_ARGS__)
#define event_assign(...) libevent.event_assign(__VA_ARGS__)
#define event_base_free(...) libevent.event_base_free(__VA_ARGS__)
#define event_base_loop(...) libevent.event_base_loop(__VA_ARGS__)
#define event_base_loopbreak(...) libevent.event_base_loopbreak(__VA_ARGS__)
#define event_base_new_with_config(...) libevent.event_base_new_with_config(__VA_ARGS__)
#define event_config_free(...) libevent.event_config_free(__VA_ARGS__)
#define event_config_new(...) libevent.event_config_new(__VA_ARGS__)
#define event_config_set_flag(...) libevent.event_config_set_flag(__VA_ARGS__)
#define event_del(...) libevent.event_del(__VA_ARGS__)
#define event_free(...) libevent.event_free(__VA_ARGS__)
#define event_get_base(...) libevent.event_get_base(__VA_ARGS__)
#define event_new(...) libevent.event_new(__VA_ARGS__)
#define event_pending(...) libevent.event_pending(__VA_ARGS__)
#define event_set_fatal_callback(...) libevent.event_set_fatal_callback(__VA_ARGS__)
#define event_set_log_callback(...) libevent.event_set_log_callback(__VA_ARGS__)
#define libevent_global_shutdown(...) libevent.libevent_global_shutdown(__VA_ARGS__)

/* The state of an event in libevent, read without a call. It is watched: for input or output. It is
 * due: it waits for a time-out, or its callback is about to run. */
static inline bool event_is_watched(const struct event *event)
{
    return event->ev_evcallback.evcb_flags & EVLIST_INSERTED;
}

static inline bool event_is_due(const struct event *event)
{
    return event->ev_evcallback.evcb_flags & (EVLIST_TIMEOUT | EVLIST_ACTIVE | EVLIST_ACTIVE_LATER);
}

#endif
