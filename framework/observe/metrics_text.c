/* Metrics as text. See metrics_text.h. */
#include "observe/metrics_text.h"

#include "observe/service_names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ----------------------------------------------------------------------------------
 */

static void read_one(int runtime_dirfd, const char *service, struct metrics_service *ret)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->name, sizeof ret->name, "%s", service);
    state_view_look(runtime_dirfd, service, &ret->page, &ret->verdict);
    ret->has_view = metrics_view_read(runtime_dirfd, service, &ret->view) == 0;
}

static bool is_worth_a_row(const struct metrics_service *service)
{
    return service->has_view || *service->page.magic || service->verdict != STATE_DEAD;
}

int metrics_services_read(int runtime_dirfd, const char *service, struct metrics_services *ret)
{
    struct service_names names = {0};
    const int failed = service ? 0 : service_names_read(runtime_dirfd, &names);
    const size_t most = service ? 1 : names.count;

    *ret = (struct metrics_services){.list = calloc(most ? most : 1, sizeof *ret->list)};
    for (size_t i = 0; !failed && ret->list && i < most; i++) {
        struct metrics_service *one = &ret->list[ret->count];

        read_one(runtime_dirfd, service ? service : names.names[i], one);
        if (is_worth_a_row(one))
            ret->count++;
        else
            metrics_view_finish(&one->view);
    }
    service_names_finish(&names);
    return failed || !ret->list ? -1 : 0;
}

void metrics_services_finish(struct metrics_services *services)
{
    for (size_t i = 0; i < services->count; i++)
        metrics_view_finish(&services->list[i].view);
    free(services->list);
    *services = (struct metrics_services){0};
}

/* ---- names and units
 * ----------------------------------------------------------------------------- */

static const char *full_unit(const char *unit)
{
    return strcmp(unit, "us") == 0 || strcmp(unit, "ms") == 0 ? "seconds" : unit;
}

double metrics_scale(const struct metrics_row *row)
{
    return strcmp(row->unit, "us") == 0 ? 1e-6 : strcmp(row->unit, "ms") == 0 ? 1e-3 : 1.0;
}

void metrics_full_name(const struct metrics_row *row, char ret_name[80])
{
    snprintf(ret_name, 80, "%s%s%s", row->name, *row->unit ? "_" : "", full_unit(row->unit));
}

/* ---- families
 * --------------------------------------------------------------------------------------- */

struct line {
    const struct metrics_service *service;
    const struct metrics_row *row;
    char name[80];
    size_t number; /* as it was found */
};

static int compare(const void *a, const void *b)
{
    const struct line *one = a, *other = b;
    const int by_name = strcmp(one->name, other->name);

    return by_name ? by_name : (one->number > other->number) - (one->number < other->number);
}

static const char *const types[] = {
    [RPD_METRIC_COUNTER] = "counter",
    [RPD_METRIC_GAUGE] = "gauge",
    [RPD_METRIC_HISTOGRAM] = "histogram",
};

/* One format escapes quotes in the text of a meaning, the other does not. */
static void print_meaning(FILE *to, const char *text)
{
    for (; *text; text++)
        fputc(*text == '"' || *text == '\\' ? '\'' : *text, to);
}

static void print_value(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        fputc(*text, to);
    }
}

static void print_head(FILE *to, enum metrics_format format, const char *name, const char *unit,
                       enum rpd_metric_type type, const char *meaning)
{
    const char *suffix = format == METRICS_TEXT_0_0_4 && type == RPD_METRIC_COUNTER ? "_total" : "";

    fprintf(to, "# TYPE %s%s %s\n", name, suffix, types[type]);
    if (format == METRICS_OPENMETRICS && *unit)
        fprintf(to, "# UNIT %s %s\n", name, unit);
    fprintf(to, "# HELP %s%s ", name, suffix);
    print_meaning(to, meaning);
    fputc('\n', to);
}

/* more: further labels, ready, or NULL. */
static void print_sample(FILE *to, const struct line *line, const char *suffix, const char *more)
{
    fprintf(to, "%s%s{service=\"%s\"", line->name, suffix, line->service->name);
    for (size_t i = 0; i < line->row->label_count; i++) {
        fprintf(to, ",%s=\"", line->row->labels[i].key);
        print_value(to, line->row->labels[i].value);
        fputc('"', to);
    }
    fprintf(to, "%s} ", more ? more : "");
}

static void print_number(FILE *to, const struct metrics_row *row, int64_t value)
{
    const double scale = metrics_scale(row);

    if (scale < 1.0)
        fprintf(to, "%.*g\n", 15, (double)value * scale);
    else
        fprintf(to, "%" PRId64 "\n", value);
}

/* One in two powers of two, up to 2^32, is enough for those who read text; values are whole
 * numbers, which stand for themselves and what is lost below them. */
