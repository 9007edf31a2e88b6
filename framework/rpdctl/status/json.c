/* What `rpdctl status --json` prints: one document, with the keys that rpdctl(1) lists. A value
 * that is not known is null. See rpdctl/status/status.h. */
#include "base/words.h"
#include "library/libjansson.h"
#include "rpdctl/status/status.h"

#include <stdlib.h>
#include <string.h>

enum { STATUS_VERSION = 1 };

/* NULL becomes null. Bytes that are not UTF-8 become '?'. */
static json_t *text(const char *value)
{
    json_t *json = value ? json_string(value) : json_pack("n");
    char *ascii;

    if (json || !value)
        return json;
    ascii = strdup(value);
    for (char *at = ascii; at && *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    json = ascii ? json_string(ascii) : NULL;
    free(ascii);
    return json;
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *number_or_null(bool is_known, uint64_t value)
{
    return is_known ? number(value) : json_pack("n");
}

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
    return json_pack("{si so so}", "permille", (int)page->load_permille, "eta_ms",
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

static json_t *loop(const struct status *status, const struct instance *instance)
{
    const struct rpd_state_page *page = &instance->page;
    const uint64_t past_us = status->now_us > page->turned_us ? status->now_us - page->turned_us
                                                              : 0;
    const bool knows = status_knows_times(instance) && page->turned_us != RPD_STATE_RESTS;

    return json_pack("{so so}", "turned_ms_ago", number_or_null(knows, past_us / 1000), "latest_ms",
                     number(page->latest_us / 1000));
}

static json_t *last_error(const struct rpd_state_page *page)
{
    if (page->errors == 0 || !*page->error)
        return json_pack("n");
    return json_pack("{so so}", "time_s", number((uint64_t)page->error_time_s), "text",
                     text(page->error));
}

static json_t *slow_callbacks(const struct rpd_state_page *page)
{
    return json_pack("{so so so so}", "count", number(page->slow_callbacks), "last_us",
                     number_or_null(page->slow_callbacks > 0, page->slow_us), "time_s",
                     number_or_null(page->slow_callbacks > 0, (uint64_t)page->slow_time_s), "text",
                     text(*page->slow ? page->slow : NULL));
}

static json_t *last_end(const struct history_entry *end)
{
    if (!end->ended)
        return json_pack("n");
    return json_pack("{so si si so}", "time_ms", number(end->time_ms), "pid", (int)end->pid, "code",
                     end->code, "text", text(*end->text ? end->text : NULL));
}

static json_t *endpoints(const struct status_row *row, bool only_gone)
{
    json_t *array = json_array();

    for (size_t i = 0; i < row->instance.record.endpoint_count; i++)
        if (!only_gone || row->is_gone[i])
            json_array_append_new(array, text(row->instance.record.endpoints[i]));
    return array;
}

static json_t *next(const struct status_row *row)
{
    const struct rpd_state_page *page = &row->next;

    if (!row->has_next || page->generation <= row->instance.page.generation)
        return json_pack("n");
    return json_pack("{so si ss si}", "runner_pid",
                     number_or_null(page->runner_pid > 0, page->runner_pid), "generation",
                     (int)page->generation, "phase", word_of_phase(page->phase), "load_permille",
                     (int)page->load_permille);
}

static json_t *keeper(const struct status_row *row)
{
    const struct rpd_state_page *page = &row->instance.page;

    if (page->generation == 0)
        return json_pack("n");
    return json_pack(
        "{so si si so so so}", "runner_pid", number_or_null(page->runner_pid > 0, page->runner_pid),
        "generation", (int)page->generation, "restarts", (int)page->restarts, "last_crash_code",
        number_or_null(page->crash_code > 0, page->crash_code), "last_crash_time_s",
        number_or_null(page->crash_code > 0, (uint64_t)page->crash_time_s), "next", next(row));
}

/* What only a page that can be read whole says; for a dead service it is not current. */
static json_t *page_of(const struct status *status, const struct status_row *row)
{
    const struct rpd_state_page *page = &row->instance.page;

    if (row->instance.verdict == STATE_DEAD || !row->instance.has_page)
        return json_pack("{sn sn sn sn sn sn sn sn sn sn}", "phase", "degraded", "warmup",
                         "clients", "load", "loop", "errors", "last_error", "keeper",
                         "slow_callbacks");
    return json_pack("{ss sb ss so so so so so so so}", "phase", word_of_phase(page->phase),
                     "degraded", (page->flags & RPD_STATE_DEGRADED) != 0, "warmup",
                     word_of_warmup(page->warmup), "clients", clients(page), "load", load(page),
                     "loop", loop(status, &row->instance), "errors", number(page->errors),
                     "last_error", last_error(page), "keeper", keeper(row), "slow_callbacks",
                     slow_callbacks(page));
}

static json_t *service(const struct status *status, const struct status_row *row)
{
    const struct instance *instance = &row->instance;
    const struct record_view *record = &instance->record;
    const uint64_t uptime_ms = status_uptime_ms(status, instance);
    json_t *page = page_of(status, row);
    json_t *json = json_pack(
        "{ss so ss so so so so so sb so so so so so so so}", "service", instance->service,
        "runtime_dir", text(row->directory), "state", state_verdict_text(instance->verdict),
        "elsewhere",
        text(instance->verdict == STATE_ELSEWHERE ? state_place_text(instance->place) : NULL),
        "pid", number_or_null(instance->pid > 0, (uint64_t)instance->pid), "start_time",
        number_or_null(instance->start_time > 0, instance->start_time), "uptime_ms",
        number_or_null(uptime_ms > 0, uptime_ms), "build",
        text(*instance->page.build ? instance->page.build : NULL), "old_build", row->is_old,
        "plugin", text(record->plugin), "config", text(record->config), "config_digest",
        text(record->config_digest), "control", text(record->control), "endpoints",
        endpoints(row, false), "unreachable", endpoints(row, instance->verdict != STATE_DEAD),
        "last_end", last_end(&row->end));

    if (json && page)
        json_object_update(json, page);
    json_decref(page);
    return json;
}

int status_print_json(const struct status *status, FILE *to, struct error *error)
{
    json_t *services = NULL, *document;

    if (libjansson_load(error) < 0)
        return -1;
    services = json_array();
    for (size_t i = 0; i < status->count; i++)
        json_array_append_new(services, service(status, &status->rows[i]));
    document = json_pack("{si so}", "version", STATUS_VERSION, "services", services);
    if (!document)
        return error_set(error, EXIT_SYSTEM, "status", "--json", "out of memory");
    json_dumpf(document, to, JSON_INDENT(2));
    fputc('\n', to);
    json_decref(document);
    return 0;
}
