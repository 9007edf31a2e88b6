/* What `rpdctl status` prints for people. See rpdctl/status/status.h. */
#include "base/safe_text.h"
#include "base/words.h"
#include "rpdctl/draw.h"
#include "rpdctl/service.h"
#include "rpdctl/status/status.h"

#include <string.h>
#include <time.h>

enum {
    CELL_MAX = 96,
    ENDPOINTS_MAX = 1024,
    LOAD_MAX = 192,
    NOTE_MAX = 1024,
    COLUMNS = 6,
    TABLE_BAR = 16,
    PART_BAR = 20
};

/* ---- words ---------------------------------------------------------------------------- */

static bool is_live(const struct instance *instance)
{
    return instance->verdict != STATE_DEAD;
}

static bool is_degraded(const struct instance *instance)
{
    return is_live(instance) && instance->page.flags & RPD_STATE_DEGRADED;
}

static unsigned permille_of(uint64_t done, uint64_t total)
{
    return total == 0 ? 0 : done >= total ? 1000 : (unsigned)((double)done * 1000 / (double)total);
}

/* ", 3 s left", or nothing. */
static const char *time_left(uint64_t eta_ms, char room[CELL_MAX])
{
    char left[DRAW_NUMBER_MAX];

    *room = '\0';
    if (eta_ms > 0 && eta_ms != RPD_STATE_UNKNOWN)
        snprintf(room, CELL_MAX, ", %s left", draw_duration(eta_ms + 999, left));
    return room;
}

/* ", 12.3 k items/s", or nothing. */
static const char *rate_of(const struct rpd_state_part *part, char room[CELL_MAX])
{
    char rate[DRAW_NUMBER_MAX];

    *room = '\0';
    if (part->state == RPD_PART_LOADING && part->rate_per_1000s > 0)
        snprintf(room, CELL_MAX, ", %s %s/s", draw_count(part->rate_per_1000s / 1000, rate),
                 part->unit);
    return room;
}

static const char *moment(int64_t time_s, char room[CELL_MAX])
{
    const time_t at = (time_t)time_s;
    struct tm local;

    if (!localtime_r(&at, &local) || strftime(room, CELL_MAX, "%Y-%m-%d %H:%M:%S", &local) == 0)
        snprintf(room, CELL_MAX, "an unknown time");
    return room;
}

/* ---- cells ---------------------------------------------------------------------------- */

static void describe_load(const struct instance *instance, char room[LOAD_MAX])
{
    const struct rpd_state_page *page = &instance->page;
    char bar[DRAW_BAR_MAX], left[CELL_MAX], rate[CELL_MAX] = "";

    if (!is_live(instance) || !instance->has_page || page->part_count == 0) {
        snprintf(room, LOAD_MAX, "-");
        return;
    }
    /* The numbers follow the phase at the loop's next turn. */
    if (page->phase == RPD_PHASE_READY &&
        (!is_degraded(instance) || page->parts_loaded == page->part_count)) {
        snprintf(room, LOAD_MAX, "loaded");
        return;
    }
    if (page->part_count == 1)
        rate_of(&page->parts[0], rate);
    snprintf(room, LOAD_MAX, "%s %3u %%%s%s", draw_bar(page->load_permille, TABLE_BAR, bar),
             page->load_permille / 10, rate, time_left(page->load_eta_ms, left));
}

static void describe_clients(const struct instance *instance, char room[CELL_MAX])
{
    const struct rpd_state_page *page = &instance->page;

    if (!is_live(instance) || !instance->has_page)
        snprintf(room, CELL_MAX, "-");
    else
        snprintf(room, CELL_MAX, "%llu/%llu", (unsigned long long)page->clients_active,
                 (unsigned long long)page->clients_held);
}

/* "unix:/a (unreachable)": a record may hold any text. */
static void describe_endpoint(const struct status_row *row, size_t at, char *room, size_t size)
{
    const bool is_gone = is_live(&row->instance) && row->is_gone[at];

    snprintf(room, size, "%s%s", row->instance.record.endpoints[at],
             is_gone ? " (unreachable)" : "");
    safe_text(room);
}

static void describe_endpoints(const struct status_row *row, char room[ENDPOINTS_MAX])
{
    size_t used = 0;

    snprintf(room, ENDPOINTS_MAX, "-");
    for (size_t i = 0; i < row->instance.record.endpoint_count && used < ENDPOINTS_MAX - 3; i++) {
        if (used > 0)
            used += (size_t)snprintf(room + used, ENDPOINTS_MAX - used, ", ");
        describe_endpoint(row, i, room + used, ENDPOINTS_MAX - used);
        used += strlen(room + used);
    }
}

