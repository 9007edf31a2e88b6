/* How long the start of a service took, step by step and part by part: a line or some in its
 * history (guard/outcome.h), for `rpdctl timeline`. */
#include "guard/outcome.h"
#include "service/service.h"

#include <stdio.h>
#include <string.h>

enum { ROOM = 900 }; /* of a line: readers have 1024 bytes for it */

struct line {
    const char *service;
    char text[ROOM];
    size_t used;
};

static void flush(struct line *line)
{
    if (line->used > 0)
        outcome_timed(line->service, line->text);
    line->used = 0;
}

/* "step bind=120;": what ends a name or a value must not be in a name. */
static void add(struct line *line, const char *kind, const char *name, uint64_t us)
{
    char item[128];
    const int size = snprintf(item, sizeof item, "%s %.60s=%llu;", kind, name,
                              (unsigned long long)us);

    for (char *at = item; at < item + size - 1; at++)
        if (*at == ';' || (*at == '=' && at < strrchr(item, '=')))
            *at = '_';
    if (line->used + (size_t)size >= sizeof line->text)
        flush(line);
    memcpy(line->text + line->used, item, (size_t)size + 1);
    line->used += (size_t)size;
}

void service_note_times(const struct rpd_service *service, uint64_t ready_after_us)
{
    const struct metrics_page *page = &service->metrics;
    struct line line = {.service = service->name};

    add(&line, "all", "ready", ready_after_us);
    for (int i = METRIC_START_STEP; i <= METRIC_START_STEP_LAST; i++)
        add(&line, "step", metrics_own_label((enum metric)i),
            __atomic_load_n(page->metrics[i], __ATOMIC_RELAXED));
    for (size_t i = 0; i < page->added_count; i++)
        add(&line, "part", strchr(page->added[i].labels, '=') + 1, metrics_page_added(page, i));
    flush(&line);
}
