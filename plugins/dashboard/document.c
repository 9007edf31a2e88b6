/* Making /status.json. See document.h.
 *
 * What files say is of others: texts become UTF-8 without control characters, and lists are
 * bounded. A value that is not known is null. */
#include "document.h"

#include "base/safe_text.h"
#include "base/words.h"
#include "observe/history_view.h"
#include "observe/instance.h"
#include "observe/metrics_text.h"
#include "observe/service_names.h"
#include "observe/starts_view.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { VERSION = 1, EVENTS = 12, STARTS = 12 };

/* What is looked at of one service. */
struct seen {
    int runtime_dirfd;
    struct instance instance;
    struct metrics_view metrics; /* without rows: none that can be read */
    struct history_entry events[EVENTS];
    int event_count;
    bool lives;
};

/* ---- values ---------------------------------------------------------------------------------- */

/* NULL becomes null. */
static json_t *text(const char *value)
{
    char *safe = value ? strdup(value) : NULL;
    json_t *json;

    if (!safe)
        return json_null();
    safe_text(safe);
    for (char *at = safe; *at;) {
        bool is_control;
        const size_t size = safe_text_character(at, &is_control);

        if (size == 1 && (unsigned char)*at >= 0x80)
            *at = '?';
        at += size;
    }
    json = json_string(safe);
    free(safe);
    return json;
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *number_or_null(bool is_known, uint64_t value)
{
    return is_known ? number(value) : json_null();
}

static uint64_t now_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ---- what the state page says -----------------------------------------------------------------
 */

static json_t *part(const struct rpd_state_part *at)
{
    return json_pack("{so ss sb so so so sf so si}", "name", text(at->name), "state",
                     word_of_part(at->state), "optional", (at->flags & RPD_PART_OPTIONAL) != 0,
                     "done", number(at->done), "total", number_or_null(at->total > 0, at->total),
                     "unit", text(at->unit), "rate_per_s", (double)at->rate_per_1000s / 1000,
                     "eta_ms", number_or_null(at->eta_ms != RPD_STATE_UNKNOWN, at->eta_ms),
                     "attempts", (int)at->attempts);
}

static json_t *load(const struct rpd_state_page *page)
{
    json_t *parts = json_array();

    for (uint32_t i = 0; i < page->part_count; i++)
        json_array_append_new(parts, part(&page->parts[i]));
    return json_pack("{si si so so}", "permille", (int)page->load_permille, "loaded",
                     (int)page->parts_loaded, "eta_ms",
                     number_or_null(page->load_eta_ms != RPD_STATE_UNKNOWN, page->load_eta_ms),
                     "parts", parts);
}

static json_t *clients(const struct rpd_state_page *page)
{
    return json_pack("{so so so so so so}", "active", number(page->clients_active), "held",
                     number(page->clients_held), "accepted", number(page->clients_accepted),
                     "refused", number(page->clients_refused), "left", number(page->clients_left),
                     "cut", number(page->clients_cut));
}

static json_t *last_error(const struct rpd_state_page *page)
{
    if (page->errors == 0 || !*page->error)
        return json_null();
    return json_pack("{sI so}", "time_s", (json_int_t)page->error_time_s, "text",
                     text(page->error));
}

static json_t *slow_callbacks(const struct rpd_state_page *page)
{
    const bool any = page->slow_callbacks > 0;

    return json_pack("{so so so so}", "count", number(page->slow_callbacks), "last_us",
                     number_or_null(any, page->slow_us), "time_s",
                     number_or_null(any, (uint64_t)page->slow_time_s), "text",
                     text(any ? page->slow : NULL));
}

static json_t *keeper(const struct rpd_state_page *page)
{
    if (page->generation == 0)
        return json_null();
    return json_pack("{so si si so so}", "runner_pid",
                     number_or_null(page->runner_pid > 0, page->runner_pid), "generation",
                     (int)page->generation, "restarts", (int)page->restarts, "last_crash_code",
                     number_or_null(page->crash_code > 0, page->crash_code), "last_crash_time_s",
                     number_or_null(page->crash_code > 0, (uint64_t)page->crash_time_s));
}

/* ---- what the page of metrics says --------------------------------------------------------------
 */

static const struct metrics_row *row_of(const struct seen *seen, const char *name,
                                        const char *callback)
{
    for (size_t i = 0; i < seen->metrics.count; i++) {
        const struct metrics_row *row = &seen->metrics.rows[i];

        if (strcmp(row->name, name) == 0 &&
            (!callback || (row->label_count == 1 && strcmp(row->labels[0].value, callback) == 0)))
            return row;
    }
    return NULL;
}

static json_t *value_of(const struct seen *seen, const char *name)
{
    const struct metrics_row *row = row_of(seen, name, NULL);

    return row && row->type != RPD_METRIC_HISTOGRAM ? json_integer(row->value) : json_null();
}

/* Its buckets are [from, to, count], of those that have values. */
static json_t *histogram_of(const struct metrics_row *row)
{
    json_t *buckets = json_array();

    if (!row || row->type != RPD_METRIC_HISTOGRAM) {
        json_decref(buckets);
        return json_null();
    }
    for (unsigned i = 0; i < RPD_HISTOGRAM_BUCKETS; i++)
        if (row->histogram.buckets[i] > 0)
            json_array_append_new(buckets, json_pack("[I I I]", (json_int_t)rpd_histogram_from(i),
                                                     (json_int_t)rpd_histogram_from(i + 1),
                                                     (json_int_t)row->histogram.buckets[i]));
    return json_pack("{sI so}", "sum_us", (json_int_t)row->histogram.sum, "buckets", buckets);
}

/* Of each callback that was called: how often, how long, how often slow. */
static json_t *callbacks(const struct seen *seen)
{
    json_t *list = json_array();

    for (size_t i = 0; i < seen->metrics.count; i++) {
        const struct metrics_row *row = &seen->metrics.rows[i];
        const char *callback = row->label_count == 1 ? row->labels[0].value : "";
        const struct metrics_row *slow;

        if (strcmp(row->name, "rpd_callbacks") != 0 || row->type != RPD_METRIC_COUNTER ||
            row->value <= 0)
            continue;
        slow = row_of(seen, "rpd_slow_callbacks", callback);
        json_array_append_new(
            list, json_pack("{so sI sI so}", "callback", text(callback), "calls",
                            (json_int_t)row->value, "slow", (json_int_t)(slow ? slow->value : 0),
                            "time", histogram_of(row_of(seen, "rpd_callback_time", callback))));
    }
    return list;
}

/* ---- what the history says ----------------------------------------------------------------------
 */

static json_t *events(const struct seen *seen)
{
    json_t *list = json_array();

    for (int i = 0; i < seen->event_count; i++) {
        const struct history_entry *entry = &seen->events[i];

        json_array_append_new(
            list, json_pack("{sI ss si so so}", "time_ms", (json_int_t)entry->time_ms, "event",
                            entry->ended ? "ended" : "bound", "pid", (int)entry->pid, "code",
                            number_or_null(entry->ended, (uint64_t)entry->code), "text",
                            text(*entry->text ? entry->text : NULL)));
    }
    return list;
}

static json_t *items_of(const struct start_view *start)
{
    json_t *items = json_array();

    for (size_t i = 0; i < start->count; i++)
        if (strcmp(start->items[i].name, "all ready") != 0)
            json_array_append_new(items, json_pack("{so sI}", "name", text(start->items[i].name),
                                                   "us", (json_int_t)start->items[i].us));
    return items;
}

/* The last ones; the newest with its steps and parts. */
static json_t *starts(const struct seen *seen)
{
    json_t *list = json_array();
    struct starts_view view;

    if (starts_view_read(seen->runtime_dirfd, seen->instance.service, &view) < 0)
        return list;
    for (size_t i = view.count > STARTS ? view.count - STARTS : 0; i < view.count; i++) {
        const struct start_view *start = &view.list[i];
        json_t *json = json_pack("{sI si sI}", "time_ms", (json_int_t)start->time_ms, "pid",
                                 (int)start->pid, "ready_us", (json_int_t)start_view_whole(start));

        if (i + 1 == view.count)
            json_object_set_new(json, "items", items_of(start));
        json_array_append_new(list, json);
    }
    starts_view_finish(&view);
    return list;
}

/* ---- a service ----------------------------------------------------------------------------------
 */

static bool knows_times(const struct instance *instance)
{
    const struct rpd_state_page *page = &instance->page;

    return *page->magic && state_view_has_our_clock(page) &&
           (instance->verdict == STATE_ELSEWHERE || !state_view_is_of_another_boot(page));
}

static json_t *uptime(const struct seen *seen)
{
    const long ticks_a_second = sysconf(_SC_CLK_TCK);
    const uint64_t up_ms = now_us(CLOCK_BOOTTIME) / 1000;
    uint64_t start_ms;

    if (!seen->lives || !knows_times(&seen->instance) || seen->instance.start_time == 0 ||
        ticks_a_second <= 0)
        return json_null();
    start_ms = seen->instance.start_time * 1000u / (uint64_t)ticks_a_second;
    return number_or_null(up_ms >= start_ms, up_ms - start_ms);
}

static json_t *loop(const struct seen *seen)
{
    const struct rpd_state_page *page = &seen->instance.page;
    const uint64_t now = now_us(CLOCK_MONOTONIC), turned = state_view_last_turn_us(page);

    return json_pack("{sb so so so}", "rests", page->turned_us == RPD_STATE_RESTS, "turned_ms_ago",
                     number_or_null(knows_times(&seen->instance) && turned > 0,
                                    now > turned ? (now - turned) / 1000 : 0),
                     "latest_ms", number(page->latest_us / 1000), "lag",
                     histogram_of(row_of(seen, "rpd_loop_lag", NULL)));
}

/* Only of one that lives: what pages of the dead say is not current. */
static void add_numbers(const struct seen *seen, json_t *json)
{
    const struct rpd_state_page *page = &seen->instance.page;
    json_t *numbers;

    if (!seen->lives || !seen->instance.has_page)
        return;
    numbers = json_pack(
        "{ss sb ss so so so so so so so so so so so so so}", "phase", word_of_phase(page->phase),
        "degraded", (page->flags & RPD_STATE_DEGRADED) != 0, "warmup", word_of_warmup(page->warmup),
        "clients", clients(page), "load", load(page), "loop", loop(seen), "jobs",
        number(page->jobs), "errors", number(page->errors), "last_error", last_error(page),
        "keeper", keeper(page), "slow_callbacks", slow_callbacks(page), "callbacks",
        callbacks(seen), "received_bytes", value_of(seen, "rpd_received"), "sent_bytes",
        value_of(seen, "rpd_sent"), "descriptors", value_of(seen, "rpd_descriptors"),
        "descriptors_limit", value_of(seen, "rpd_descriptors_limit"));
    json_object_update(json, numbers);
    json_decref(numbers);
}

static json_t *endpoints(const struct record_view *record)
{
    json_t *list = json_array();

    for (size_t i = 0; i < record->endpoint_count; i++)
        json_array_append_new(list, text(record->endpoints[i]));
    return list;
}

static json_t *service(const struct seen *seen)
{
    const struct instance *instance = &seen->instance;
    const bool has_pid = seen->lives && instance->pid > 0;
    json_t *json = json_pack(
        "{ss ss so so so so so so so sb so so}", "service", instance->service, "state",
        state_verdict_text(instance->verdict), "elsewhere",
        text(instance->verdict == STATE_ELSEWHERE ? state_place_text(instance->place) : NULL),
        "pid", number_or_null(has_pid, (uint64_t)instance->pid), "uptime_ms", uptime(seen),
        "plugin", text(instance->record.plugin), "config", text(instance->record.config),
        "endpoints", endpoints(&instance->record), "build",
        text(*instance->page.build ? instance->page.build : NULL), "left_page",
        !seen->lives && *instance->page.magic != '\0', "history", events(seen), "starts",
        starts(seen));

    add_numbers(seen, json);
    return json;
}

/* Locks stay for ever: one that has left no more was never there, or is forgotten. */
static bool is_worth_a_row(const struct seen *seen)
{
    return seen->lives || seen->instance.has_record || *seen->instance.page.magic ||
           seen->event_count > 0;
}

static json_t *look_at(int runtime_dirfd, const char *name)
{
    struct seen *seen = calloc(1, sizeof *seen);
    json_t *json = NULL;

    if (!seen)
        return NULL;
    seen->runtime_dirfd = runtime_dirfd;
    instance_look(runtime_dirfd, name, &seen->instance);
    seen->lives = seen->instance.verdict != STATE_DEAD;
    metrics_view_read(runtime_dirfd, name, &seen->metrics);
    seen->event_count = history_view_read(runtime_dirfd, name, seen->events, EVENTS);
    if (is_worth_a_row(seen))
        json = service(seen);
    metrics_view_finish(&seen->metrics);
    instance_finish(&seen->instance);
    free(seen);
    return json;
}

/* ---- all
 * ------------------------------------------------------------------------------------------ */

char *document_make(int runtime_dirfd, const struct document_of *of)
{
    struct service_names names = {0};
    char host[256] = "", *dumped;
    json_t *services = json_array(), *document;

    if (runtime_dirfd >= 0)
        service_names_read(runtime_dirfd, &names);
    for (size_t i = 0; i < names.count; i++) {
        json_t *one = look_at(runtime_dirfd, names.names[i]);

        if (one)
            json_array_append_new(services, one);
    }
    service_names_finish(&names);
    gethostname(host, sizeof host - 1);
    document = json_pack("{si sI so so si so so}", "version", VERSION, "time_ms",
                         (json_int_t)(now_us(CLOCK_REALTIME) / 1000), "host", text(host),
                         "runtime_dir", text(of->runtime_dir), "refresh_ms", (int)of->refresh_ms,
                         "dashboard", text(of->own_service), "services", services);
    dumped = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    return dumped;
}