static void print_histogram(FILE *to, const struct line *line)
{
    const struct rpd_histogram *histogram = &line->row->histogram;
    const double scale = metrics_scale(line->row);
    uint64_t count = 0;
    char bound[48];

    for (unsigned i = 0; i < RPD_HISTOGRAM_BUCKETS; i++) {
        const uint64_t end = rpd_histogram_from(i + 1);

        count += histogram->buckets[i];
        if (i == RPD_HISTOGRAM_BUCKETS - 1)
            snprintf(bound, sizeof bound, ",le=\"+Inf\"");
        else if (end >= 4 && end >> 32 <= 1 && (end & (end - 1)) == 0 &&
                 __builtin_ctzll(end) % 2 == 0)
            snprintf(bound, sizeof bound, ",le=\"%.15g%s\"", (double)end * scale,
                     scale < 1.0 ? "" : ".0");
        else
            continue;
        print_sample(to, line, "_bucket", bound);
        fprintf(to, "%" PRIu64 "\n", count);
    }
    print_sample(to, line, "_sum", NULL);
    print_number(to, line->row, (int64_t)histogram->sum);
    print_sample(to, line, "_count", NULL);
    fprintf(to, "%" PRIu64 "\n", count);
}

static void print_line(FILE *to, const struct line *line)
{
    if (line->row->type == RPD_METRIC_HISTOGRAM) {
        print_histogram(to, line);
        return;
    }
    print_sample(to, line, line->row->type == RPD_METRIC_COUNTER ? "_total" : "", NULL);
    print_number(to, line->row, line->row->value);
}

static bool have_same_labels(const struct metrics_row *one, const struct metrics_row *other)
{
    if (one->label_count != other->label_count)
        return false;
    for (size_t i = 0; i < one->label_count; i++)
        if (strcmp(one->labels[i].key, other->labels[i].key) != 0 ||
            strcmp(one->labels[i].value, other->labels[i].value) != 0)
            return false;
    return true;
}

/* Pages are made by others: two rows that say the same, or that have one name and mean different
 * things, would spoil the whole text. */
static bool fits(const struct line *first, const struct line *line)
{
    if (line->row->type != first->row->type || strcmp(line->row->unit, first->row->unit) != 0)
        return false;
    for (; first < line; first++)
        if (first->service == line->service && have_same_labels(first->row, line->row))
            return false;
    return true;
}

static void print_lines(const struct line *lines, size_t count, enum metrics_format format,
                        FILE *to)
{
    const struct line *first = lines;

    for (const struct line *line = lines; line < lines + count; line++) {
        if (line == lines || strcmp(line->name, first->name) != 0) {
            first = line;
            print_head(to, format, line->name, full_unit(line->row->unit), line->row->type,
                       line->row->meaning);
        } else if (!fits(first, line)) {
            continue;
        }
        print_line(to, line);
    }
}

/* ---- what the state page and the lock say
 * ------------------------------------------------------------- */

static int up(const struct metrics_service *service)
{
    return service->verdict != STATE_DEAD && service->verdict != STATE_STALLED;
}

static int is_ready(const struct metrics_service *service)
{
    return service->verdict != STATE_DEAD && service->page.phase == RPD_PHASE_READY;
}

static int is_degraded(const struct metrics_service *service)
{
    return service->verdict != STATE_DEAD && (service->page.flags & RPD_STATE_DEGRADED);
}

static const struct {
    const char *name, *meaning;
    int (*value)(const struct metrics_service *service);
} verdicts[] = {
    {"rpd_up", "1: its process lives, and its loop turns", up},
    {"rpd_ready", "1: its state is loaded", is_ready},
    {"rpd_degraded", "1: it serves without all that it should have", is_degraded},
};

static void print_verdicts(const struct metrics_services *services, enum metrics_format format,
                           FILE *to)
{
    for (size_t v = 0; v < sizeof verdicts / sizeof *verdicts; v++) {
        print_head(to, format, verdicts[v].name, "", RPD_METRIC_GAUGE, verdicts[v].meaning);
        for (size_t i = 0; i < services->count; i++)
            fprintf(to, "%s{service=\"%s\"} %d\n", verdicts[v].name, services->list[i].name,
                    verdicts[v].value(&services->list[i]));
    }
}

static bool is_verdict(const char *name)
{
    for (size_t v = 0; v < sizeof verdicts / sizeof *verdicts; v++)
        if (strcmp(name, verdicts[v].name) == 0)
            return true;
    return false;
}

int metrics_text_print(const struct metrics_services *services, enum metrics_format format,
                       FILE *to)
{
    size_t most = 1, count = 0;
    struct line *lines;

    for (size_t i = 0; i < services->count; i++)
        most += services->list[i].view.count;
    lines = calloc(most, sizeof *lines);
    if (!lines)
        return -1;
    for (size_t i = 0; i < services->count; i++)
        for (size_t r = 0; r < services->list[i].view.count; r++) {
            struct line *line = &lines[count];

            *line = (struct line){
                .service = &services->list[i],
                .row = &services->list[i].view.rows[r],
                .number = count,
            };
            metrics_full_name(line->row, line->name);
            count += !is_verdict(line->name);
        }
    qsort(lines, count, sizeof *lines, compare);
    print_verdicts(services, format, to);
    print_lines(lines, count, format, to);
    if (format == METRICS_OPENMETRICS)
        fputs("# EOF\n", to);
    free(lines);
    return 0;
}