struct cells {
    char columns[COLUMNS][LOAD_MAX];
    char endpoints[ENDPOINTS_MAX];
};

static void fill_cells(const struct status *status, const struct status_row *row, struct cells *ret)
{
    const struct instance *instance = &row->instance;
    const uint64_t uptime_ms = status_uptime_ms(status, instance);
    char *cell = ret->columns[3];

    snprintf(ret->columns[0], CELL_MAX, "%s", instance->service);
    snprintf(ret->columns[1], CELL_MAX, "%s%s%s", state_verdict_text(instance->verdict),
             is_degraded(instance) ? ", degraded" : "", row->is_old ? ", old build" : "");
    snprintf(ret->columns[2], CELL_MAX, "-");
    if (is_live(instance) && instance->pid > 0)
        snprintf(ret->columns[2], CELL_MAX, "%d", (int)instance->pid);
    snprintf(cell, CELL_MAX, "-");
    if (uptime_ms > 0)
        draw_duration(uptime_ms, cell);
    describe_clients(instance, ret->columns[4]);
    describe_load(instance, ret->columns[5]);
    describe_endpoints(row, ret->endpoints);
}

/* ---- what is said below a row ------------------------------------------------------------ */

/* "last seen 5 s ago", by the last turn of its loop. */
static void describe_last_sight(const struct status *status, const struct instance *instance,
                                char room[CELL_MAX])
{
    const uint64_t turned_us = state_view_last_turn_us(&instance->page);
    char ago[DRAW_NUMBER_MAX];

    if (instance->place == STATE_OTHER_BOOT_ID)
        snprintf(room, CELL_MAX, ", before this machine was started");
    else if (turned_us > 0 && turned_us <= status->now_us && status_knows_times(instance))
        snprintf(room, CELL_MAX, ", last seen %s ago",
                 draw_duration((status->now_us - turned_us) / 1000, ago));
    else
        *room = '\0';
}

/* What is known of the end of a dead service. "": nothing. */
static void describe_death(const struct status *status, const struct status_row *row,
                           char room[NOTE_MAX])
{
    char text[RPDCTL_TEXT_MAX], when[CELL_MAX];

    *room = '\0';
    if (row->end.ended) {
        snprintf(room, NOTE_MAX, "%s (pid %d, %s)", rpdctl_describe_end(&row->end, text),
                 (int)row->end.pid, moment((int64_t)(row->end.time_ms / 1000), when));
    } else if (row->instance.pid > 0) {
        describe_last_sight(status, &row->instance, when);
        snprintf(room, NOTE_MAX, "ended without a word (pid %d%s)", (int)row->instance.pid, when);
    }
}

/* For a service that is elsewhere: why no more is known, and what is known. */
static void describe_place(const struct status *status, const struct instance *instance,
                           char room[NOTE_MAX])
{
    const struct rpd_state_page *page = &instance->page;
    const uint64_t turned_us = state_view_last_turn_us(page);
    char turned[CELL_MAX] = "";

    if (status_knows_times(instance) && turned_us <= status->now_us)
        snprintf(turned, sizeof turned, ", its loop turned %.1f s ago",
                 (double)(status->now_us - turned_us) / 1e6);
    snprintf(room, NOTE_MAX, "in %s (pid:[%u], time:[%u]), phase %s%s",
             state_place_text(instance->place), page->namespaces[RPD_STATE_PID_NAMESPACE],
             page->namespaces[RPD_STATE_TIME_NAMESPACE], word_of_phase(page->phase), turned);
}

/* The page may hold any time: if the time is not in the past, nothing is known. */
static uint64_t past_ms(const struct status *status, const struct rpd_state_page *page)
{
    return page->error_time_s >= 0 && page->error_time_s < status->time_s
               ? (uint64_t)(status->time_s - page->error_time_s) * 1000u
               : 0;
}

/* A line of a table has no room for a backtrace; all of it is in the detail. */
static void cut_backtrace(char *text)
{
    char *backtrace = strstr(text, "; backtrace: "), *end = strrchr(text, '(');

    if (!backtrace)
        return;
    snprintf(backtrace, 8, "; ... ");
    if (end && end > backtrace)
        memmove(backtrace + strlen("; ... "), end, strlen(end) + 1);
}

static void print_note(const struct status *status, const struct status_row *row, FILE *to)
{
    const struct rpd_state_page *page = &row->instance.page;
    char text[NOTE_MAX], ago[DRAW_NUMBER_MAX];

    if (!is_live(&row->instance)) {
        describe_death(status, row, text);
        cut_backtrace(text);
        if (*text)
            fprintf(to, "  %s\n", text);
        return;
    }
    if (row->instance.verdict == STATE_ELSEWHERE) {
        describe_place(status, &row->instance, text);
        fprintf(to, "  %s\n", text);
    }
    if (page->errors > 0 && *page->error)
        fprintf(to, "  last error, %s ago: %s\n", draw_duration(past_ms(status, page), ago),
                page->error);
}

