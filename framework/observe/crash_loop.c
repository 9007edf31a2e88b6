/* Crash loops. See crash_loop.h. */
#include "observe/crash_loop.h"

#include "base/error.h"

#include <stdbool.h>

enum { SHORT_RUN_MS = 60000, FORGOTTEN_MS = 600000, FREE_FAILURES = 2, PAUSE_MAX_S = 60 };

static uint64_t bound_ms(const struct history_entry *entries, size_t end)
{
    for (size_t i = end; i-- > 0;)
        if (!entries[i].ended && entries[i].pid == entries[end].pid &&
            entries[i].start_time == entries[end].start_time)
            return entries[i].time_ms;
    return entries[end].time_ms;
}

static bool has_failed(const struct history_entry *entries, size_t end)
{
    const struct history_entry *entry = &entries[end];

    return entry->code != 0 && entry->code != EXIT_RUNNING &&
           entry->time_ms < bound_ms(entries, end) + SHORT_RUN_MS;
}

static unsigned count_failures(const struct history_entry *entries, size_t count, uint64_t now_ms,
                               uint64_t changed_ms)
{
    uint64_t next_ms = now_ms;
    unsigned failures = 0;

    for (size_t i = count; i-- > 0;) {
        const struct history_entry *entry = &entries[i];

        if (!entry->ended || entry->code == EXIT_RUNNING)
            continue;
        /* Of a clock that was put back, nothing can be said. */
        if (!has_failed(entries, i) || entry->time_ms < changed_ms || entry->time_ms > next_ms ||
            next_ms - entry->time_ms > FORGOTTEN_MS)
            break;
        failures++;
        next_ms = entry->time_ms;
    }
    return failures;
}

static uint64_t pause_ms(unsigned failures)
{
    unsigned pause_s = 1;

    if (failures <= FREE_FAILURES)
        return 0;
    for (unsigned i = FREE_FAILURES + 1; i < failures && pause_s < PAUSE_MAX_S; i++)
        pause_s *= 2;
    return 1000 * (uint64_t)(pause_s < PAUSE_MAX_S ? pause_s : PAUSE_MAX_S);
}

static uint64_t last_end_ms(const struct history_entry *entries, size_t count)
{
    for (size_t i = count; i-- > 0;)
        if (entries[i].ended && entries[i].code != EXIT_RUNNING)
            return entries[i].time_ms;
    return 0;
}

struct crash_loop crash_loop_judge(const struct history_entry *entries, size_t count,
                                   uint64_t now_ms, uint64_t changed_ms)
{
    struct crash_loop loop = {.failures = count_failures(entries, count, now_ms, changed_ms)};
    const uint64_t due_ms = last_end_ms(entries, count) + pause_ms(loop.failures);

    if (loop.failures > 0 && due_ms > now_ms)
        loop.left_ms = due_ms - now_ms;
    return loop;
}
