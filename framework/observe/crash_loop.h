/* Whether a service is in a crash loop, by its history, and how long it is to be
 * left alone. Plain arithmetic: no file, no clock of its own. */
#ifndef FRAMEWORK_CRASH_LOOP_H
#define FRAMEWORK_CRASH_LOOP_H

#include "observe/history_view.h"

#include <stddef.h>
#include <stdint.h>

/* A run counts as failed if it ended with another code than 0 before it was
 * bound, or within a minute from then; 75, "already running", is no failure. From the third
 * in a row on the next start has to wait 1, 2, 4 ... 60 seconds, counted from the
 * last end. What failed ten minutes before the next one does not count any more. */
struct crash_loop {
    unsigned failures; /* in a row, up to now */
    uint64_t left_ms;  /* no start before; 0: now */
};

/* entries: oldest first, as history_view_read() gives them. now_ms of CLOCK_REALTIME. changed_ms:
 * when the configuration or a plugin was last changed: what failed before that is
 * no reason to wait. */
struct crash_loop crash_loop_judge(const struct history_entry *entries, size_t count,
                                   uint64_t now_ms, uint64_t changed_ms);

#endif