/* "restarted 3 times; the last runner died by signal 11 (Segmentation fault), 2026-..." */
static bool describe_crash(const struct rpd_state_page *page, char room[NOTE_MAX])
{
    char when[CELL_MAX];
    const int code = (int)page->crash_code;

    if (page->crash_code == 0)
        return false;
    if (code > 128)
        snprintf(room, NOTE_MAX,
                 "its code crashed and was started again, %u times so far; last by signal %d (%s), "
                 "%s",
                 page->restarts, code - 128, strsignal(code - 128),
                 moment(page->crash_time_s, when));
    else
        snprintf(room, NOTE_MAX,
                 "its code crashed and was started again, %u times so far; last with code %d, %s",
                 page->restarts, code, moment(page->crash_time_s, when));
    return true;
}

static void print_crash_note(const struct rpd_state_page *page, FILE *to)
{
    char text[NOTE_MAX];

    if (describe_crash(page, text))
        fprintf(to, "  %s\n", text);
}

/* ---- the table ---------------------------------------------------------------------------- */

static void print_row(const struct cells *cells, const int widths[COLUMNS], FILE *to)
{
    for (size_t i = 0; i < COLUMNS; i++)
        fprintf(to, "%-*s  ", widths[i], cells->columns[i]);
    fprintf(to, "%s\n", cells->endpoints);
}

void status_print_table(const struct status *status, FILE *to)
{
    static const struct cells headings = {{"SERVICE", "STATE", "PID", "UPTIME", "CLIENTS", "LOAD"},
                                          "ENDPOINTS"};
    int widths[COLUMNS];
    struct cells cells;

    if (status->count == 0) {
        fputs("no service runs\n", to);
        return;
    }
    for (size_t i = 0; i < COLUMNS; i++)
        widths[i] = (int)strlen(headings.columns[i]);
    for (size_t at = 0; at < status->count; at++) {
        fill_cells(status, &status->rows[at], &cells);
        for (size_t i = 0; i < COLUMNS; i++)
            if ((int)strlen(cells.columns[i]) > widths[i])
                widths[i] = (int)strlen(cells.columns[i]);
    }
    print_row(&headings, widths, to);
    for (size_t at = 0; at < status->count; at++) {
        const char *directory = status->rows[at].directory;

        if (status->is_of_all_users &&
            (at == 0 || strcmp(directory, status->rows[at - 1].directory) != 0))
            fprintf(to, "%s:\n", directory);
        fill_cells(status, &status->rows[at], &cells);
        print_row(&cells, widths, to);
        if (is_live(&status->rows[at].instance) && status->rows[at].instance.has_page)
            print_crash_note(&status->rows[at].instance.page, to);
        print_note(status, &status->rows[at], to);
    }
}

/* ---- all of one ---------------------------------------------------------------------------- */

static void print_text(const char *label, const char *value, FILE *to)
{
    char text[ENDPOINTS_MAX];

    if (!value || !*value)
        return;
    snprintf(text, sizeof text, "%s", value);
    safe_text(text);
    fprintf(to, "%-11s%s\n", label, text);
}

static void print_part(const struct rpd_state_part *part, FILE *to)
{
    char bar[DRAW_BAR_MAX], done[DRAW_NUMBER_MAX], total[DRAW_NUMBER_MAX], rate[CELL_MAX],
        left[CELL_MAX];
    const bool is_loaded = part->state == RPD_PART_LOADED;
    const unsigned permille = is_loaded ? 1000 : permille_of(part->done, part->total);

    fprintf(to, "  %-16s %-8s %s %3u %%, %s", part->name, word_of_part(part->state),
            draw_bar(permille, PART_BAR, bar), permille / 10, draw_count(part->done, done));
    if (part->total > 0)
        fprintf(to, " of %s", draw_count(part->total, total));
    fprintf(to, "%s%s%s%s", *part->unit ? " " : "", part->unit, rate_of(part, rate),
            part->state == RPD_PART_LOADING ? time_left(part->eta_ms, left) : "");
    if (part->attempts > 1)
        fprintf(to, ", attempt %u", part->attempts);
    fprintf(to, "%s\n", part->flags & RPD_PART_OPTIONAL ? " (optional)" : "");
}

