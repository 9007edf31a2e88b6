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

static void add_part(void *arg, const char *part, uint64_t us)
{
    add(arg, "part", part, us);
}

void service_note_times(const struct rpd_service *service)
{
    const struct metrics_page *page = &service->metrics;
    uint64_t *const *metrics = page->kept ? page->made : page->metrics;
    struct line line = {.service = service->name};

    if (!metrics)
        return;
    add(&line, "all", "ready", __atomic_load_n(metrics[METRIC_READY_AFTER], __ATOMIC_RELAXED));
    for (int i = METRIC_START_STEP; i <= METRIC_START_STEP_LAST; i++)
        add(&line, "step", metrics_own_label((enum metric)i),
            __atomic_load_n(metrics[i], __ATOMIC_RELAXED));
    metrics_page_visit_parts(page, add_part, &line);
    flush(&line);
}
