/* Log lines about what may happen often: at most one a second each.
 *
 * A log_count is for events: those of a second become one line with their
 * number. A log_state is for what begins and ends: a line when it begins and a
 * line when it ends; what was over before a line was due is not reported.
 * All of it is [loop]. */
#ifndef FRAMEWORK_LOG_RATE_H
#define FRAMEWORK_LOG_RATE_H

#include "library/libevent.h"

#include <rpd/base.h>

/* When the next line may be written. */
struct log_gate {
    struct event due;
    uint64_t last_us;
    bool is_due;
};

struct log_count {
    struct log_gate gate;
    const char *subject;
    const char *noun;
    char *text; /* NULL: there was no memory for it */
    size_t count;
};

/* The line will be "3 clients TEXT", if the noun is "client". subject and noun
 * stay the caller's. */
void log_count_init(struct log_count *log, struct event_base *base, const char *subject,
                    const char *noun, const char *format, ...) RPD_PRINTF(5, 6);
void log_count_add(struct log_count *log);

/* Writes what is left to say. Legal, like log_state_finish(), where there was no
 * init. */
void log_count_finish(struct log_count *log);

struct log_state {
    struct log_gate gate;
    const char *subject;
    const char *end_text;
    char begin_text[160];
    unsigned holders;
    bool told;
};

/* subject and end_text stay the caller's. */
void log_state_init(struct log_state *log, struct event_base *base, const char *subject,
                    const char *end_text);

/* Several may hold the state: it begins with the first, whose text is logged,
 * and ends with the last. */
void log_state_begin(struct log_state *log, const char *format, ...) RPD_PRINTF(2, 3);
void log_state_end(struct log_state *log);
void log_state_finish(struct log_state *log);

#endif