static void print_page(const struct status *status, const struct instance *instance, FILE *to)
{
    const struct rpd_state_page *page = &instance->page;
    const uint64_t turned_us = page->turned_us < status->now_us ? page->turned_us : status->now_us;
    char load[LOAD_MAX];

    fprintf(to,
            "clients:   %llu active, %llu held; %llu so far: %llu refused, %llu left, %llu cut\n",
            (unsigned long long)page->clients_active, (unsigned long long)page->clients_held,
            (unsigned long long)page->clients_accepted, (unsigned long long)page->clients_refused,
            (unsigned long long)page->clients_left, (unsigned long long)page->clients_cut);
    fprintf(to, "warm-up:   %s\n", word_of_warmup(page->warmup));
    if (page->turned_us == RPD_STATE_RESTS)
        fprintf(to, "loop:      waits; at most %.1f ms late\n", (double)page->latest_us / 1e3);
    else if (status_knows_times(instance))
        fprintf(to, "loop:      turned %.1f s ago; at most %.1f ms late\n",
                (double)(status->now_us - turned_us) / 1e6, (double)page->latest_us / 1e3);
    fprintf(to, "jobs:      %llu now, %llu refused so far\n", (unsigned long long)page->jobs,
            (unsigned long long)page->jobs_refused);
    describe_load(instance, load);
    fprintf(to, "load:      %s\n", load);
    for (uint32_t i = 0; i < page->part_count; i++)
        print_part(&page->parts[i], to);
}

static void print_process(const struct status *status, const struct instance *instance, FILE *to)
{
    const uint64_t uptime_ms = status_uptime_ms(status, instance);
    char since[CELL_MAX], uptime[DRAW_NUMBER_MAX];

    if (instance->pid <= 0)
        return;
    fprintf(to, "pid:       %d", (int)instance->pid);
    if (uptime_ms > 0)
        fprintf(to, ", since %s (%s)", moment(status->time_s - (int64_t)(uptime_ms / 1000), since),
                draw_duration(uptime_ms, uptime));
    fputc('\n', to);
}

static void print_runner(const struct rpd_state_page *page, FILE *to)
{
    char text[NOTE_MAX];

    if (page->generation == 0)
        return;
    if (page->runner_pid > 0)
        fprintf(to, "runner:    %u, generation %u\n", page->runner_pid, page->generation);
    else
        fprintf(to, "runner:    none now, generation %u\n", page->generation);
    if (describe_crash(page, text))
        print_text("crashes:", text, to);
}

/* "generation 3 loads: 42 %, pid 123" */
static void print_next(const struct status_row *row, FILE *to)
{
    const struct rpd_state_page *next = &row->next;

    if (!row->has_next || next->generation <= row->instance.page.generation)
        return;
    fprintf(to, "next:      %u, generation %u, %s", next->runner_pid, next->generation,
            next->phase == RPD_PHASE_READY ? "loaded" : "loads");
    if (next->phase == RPD_PHASE_WARMING && next->load_permille > 0)
        fprintf(to, ": %u %%", next->load_permille / 10);
    fputc('\n', to);
}

void status_print_detail(const struct status *status, const struct status_row *row, FILE *to)
{
    const struct instance *instance = &row->instance;
    char text[NOTE_MAX];

    fprintf(to, "service:   %s\nstate:     %s%s\n", instance->service,
            state_verdict_text(instance->verdict), is_degraded(instance) ? ", degraded" : "");
    if (is_live(instance))
        print_process(status, instance, to);
    if (is_live(instance) && instance->has_page)
        print_runner(&instance->page, to);
    if (is_live(instance) && instance->has_page)
        print_next(row, to);
    snprintf(text, sizeof text, "%s%s", instance->page.build,
             row->is_old ? " (old: its program was replaced; restart the service)" : "");
    print_text("build:", text, to);
    print_text("plugin:", instance->record.plugin, to);
    print_text("config:", instance->record.config, to);
    for (size_t i = 0; i < instance->record.endpoint_count; i++) {
        describe_endpoint(row, i, text, sizeof text);
        print_text(i == 0 ? "endpoints:" : "", text, to);
    }
    if (is_live(instance) && instance->has_page)
        print_page(status, instance, to);
    if (is_live(instance)) {
        if (instance->page.errors > 0)
            fprintf(to, "errors:    %llu\n", (unsigned long long)instance->page.errors);
        if (instance->page.slow_callbacks > 0)
            fprintf(to, "slow callbacks: %llu; the last one %.3f s in %s\n",
                    (unsigned long long)instance->page.slow_callbacks,
                    (double)instance->page.slow_us / 1e6, instance->page.slow);
        print_note(status, row, to);
        return;
    }
    describe_death(status, row, text);
    print_text("end:", text, to);
}
